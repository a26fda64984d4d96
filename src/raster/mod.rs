//! Images as arrays of values in `[-1, 1]`: decoding, resampling and encoding, for `data` and `translate`.

mod canvas;
mod class_map;
mod decode;
mod encode;
mod header;
mod indexed;
mod levels;
mod limits;
mod palette;
mod planar;
mod source;
mod truncated;
mod upright_size;

pub use decode::{LoadedImage, load_image, read_image, read_image_with_profile};
pub use encode::storable;
pub use header::ImageHeader;
pub use levels::round_to_8_bits;
pub use limits::{ImageLimits, MemoryBudget, MemoryPermit};
pub use palette::Palette;
pub use planar::{PlanarImage, ResizeFilter, to_images};

pub(crate) use canvas::Canvas;
pub(crate) use class_map::ClassMap;
pub(crate) use decode::stored_size;
pub(crate) use encode::encode;
pub(crate) use indexed::read_indices;
#[cfg(feature = "eval")]
pub(crate) use levels::levels;
pub(crate) use planar::resizing_bytes;
pub(crate) use source::{IMAGE_CHANNELS, NOT_A_NUMBER, Pixels, Region, reflected};
pub(crate) use upright_size::header_size;
