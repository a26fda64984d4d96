//! The pages of a TIFF file.

use serde::{Deserialize, Serialize};

use crate::names;

/// The pages of TIFF files that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pages {
    /// The first.
    #[default]
    First,
    /// All; each is an image.
    All,
    /// All; their channels together are those of one image.
    Channels,
}

names::named!(Pages, "pages");

/// The part of a file that is one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Page {
    /// A page, counted from 0.
    Number(usize),
    /// All pages, whose channels are joined.
    All,
}
