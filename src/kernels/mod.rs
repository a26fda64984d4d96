//! Kernels for the CPU backends: convolutions, which take most of the time of a step, activations and normalisation.
//!
//! One set of kernels works on slices and serves every backend whose tensors lie in ordinary memory. A convolution and
//! a transposed convolution are one geometry seen from its two ends. So three functions (down, up, weight) compute the
//! forward pass and both gradients of either.

mod activation;
#[cfg(feature = "_host")]
mod autodiff;
#[cfg(feature = "_host")]
mod buffer_pool;
#[cfg(feature = "_host")]
mod conv;
#[cfg(feature = "_host")]
mod host;
#[cfg(feature = "_host")]
mod ops;
#[cfg(feature = "_host")]
mod pointwise;

pub use activation::Activation;
#[cfg(feature = "_host")]
pub(crate) use conv::{FilterCache, Options};
#[cfg(feature = "_host")]
pub(crate) use ops::{activate, convolve, convolve_transposed, normalize, supports, tanh};
