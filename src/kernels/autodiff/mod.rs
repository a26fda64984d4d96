//! The kernels as operations of burn, with their gradients.
#![allow(deprecated)] // burn deprecates its own ndarray backend

mod conv;
mod pointwise;

pub(super) use conv::Convolve;
pub(super) use pointwise::Pointwise;
