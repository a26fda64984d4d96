//! A block of a decoder without skip connections.

use burn::module::Module;
use burn::tensor::Tensor;

use super::arithmetic::Arithmetic;
use super::mode::Mode;
use super::norm::{NormLayer, normalised};
use super::upsample::Upsample;

/// Doubles the resolution: ReLU, transposed convolution, normalisation.
#[derive(Module, Debug)]
pub(crate) struct UpBlock {
    up: Upsample,
    norm: Option<NormLayer>,
}

impl UpBlock {
    pub(crate) fn new(up: Upsample, norm: Option<NormLayer>) -> Self {
        Self { up, norm }
    }

    pub(crate) fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.up.forward(None, x), mode)
    }

    pub(crate) fn arithmetic_mut(&mut self) -> &mut Arithmetic {
        self.up.arithmetic_mut()
    }
}
