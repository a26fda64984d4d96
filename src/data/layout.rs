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
    /// One image, which is input and target, for a generator that takes no input, such as that of DCGAN.
    Single,
}

names::named!(Layout, "layout");
