//! How a file holds both images of a pair.

use serde::{Deserialize, Serialize};

use crate::names;

/// How a file holds both images of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Layout {
    /// A on the left, B on the right.
    SideBySide,
    /// A above, B below.
    Stacked,
}

names::named!(Layout, "layout");
