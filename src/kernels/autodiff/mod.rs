//! The kernels as operations of burn: traits that the backends implement, and their gradients.
#![allow(deprecated)] // burn deprecates its own ndarray backend

mod conv;
#[cfg(feature = "_cube")]
mod cross_entropy;
#[cfg(feature = "_cube")]
mod dropout;
mod pointwise;

pub(super) use conv::{Call, Convolve, ConvolveGradients};
#[cfg(feature = "_cube")]
pub(super) use cross_entropy::{CrossEntropy, CrossEntropyGradient};
#[cfg(feature = "_cube")]
pub(super) use dropout::Dropout;
pub(super) use pointwise::{Pointwise, PointwiseGradients};
