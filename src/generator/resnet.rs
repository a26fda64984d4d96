//! The ResNet generator of the PyTorch original (Johnson et al. 2016): two half-resolution steps, residual blocks, two
//! double-resolution steps.

#[path = "resnet_split.rs"]
mod split;

use burn::module::Module;

use crate::Tensor;
use crate::generator::GeneratorConfig;
use crate::layers::{
    Conv, ConvTranspose, Initializer, Mode, NormLayer, channels_at, dropout, normalised, relu, tanh,
};

/// Half-resolution steps, and so double-resolution steps.
pub(crate) const STEPS: usize = 2;

/// A residual generator.
#[derive(Module, Debug)]
pub(crate) struct ResNet {
    first: ConvNorm,
    down: Vec<ConvNorm>,
    blocks: Vec<ResidualBlock>,
    up: Vec<UpNorm>,
    last: Conv,
}

impl ResNet {
    pub(crate) fn new(config: &GeneratorConfig, blocks: usize, init: &mut Initializer) -> Self {
        let channels = |level| channels_at(config.base_channels, level);
        let norm = config.norm;
        let bias = norm.conv_bias();
        let mut layer = |channels: [usize; 2], geometry| {
            let conv = Conv::new(channels, geometry, bias, init);
            ConvNorm { conv, norm: norm.init(channels[1], init) }
        };

        let first = layer([config.input_channels, channels(0)], [7, 1, 0]);
        let down = (0..STEPS).map(|level| layer([channels(level), channels(level + 1)], [3, 2, 1])).collect();
        let width = channels(STEPS);
        let mut residual = || layer([width, width], [3, 1, 0]);
        let blocks = (0..blocks)
            .map(|_| ResidualBlock { first: residual(), second: residual(), dropout: config.dropout })
            .collect();
        let up = (0..STEPS).rev().map(|level| {
            let conv = ConvTranspose::doubling([channels(level + 1), channels(level)], 3, bias, init);
            UpNorm { conv, norm: norm.init(channels(level), init) }
        });
        let up = up.collect();
        let last = Conv::new([channels(0), config.output_channels], [7, 1, 0], true, init);
        Self { first, down, blocks, up, last }
    }

    /// `[N, input_channels, H, W]` to `[N, output_channels, H, W]` in `[-1, 1]`.
    pub(crate) fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
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

/// A residual block: `x + f(x)`, with f of two 3×3 convolutions.
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

/// A convolution and its normalisation.
#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv,
    norm: Option<NormLayer>,
}

impl ConvNorm {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.conv.forward(x), mode)
    }

    fn reflected(&self, x: Tensor<4>, margin: usize, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.conv.forward_reflected(x, margin), mode)
    }
}

/// A transposed convolution and its normalisation.
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
