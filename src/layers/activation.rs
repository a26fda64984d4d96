//! ReLU, LeakyReLU and tanh.

use burn::tensor::activation;

use crate::Tensor;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::{self, Activation};

/// What an activation multiplies negative values by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope(f64);

impl Slope {
    /// ReLU.
    pub const RELU: Self = Self(0.0);
    /// Every LeakyReLU of the networks (Isola et al. 2017, appendix 6.1).
    pub const LEAKY: Self = Self(0.2);
    /// No activation.
    pub const LINEAR: Self = Self(1.0);

    /// As a kernel takes it.
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    pub(crate) fn value(self) -> f32 {
        self.0 as f32
    }
}

/// Multiplies negative values by `slope`.
pub(crate) fn rectify(x: Tensor<4>, slope: Slope) -> Tensor<4> {
    if slope == Slope::LINEAR {
        return x;
    }
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        return kernels::activate(x, Activation::Rectify(slope.value()));
    }
    if slope == Slope::RELU { activation::relu(x) } else { activation::leaky_relu(x, slope.0) }
}

/// Zero where `x` is negative.
pub(crate) fn relu(x: Tensor<4>) -> Tensor<4> {
    rectify(x, Slope::RELU)
}

/// Into the range of pictures, `[-1, 1]`.
pub fn tanh(x: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        return kernels::activate(x, Activation::Tanh);
    }
    activation::tanh(x)
}
