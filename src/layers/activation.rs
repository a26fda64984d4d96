//! ReLU and LeakyReLU.

use crate::Tensor;

/// The slope of every LeakyReLU for negative values (Isola et al. 2017, appendix 6.1).
const LEAKY_SLOPE: f64 = 0.2;

/// Zero where `x` is negative.
pub(crate) fn relu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::kernels::supports(&x) {
        return crate::kernels::activate(x, 0.0);
    }
    burn::tensor::activation::relu(x)
}

/// A fifth of `x` where it is negative.
pub(crate) fn leaky_relu(x: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if crate::kernels::supports(&x) {
        return crate::kernels::activate(x, LEAKY_SLOPE);
    }
    burn::tensor::activation::leaky_relu(x, LEAKY_SLOPE)
}
