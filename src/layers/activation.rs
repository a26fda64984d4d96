//! ReLU, LeakyReLU and tanh.

use burn::tensor::activation;

use crate::Tensor;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::{self, Activation};

/// The slope of every LeakyReLU for negative values (Isola et al. 2017, appendix 6.1).
const LEAKY_SLOPE: f64 = 0.2;

/// Zero where `x` is negative.
pub(crate) fn relu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        return kernels::activate(x, Activation::Rectify(0.0));
    }
    activation::relu(x)
}

/// A fifth of `x` where it is negative.
pub(crate) fn leaky_relu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        return kernels::activate(x, Activation::Rectify(LEAKY_SLOPE as f32));
    }
    activation::leaky_relu(x, LEAKY_SLOPE)
}

/// Into the range of pictures, `[-1, 1]`.
pub(crate) fn tanh(x: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        return kernels::activate(x, Activation::Tanh);
    }
    activation::tanh(x)
}
