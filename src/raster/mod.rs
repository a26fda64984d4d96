//! Images as arrays of values in `[-1, 1]`: decoding, resampling and encoding, for `data` and `translate`.

mod canvas;
mod class_map;
mod decode;
mod encode;
mod upright_size;
mod indexed;
mod levels;
mod palette;
mod planar;
mod source;
mod truncated;

pub use decode::{read_image, read_image_with_profile};
pub use encode::storable;
pub use levels::round_to_8_bits;
pub use palette::Palette;
pub use planar::{PlanarImage, ResizeFilter, to_images};

pub(crate) use canvas::Canvas;
pub(crate) use class_map::ClassMap;
pub(crate) use encode::encode;
pub(crate) use upright_size::header_size;
pub(crate) use indexed::read_indices;
#[cfg(feature = "eval")]
pub(crate) use levels::levels;
pub(crate) use source::{IMAGE_CHANNELS, NOT_A_NUMBER, Pixels, reflected};
