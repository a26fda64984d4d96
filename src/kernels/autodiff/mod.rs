//! The kernels as operations of burn: traits that the backends implement, and their gradients.
#![allow(deprecated)] // burn deprecates its own ndarray backend

mod conv;
mod pointwise;

pub(super) use conv::{Call, Convolve, ConvolveGradients};
pub(super) use pointwise::{Pointwise, PointwiseGradients};
