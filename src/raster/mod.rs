//! Images as numbers: reading, sampling, resizing and writing them, for `data` and `translate`.

mod canvas;
mod decode;
mod source;
mod truncated;

pub use decode::{open, open_with_profile};

pub(crate) use canvas::Canvas;
pub(crate) use decode::{NOT_A_NUMBER, PICTURE_CHANNELS, Planes};
pub(crate) use source::Pixels;
