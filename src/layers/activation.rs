//! Activations, computed by the crate's kernels if they support the tensor, else by burn.

use burn::tensor::{Tensor, activation};

#[cfg(feature = "_kernels")]
use crate::kernels;
use crate::kernels::Activation;

/// Applies an activation to every value.
pub(crate) fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    if activation == Activation::Linear {
        return x;
    }
    #[cfg(feature = "_kernels")]
    if kernels::supports(&x) {
        return kernels::activate(x, activation);
    }
    match activation {
        Activation::Linear => x,
        Activation::Relu => activation::relu(x),
        Activation::LeakyRelu => activation::leaky_relu(x, Activation::LEAK),
    }
}

/// Applies ReLU to every value.
pub(crate) fn relu(x: Tensor<4>) -> Tensor<4> {
    activate(x, Activation::Relu)
}

/// Applies the hyperbolic tangent to every value.
pub fn tanh(x: Tensor<4>) -> Tensor<4> {
    #[cfg(feature = "_kernels")]
    if kernels::supports(&x) {
        return kernels::tanh(x);
    }
    activation::tanh(x)
}
