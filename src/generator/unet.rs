//! The U-Net: an encoder that halves the picture down to one pixel, a decoder that doubles it up again, and skip
//! connections between layers of equal size (Isola et al. 2017, section 3.2.1 and appendix 6.1.1).

#[path = "unet_split.rs"]
mod split;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use crate::Tensor;
use crate::generator::GeneratorConfig;
use crate::layers::{
    Conv, Initializer, Mode, NormLayer, Slope, Upsample, channels_at, dropout, normalised, tanh,
};

/// Which decoder blocks of a U-Net carry dropout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropoutLayout {
    /// The first three: outputs of 2, 4 and 8 pixels. The paper and its Lua code.
    #[default]
    Paper,
    /// The PyTorch original's: none on the first, then one for each level beyond five (outputs of 4, 8 and 16 pixels
    /// at depth 8).
    Pytorch,
}

impl DropoutLayout {
    /// Whether the decoder block `index`, counted from the bottleneck, carries dropout at this depth.
    fn includes(self, index: usize, depth: usize) -> bool {
        match self {
            Self::Paper => index < 3 && index + 1 < depth,
            Self::Pytorch => (1..depth.saturating_sub(4)).contains(&index),
        }
    }
}

/// A U-Net, or an encoder-decoder if it has no skip connections.
#[derive(Module, Debug)]
pub(crate) struct UNet {
    encoder: Vec<EncoderBlock>,
    decoder: Vec<DecoderBlock>,
    has_skips: bool,
}

impl UNet {
    pub(crate) fn new(
        config: &GeneratorConfig,
        depth: usize,
        has_skips: bool,
        init: &mut Initializer,
    ) -> Self {
        let channels = |level| channels_at(config.base_channels, level);
        let bias = config.norm.conv_bias();
        let bottleneck = depth - 1;

        let encoder = (0..depth).map(|level| {
            let from = if level == 0 { config.input_channels } else { channels(level - 1) };
            let conv = Conv::halving([from, channels(level)], bias, init);
            // A single pixel has no variance to normalise, and the first layer must see the picture as it is.
            let has_norm = level != 0 && level != bottleneck;
            let norm = if has_norm { config.norm.init(channels(level), init) } else { None };
            EncoderBlock { conv, norm, activates: level != 0 }
        });
        let encoder = encoder.collect();

        let decoder = (0..depth).map(|index| {
            let level = bottleneck - index;
            let doubled = if has_skips && index != 0 { 2 } else { 1 };
            let is_last = level == 0;
            let to = if is_last { config.output_channels } else { channels(level - 1) };
            let up = Upsample::new([channels(level) * doubled, to], config.upsample, bias || is_last, init);
            let norm = if is_last { None } else { config.norm.init(to, init) };
            let has_dropout = config.dropout_layout.includes(index, depth);
            DecoderBlock { up, norm, dropout: if has_dropout { config.dropout } else { 0.0 } }
        });
        Self { encoder, decoder: decoder.collect(), has_skips }
    }

    /// `[N, input_channels, H, W]` to `[N, output_channels, H, W]` in `[-1, 1]`.
    pub(crate) fn forward(&self, mut x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let mut skips = Vec::with_capacity(self.encoder.len());
        for block in &self.encoder {
            x = block.forward(x, mode); // [N, C·2, H/2, W/2]
            skips.push(x.clone());
        }
        skips.pop(); // the bottleneck itself has no partner
        for (index, block) in self.decoder.iter().enumerate() {
            let skip = if index == 0 { None } else { skips.pop().filter(|_| self.has_skips) };
            x = block.forward(skip, x, index, mode); // [N, C/2, H·2, W·2]
        }
        tanh(x)
    }
}

/// Halves the resolution: LeakyReLU, convolution, normalisation.
#[derive(Module, Debug)]
struct EncoderBlock {
    conv: Conv,
    norm: Option<NormLayer>,
    activates: bool,
}

impl EncoderBlock {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        normalised(&self.norm, self.raw(x), mode)
    }

    /// The output before normalisation.
    fn raw(&self, x: Tensor<4>) -> Tensor<4> {
        let slope = if self.activates { Slope::LEAKY } else { Slope::LINEAR };
        self.conv.forward_rectified(x, slope)
    }
}

/// Doubles the resolution: join with the skip connection, ReLU, transposed convolution, normalisation, dropout.
#[derive(Module, Debug)]
struct DecoderBlock {
    up: Upsample,
    norm: Option<NormLayer>,
    dropout: f64,
}

impl DecoderBlock {
    fn forward(&self, skip: Option<Tensor<4>>, x: Tensor<4>, index: usize, mode: Mode) -> Tensor<4> {
        let x = normalised(&self.norm, self.up.forward(skip, x), mode);
        dropout(x, self.dropout, index, mode, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_stands_where_paper_and_pytorch_have_it() {
        let blocks = |layout: DropoutLayout, depth| {
            (0..depth).filter(|index| layout.includes(*index, depth)).collect::<Vec<_>>()
        };
        assert_eq!(blocks(DropoutLayout::Paper, 8), [0, 1, 2]);
        assert_eq!(blocks(DropoutLayout::Paper, 7), [0, 1, 2]);
        assert_eq!(blocks(DropoutLayout::Pytorch, 8), [1, 2, 3]);
        assert_eq!(blocks(DropoutLayout::Pytorch, 7), [1, 2]);
        assert_eq!(blocks(DropoutLayout::Pytorch, 5), [0; 0]);
        assert_eq!(blocks(DropoutLayout::Paper, 2), [0]);
    }
}
