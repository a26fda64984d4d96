//! The ResNet generator of the PyTorch original (Johnson et al. 2016): two downsampling layers, residual blocks, two
//! upsampling layers.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::{GeneratorConfig, RESNET_STEPS};
use super::tiling::{LayerAt, Piece};
use crate::layers::{
    Arithmetic, Conv, ConvTranspose, Initializer, Mode, NormLayer, channels_at, dropout, normalised, relu,
    tanh,
};

/// A residual generator.
#[derive(Module, Debug)]
pub(super) struct ResNet {
    first: ConvNorm,
    down: Vec<ConvNorm>,
    blocks: Vec<ResidualBlock>,
    up: Vec<UpNorm>,
    last: Conv,
}

impl ResNet {
    pub(super) fn new(config: &GeneratorConfig, blocks: usize, init: &mut Initializer) -> Self {
        let channels = |level| channels_at(config.base_channels, level);
        let norm = config.norm;
        let bias = config.conv_bias || norm.conv_bias();
        let mut layer = |channels: [usize; 2], geometry| {
            let conv = Conv::new(channels, geometry, bias, init);
            ConvNorm { conv, norm: norm.init(channels[1], init) }
        };

        let first = layer([config.input_channels, channels(0)], [7, 1, 0]);
        let down =
            (0..RESNET_STEPS).map(|level| layer([channels(level), channels(level + 1)], [3, 2, 1])).collect();
        let width = channels(RESNET_STEPS);
        let mut residual = || layer([width, width], [3, 1, 0]);
        let blocks = (0..blocks)
            .map(|_| ResidualBlock { first: residual(), second: residual(), dropout: config.dropout })
            .collect();
        let up = (0..RESNET_STEPS).rev().map(|level| {
            let conv = ConvTranspose::doubling([channels(level + 1), channels(level)], 3, bias, init);
            UpNorm { conv, norm: norm.init(channels(level), init) }
        });
        let up = up.collect();
        let last = Conv::new([channels(0), config.output_channels], [7, 1, 0], true, init);
        Self { first, down, blocks, up, last }
    }

    /// Takes the first convolution, the last or both from `new`, and returns their names.
    pub(super) fn take_ends(&mut self, new: Self, takes: [bool; 2]) -> Vec<String> {
        let mut names = vec![];
        if takes[0] {
            self.first.conv = new.first.conv;
            names.push("first.conv".to_owned());
        }
        if takes[1] {
            self.last = new.last;
            names.push("last".to_owned());
        }
        names
    }

    /// Calls `change` with the arithmetic of every convolution.
    pub(super) fn each_arithmetic(&mut self, change: &mut impl FnMut(&mut Arithmetic)) {
        change(self.first.conv.arithmetic_mut());
        self.down.iter_mut().for_each(|layer| change(layer.conv.arithmetic_mut()));
        for block in &mut self.blocks {
            change(block.first.conv.arithmetic_mut());
            change(block.second.conv.arithmetic_mut());
        }
        self.up.iter_mut().for_each(|layer| change(layer.conv.arithmetic_mut()));
        change(self.last.arithmetic_mut());
    }

    /// Maps `[N, input_channels, H, W]` to `[N, output_channels, H, W]` in `[-1, 1]`.
    pub(super) fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let mut x = relu(self.first.reflected(x, 3, mode)); // [N, C, H, W]
        for layer in &self.down {
            x = relu(layer.forward(x, mode)); // [N, C·2, H/2, W/2]
        }
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, index, mode);
        }
        for layer in &self.up {
            x = relu(layer.forward(x, mode)); // [N, C/2, H·2, W·2]
        }
        tanh(self.last.forward_reflected(x, 3))
    }
}

/// The network in three parts for translation in tiles: the layers before the residual blocks are the head, the
/// residual blocks are the body, and the layers after them are the tail.
impl ResNet {
    /// Returns the output of the head's layer `layers − 1`, not normalised. The norms of the layers before it must have
    /// been folded.
    pub(super) fn head(&self, x: Tensor<4>, layers: usize) -> Tensor<4> {
        let first = self.first.conv.forward_reflected(x, 3);
        self.down[..layers - 1].iter().fold(first, |x, layer| layer.conv.forward(relu(x)))
    }

    /// Maps the head's last output, not yet normalised, to the tail's input.
    pub(super) fn body(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let norm = &self.down[self.down.len() - 1].norm;
        let x = relu(normalised(norm, x, mode));
        self.blocks.iter().enumerate().fold(x, |x, (index, block)| block.forward(x, index, mode))
    }

    /// Returns the output of the tail's layer `layers − 1` for one tile, not normalised; for the last layer, the output
    /// image.
    pub(super) fn tail(&self, mut piece: Piece, layers: usize) -> Tensor<4> {
        let mut x = piece.maps.remove(0);
        for (index, layer) in self.up[..layers.min(self.up.len())].iter().enumerate() {
            x = layer.conv.forward(if index == 0 { x } else { relu(x) });
        }
        if layers > self.up.len() { tanh(self.last.forward_reflected(relu(x), 3)) } else { x }
    }

    /// Returns the norm of a layer, if it has one that is not folded yet.
    pub(super) fn norm(&self, layer: LayerAt) -> Option<&NormLayer> {
        match layer {
            LayerAt::Head(0) => self.first.norm.as_ref(),
            LayerAt::Head(index) => self.down[index - 1].norm.as_ref(),
            LayerAt::Tail(index) => self.up.get(index)?.norm.as_ref(),
        }
    }

    /// Replaces a layer's norm by `affine`, a factor and an offset that are folded into its convolution.
    pub(super) fn fold(&mut self, layer: LayerAt, affine: [Tensor<1>; 2]) {
        match layer {
            LayerAt::Head(index) => {
                let layer = if index == 0 { &mut self.first } else { &mut self.down[index - 1] };
                (layer.conv, layer.norm) = (layer.conv.fold_affine(affine), None);
            }
            LayerAt::Tail(index) => {
                let layer = &mut self.up[index];
                (layer.conv, layer.norm) = (layer.conv.fold_affine(affine), None);
            }
        }
    }
}

/// A residual block: `x + f(x)`, where f has two 3×3 convolutions.
#[derive(Module, Debug)]
struct ResidualBlock {
    first: ConvNorm,
    second: ConvNorm,
    dropout: f64,
}

impl ResidualBlock {
    fn forward(&self, x: Tensor<4>, index: usize, mode: Mode) -> Tensor<4> {
        let inner = relu(self.first.reflected(x.clone(), 1, mode));
        let inner = dropout(inner, self.dropout, index, mode, None);
        x + self.second.reflected(inner, 1, mode)
    }
}

/// A convolution and its norm.
#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv,
    norm: Option<NormLayer>,
}

impl ConvNorm {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.conv.forward(x), mode)
    }

    /// Does the same as [`forward`](Self::forward), after padding by reflection with `margin` pixels.
    fn reflected(&self, x: Tensor<4>, margin: usize, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.conv.forward_reflected(x, margin), mode)
    }
}

/// A transposed convolution and its norm.
#[derive(Module, Debug)]
struct UpNorm {
    conv: ConvTranspose,
    norm: Option<NormLayer>,
}

impl UpNorm {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.conv.forward(x), mode)
    }
}
