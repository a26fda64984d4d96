//! Lets JSON leave out fields of the sections that do not read themselves with `#[serde(default)]` yet.
//!
//! To be deleted, with the three `deserialize_with` attributes in `mod.rs`, once `GeneratorConfig`,
//! `DiscriminatorConfig` and `DataConfig` carry `#[serde(default, deny_unknown_fields)]`.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Pix2PixConfig;
use crate::data::DataConfig;
use crate::discriminator::DiscriminatorConfig;
use crate::generator::GeneratorConfig;

pub(super) fn generator<'de, D: Deserializer<'de>>(given: D) -> Result<GeneratorConfig, D::Error> {
    section(given, Pix2PixConfig::paper().generator)
}

pub(super) fn discriminator<'de, D: Deserializer<'de>>(given: D) -> Result<DiscriminatorConfig, D::Error> {
    section(given, Pix2PixConfig::paper().discriminator)
}

pub(super) fn data<'de, D: Deserializer<'de>>(given: D) -> Result<DataConfig, D::Error> {
    section(given, Pix2PixConfig::paper().data)
}

/// Reads a section whose missing fields keep the values of `defaults`.
fn section<'de, D, T>(given: D, defaults: T) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Serialize + DeserializeOwned,
{
    let given = Map::<String, Value>::deserialize(given)?;
    let mut section = serde_json::to_value(defaults).map_err(D::Error::custom)?;
    for (name, value) in given {
        let field = section.get_mut(&name);
        *field.ok_or_else(|| D::Error::custom(format!("unknown field `{name}`")))? = value;
    }
    serde_json::from_value(section).map_err(D::Error::custom)
}
