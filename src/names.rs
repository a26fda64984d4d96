//! The values of settings as text: the same names as in JSON.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// Returns the value of the setting `kind` that `text` names, one of `choices`.
pub(crate) fn parse<T: DeserializeOwned>(kind: &'static str, text: &str, choices: &[&str]) -> Result<T> {
    serde_json::from_value(Value::from(text))
        .map_err(|_| Error::config(kind, format!("`{text}` is not one of {}", choices.join(", "))))
}

/// Writes the name that `value` has in JSON.
pub(crate) fn write<T: Serialize>(value: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match serde_json::to_value(value).map_err(|_| fmt::Error)? {
        Value::String(name) => f.pad(&name),
        other => write!(f, "{other}"),
    }
}
