//! The U-Net: an encoder that halves the resolution, down to one pixel at the paper's size, a decoder that doubles it
//! again, and skip connections between layers of equal size (Isola et al. 2017, section 3.2.1 and appendix 6.1.1).

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::GeneratorConfig;
use super::tiling::{LayerAt, Piece};
use crate::layers::{
    Activation, Arithmetic, Conv, Initializer, Mode, NormLayer, Upsample, channels_at, dropout, normalised,
    tanh,
};

/// A U-Net, or an encoder-decoder if it has no skip connections.
#[derive(Module, Debug)]
pub(super) struct UNet {
    encoder: Vec<EncoderBlock>,
    decoder: Vec<DecoderBlock>,
    has_skips: bool,
}

impl UNet {
    pub(super) fn new(
        config: &GeneratorConfig,
        depth: usize,
        has_skips: bool,
        init: &mut Initializer,
    ) -> Self {
        let channels = |level| channels_at(config.base_channels, level);
        let bias = config.conv_bias || config.norm.conv_bias();
        let bottleneck = depth - 1;

        let encoder = (0..depth).map(|level| {
            let from = if level == 0 { config.input_channels } else { channels(level - 1) };
            let conv = Conv::halving([from, channels(level)], bias, init);
            // A single pixel has no variance to normalise, and the first layer has no norm (appendix 6.1.1).
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

    /// Takes the first convolution, the last or both from `new`, and returns their names.
    pub(super) fn take_ends(&mut self, mut new: Self, takes: [bool; 2]) -> Vec<String> {
        let (first, last) = (new.encoder.swap_remove(0), new.decoder.pop());
        let mut names = vec![];
        if takes[0] {
            self.encoder[0] = first;
            names.push("encoder.0.conv".to_owned());
        }
        if takes[1]
            && let Some((old, last)) = self.decoder.last_mut().zip(last)
        {
            *old = last;
            names.push(format!("decoder.{}.up", self.decoder.len() - 1));
        }
        names
    }

    /// Calls `change` with the arithmetic of every convolution.
    pub(super) fn each_arithmetic(&mut self, change: &mut impl FnMut(&mut Arithmetic)) {
        self.encoder.iter_mut().for_each(|block| change(block.conv.arithmetic_mut()));
        self.decoder.iter_mut().for_each(|block| change(block.up.arithmetic_mut()));
    }

    /// Maps `[N, input_channels, H, W]` to `[N, output_channels, H, W]` in `[-1, 1]`.
    pub(super) fn forward(&self, mut x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let mut skips = Vec::with_capacity(self.encoder.len());
        for block in &self.encoder {
            x = block.forward(x, mode); // [N, C·2, H/2, W/2]
            skips.push(x.clone());
        }
        skips.pop(); // the bottleneck's output is not a skip connection
        for (index, block) in self.decoder.iter().enumerate() {
            let skip = if index == 0 { None } else { skips.pop().filter(|_| self.has_skips) };
            x = block.forward(skip, x, index, mode); // [N, C/2, H·2, W·2]
        }
        tanh(x)
    }
}

/// The network in three parts for translation in tiles. With `split` = s, the first s encoder blocks are the head, the
/// last s decoder blocks are the tail, and the blocks between them are the body.
impl UNet {
    pub(super) fn has_skips(&self) -> bool {
        self.has_skips
    }

    /// Returns the outputs of the first `layers` encoder blocks. The last output is not normalised; the norms of the
    /// other blocks must have been folded.
    pub(super) fn head(&self, mut x: Tensor<4>, layers: usize) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(layers);
        for block in &self.encoder[..layers] {
            x = block.convolve(x);
            maps.push(x.clone());
        }
        maps
    }

    /// Maps the head's last output, not yet normalised, to the tail's input: the skip connection of that level if there
    /// are any, then the decoder's output.
    pub(super) fn body(&self, x: Tensor<4>, split: usize, mode: Mode) -> Vec<Tensor<4>> {
        let blocks = self.decoder.len() - split;
        let mut x = normalised(&self.encoder[split - 1].norm, x, mode);
        let mut skips = vec![x.clone()];
        for block in &self.encoder[split..] {
            x = block.forward(x, mode);
            skips.push(x.clone());
        }
        skips.pop(); // the bottleneck's output is not a skip connection
        let mut skip = None;
        for (index, block) in self.decoder[..blocks].iter().enumerate() {
            x = block.forward(skip.take(), x, index, mode);
            skip = skips.pop().filter(|_| self.has_skips);
        }
        skip.into_iter().chain([x]).collect()
    }

    /// Returns the output of the tail's decoder block `layers − 1` for one tile, not normalised; for the last block,
    /// the output image.
    pub(super) fn tail(&self, piece: Piece, layers: usize, split: usize, mode: Mode) -> Tensor<4> {
        let first = self.decoder.len() - split;
        let Piece { mut maps, mut skips, place } = piece;
        let mut x = maps.swap_remove(maps.len() - 1);
        let mut skip = maps.pop();
        for index in first..first + layers {
            let block = &self.decoder[index];
            x = block.up.forward(skip.take(), x);
            if index + 1 == first + layers {
                break; // its norm is not folded yet
            }
            let place = place.times(2 << (index - first));
            x = dropout(x, block.dropout, index, mode, Some(place));
            skip = skips.pop();
        }
        if layers == split { tanh(x) } else { x }
    }

    /// Returns the norm of a layer, if it has one that is not folded yet.
    pub(super) fn norm(&self, layer: LayerAt, split: usize) -> Option<&NormLayer> {
        match layer {
            LayerAt::Head(index) => self.encoder[index].norm.as_ref(),
            LayerAt::Tail(index) => self.decoder[self.decoder.len() - split + index].norm.as_ref(),
        }
    }

    /// Replaces a layer's norm by `affine`, a factor and an offset that are folded into its convolution.
    pub(super) fn fold(&mut self, layer: LayerAt, split: usize, affine: [Tensor<1>; 2]) {
        match layer {
            LayerAt::Head(index) => {
                let block = &mut self.encoder[index];
                (block.conv, block.norm) = (block.conv.fold_affine(affine), None);
            }
            LayerAt::Tail(index) => {
                let index = self.decoder.len() - split + index;
                let block = &mut self.decoder[index];
                (block.up, block.norm) = (block.up.fold_affine(affine), None);
            }
        }
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
        normalised(&self.norm, self.convolve(x), mode)
    }

    /// Returns the output before normalisation.
    fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        let activation = if self.activates { Activation::LeakyRelu } else { Activation::Linear };
        self.conv.forward_activated(x, activation)
    }
}

/// Doubles the resolution: concatenation with the skip connection, ReLU, transposed convolution, normalisation, dropout.
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
