//! The generator of DCGAN: a decoder alone, which makes an image of noise (Radford et al. 2015, section 3), with the
//! layers and sizes of PyTorch's example.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::config::GeneratorConfig;
use crate::layers::{
    Arithmetic, Initializer, Mode, NormLayer, UpBlock, Upsample, channels_at, normalised, tanh,
};

/// The side of the map that the noise is projected to.
const FIRST: usize = 4;

/// A DCGAN generator for images of 2^depth pixels.
#[derive(Module, Debug)]
pub(super) struct Dcgan {
    project: Projection,
    norm: Option<NormLayer>,
    decoder: Vec<UpBlock>,
}

impl Dcgan {
    pub(super) fn new(config: &GeneratorConfig, depth: usize, noise: usize, init: &mut Initializer) -> Self {
        let widths = widths(config, depth);
        let bias = config.conv_bias || config.norm.conv_bias();
        let project = Projection::new([noise, widths[0]], bias, init);
        let norm = config.norm.init(widths[0], init);
        let last = widths.len() - 2;
        let decoder = widths.windows(2).enumerate().map(|(index, channels)| {
            let up = Upsample::new([channels[0], channels[1]], config.upsample, bias, init);
            let norm = if index == last { None } else { config.norm.init(channels[1], init) };
            UpBlock::new(up, norm)
        });
        Self { project, norm, decoder: decoder.collect() }
    }

    /// Takes the last convolution from `new`, and returns its name.
    pub(super) fn take_last(&mut self, mut new: Self) -> Vec<String> {
        let Some((old, new)) = self.decoder.last_mut().zip(new.decoder.pop()) else { return vec![] };
        *old = new;
        vec![format!("decoder.{}.up", self.decoder.len() - 1)]
    }

    /// Calls `change` with the arithmetic of every convolution.
    pub(super) fn each_arithmetic(&mut self, change: &mut impl FnMut(&mut Arithmetic)) {
        self.decoder.iter_mut().for_each(|block| change(block.arithmetic_mut()));
    }

    /// Maps noise, `[N, noise, 1, 1]`, to `[N, output_channels, 2^depth, 2^depth]` in `[-1, 1]`.
    pub(super) fn forward(&self, noise: Tensor<4>, mode: Mode) -> Tensor<4> {
        let x = normalised(&self.norm, self.project.forward(noise), mode); // [N, C, 4, 4]
        tanh(self.decoder.iter().fold(x, |x, block| block.forward(x, mode)))
    }
}

/// Returns the channels of the first map, and those that each block returns.
pub(super) fn widths(config: &GeneratorConfig, depth: usize) -> Vec<usize> {
    let mut widths: Vec<usize> =
        (0..depth - 2).rev().map(|level| channels_at(config.base_channels, level)).collect();
    widths.push(config.output_channels);
    widths
}

/// Projects noise to a 4×4 map: the transposed convolution of one pixel, which is a product of matrices.
#[derive(Module, Debug)]
struct Projection {
    /// `[in, out, 4, 4]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Option<Param<Tensor<1>>>,
}

impl Projection {
    fn new(channels: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        let weight = init.weight([channels[0], channels[1], FIRST, FIRST]);
        Self { weight, bias: bias.then(|| init.bias(channels[1])) }
    }

    /// Maps `[N, in, 1, 1]` to `[N, out, 4, 4]`.
    fn forward(&self, noise: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let ([images, ..], [from, to, ..]) = (noise.dims(), weight.dims());
        let values = to * FIRST * FIRST;
        let map = noise.reshape([images, from]).matmul(weight.reshape([from, values]));
        let map = map.reshape([images, to, FIRST, FIRST]);
        match &self.bias {
            Some(bias) => map + bias.val().reshape([1, to, 1, 1]),
            None => map,
        }
    }
}
