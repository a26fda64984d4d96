//! The building blocks of both networks, and the mode of a forward pass.

mod activation;
mod arithmetic;
mod channels;
mod conv;
mod dropout;
mod footprint;
mod init;
mod mode;
mod noise;
mod norm;
mod parameter_count;
mod spectral;
mod thread_pool;
mod up_block;
mod upsample;

#[doc(hidden)]
pub use crate::kernels::Activation;
#[doc(hidden)]
pub use activation::tanh;
#[doc(hidden)]
pub use arithmetic::Arithmetic;
#[doc(hidden)]
pub use conv::{conv_transpose_2x, convolve};
pub use mode::{DropoutMode, Mode, Statistics};
pub use norm::Norm;
pub use upsample::UpsampleKind;

pub(crate) use activation::{activate, relu};
pub(crate) use channels::{MAX_CHANNELS, channels_at};
pub(crate) use conv::{Conv, ConvTranspose};
pub(crate) use dropout::{TilePosition, dropout};
pub(crate) use footprint::Footprint;
pub(crate) use init::Initializer;
pub(crate) use noise::noise;
pub(crate) use norm::{Moments, NormLayer, moments, normalised};
pub(crate) use parameter_count::parameter_count;
pub(crate) use spectral::SpectralNorm;
pub(crate) use thread_pool::in_thread_pool;
pub(crate) use up_block::UpBlock;
pub(crate) use upsample::Upsample;
