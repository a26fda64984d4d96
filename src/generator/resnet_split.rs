//! A ResNet cut at its residual blocks: the layers before them are the head, those behind them the tail.

use super::ResNet;
use crate::Tensor;
use crate::generator::{Layer, Piece};
use crate::layers::{Mode, NormLayer, normalised, relu, tanh};

impl ResNet {
    /// The output of the head's layer `layers − 1` before its normalisation; the others' is folded.
    pub(crate) fn head(&self, x: Tensor<4>, layers: usize) -> Tensor<4> {
        let first = self.first.conv.forward_reflected(x, 3);
        self.down[..layers - 1].iter().fold(first, |x, layer| layer.conv.forward(relu(x)))
    }

    /// The residual blocks, from the head's last map before its normalisation.
    pub(crate) fn body(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let norm = &self.down[self.down.len() - 1].norm;
        let x = relu(normalised(norm, x, mode));
        self.blocks.iter().enumerate().fold(x, |x, (index, block)| block.forward(x, index, mode))
    }

    /// The first `layers` layers of the tail, on a piece.
    pub(crate) fn tail(&self, mut piece: Piece, layers: usize) -> Tensor<4> {
        let mut x = piece.maps.remove(0);
        for (index, layer) in self.up[..layers.min(self.up.len())].iter().enumerate() {
            x = layer.conv.forward(if index == 0 { x } else { relu(x) });
        }
        if layers > self.up.len() { tanh(self.last.forward_reflected(relu(x), 3)) } else { x }
    }

    pub(crate) fn norm(&self, layer: Layer) -> Option<&NormLayer> {
        match layer {
            Layer::Head(0) => self.first.norm.as_ref(),
            Layer::Head(index) => self.down[index - 1].norm.as_ref(),
            Layer::Tail(index) => self.up.get(index)?.norm.as_ref(),
        }
    }

    /// Folds `affine`, which stands for a layer's normalisation, into its convolution.
    pub(crate) fn fold(&mut self, layer: Layer, affine: [Tensor<1>; 2]) {
        match layer {
            Layer::Head(index) => {
                let layer = if index == 0 { &mut self.first } else { &mut self.down[index - 1] };
                (layer.conv, layer.norm) = (layer.conv.scaled(affine), None);
            }
            Layer::Tail(index) => {
                let layer = &mut self.up[index];
                (layer.conv, layer.norm) = (layer.conv.scaled(affine), None);
            }
        }
    }
}
