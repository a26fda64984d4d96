//! Images as arrays of values in `[-1, 1]`: decoding, resampling and encoding, for `data` and `translate`.

mod array;
mod canvas;
mod class_map;
mod decode;
mod encode;
mod header;
mod indexed;
mod levels;
mod limits;
mod load_array;
mod load_image;
mod npy;
mod pages;
mod palette;
mod planar;
mod resize;
mod source;
#[cfg(feature = "codecs")]
mod tiff;
mod truncated;
mod upright_size;

pub use array::{ImageArray, SampleFormat, SampleType, Samples};
pub use decode::LoadedImage;
pub use encode::storable;
pub use header::ImageHeader;
pub use levels::round_to_8_bits;
pub use limits::{ImageLimits, MemoryBudget, MemoryPermit};
pub use load_array::{LoadedArray, load_array, page_count};
pub use load_image::{load_image, read_image, read_image_with_profile};
pub use pages::{Page, Pages};
pub use palette::Palette;
pub use planar::{PlanarImage, to_images};
pub use resize::ResizeFilter;

pub(crate) use canvas::Canvas;
pub(crate) use class_map::ClassMap;
pub(crate) use decode::stored_size;
pub(crate) use encode::encode;
pub(crate) use indexed::read_indices;
#[cfg(feature = "eval")]
pub(crate) use levels::levels;
pub(crate) use npy::encode as encode_npy;
pub(crate) use planar::resizing_bytes;
pub(crate) use source::{IMAGE_CHANNELS, NOT_A_NUMBER, Pixels, Region, reflected};
#[cfg(feature = "codecs")]
pub(crate) use tiff::encode as encode_tiff;
pub(crate) use upright_size::header_size;

/// Without encoders, no TIFF file is written.
#[cfg(not(feature = "codecs"))]
pub(crate) fn encode_tiff(_: &[ImageArray]) -> Result<Vec<u8>, String> {
    Err("TIFF files need the feature `codecs`".to_owned())
}
