//! The layers of a PatchGAN for one scale.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::{DiscriminatorConfig, geometry};
use super::output::ScaleOutput;
use crate::layers::{
    Activation, Conv, Initializer, Mode, Norm, NormLayer, SpectralNorm, activate, channels_at, normalised,
};

/// A PatchGAN of a coarser scale, with weights of its own.
#[derive(Module, Debug)]
pub(super) struct PatchNet {
    pub(super) layers: Vec<PatchLayer>,
}

/// A layer: LeakyReLU of the previous layer's output, convolution, normalisation.
#[derive(Module, Debug)]
pub(super) struct PatchLayer {
    pub(super) conv: Conv,
    norm: Option<NormLayer>,
    spectral: Option<SpectralNorm>,
    activates: bool,
}

/// Creates the layers of scale number `scale`, 0 for the finest.
pub(super) fn layers(config: &DiscriminatorConfig, scale: usize, init: &mut Initializer) -> Vec<PatchLayer> {
    let geometry = geometry(config.layers);
    let last = geometry.len() - 1;
    let mut from = config.seen_channels();
    let layers = geometry.into_iter().enumerate().map(|(index, geometry)| {
        let to = if index == last { 1 } else { channels_at(config.base_channels_at(scale), index) };
        // The PyTorch original's rule: the outer layers of a PatchGAN always have a bias, the last layer of a PixelGAN
        // has none, and none of the inner layers has one before batch normalisation or without a norm.
        let is_outer = index == 0 || (index == last && config.layers != 0);
        // Nothing else could shift the maps there, so that spectral normalisation alone has all biases.
        let is_bare = config.spectral && config.norm == Norm::None;
        let conv = Conv::new([from, to], geometry, is_outer || is_bare || config.norm.conv_bias(), init);
        let has_norm = index != 0 && index != last;
        from = to;
        PatchLayer {
            spectral: config.spectral.then(|| SpectralNorm::new(conv.weight(), init)),
            conv,
            norm: if has_norm { config.norm.init(to, init) } else { None },
            activates: index != 0,
        }
    });
    layers.collect()
}

/// Returns the output of one scale for what it sees, with the features if `keeps_features`.
pub(super) fn forward(
    layers: &[PatchLayer],
    seen: Tensor<4>,
    mode: Mode,
    keeps_features: bool,
) -> ScaleOutput {
    let (mut features, mut x) = (vec![], seen);
    for (index, layer) in layers.iter().enumerate() {
        x = layer.forward(x, mode);
        if keeps_features && index + 1 < layers.len() {
            // The next layer applies the same activation itself, so that its result does not depend on this one.
            features.push(activate(x.clone(), Activation::LeakyRelu));
        }
    }
    ScaleOutput { features, logits: x }
}

impl PatchLayer {
    fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let activation = if self.activates { Activation::LeakyRelu } else { Activation::Linear };
        let x = match &self.spectral {
            Some(norm) => self.conv.forward_normalised(x, activation, norm),
            None => self.conv.forward_activated(x, activation),
        };
        normalised(&self.norm, x, mode)
    }

    /// Moves the estimates of the singular vectors one power iteration on, if the layer has them.
    pub(super) fn power_iteration(&self) {
        if let Some(norm) = &self.spectral {
            norm.iterate(self.conv.weight());
        }
    }
}
