//! The layers of a PatchGAN for one scale.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::DiscriminatorConfig;
use super::kind::DiscriminatorKind;
use super::output::ScaleOutput;
use super::projection::Projection;
use crate::layers::{
    Activation, Conv, Initializer, Mode, Norm, NormLayer, SpectralNorm, activate, channels_at, normalised,
};

/// A PatchGAN of a coarser scale, with weights of its own.
#[derive(Module, Debug)]
pub(super) struct PatchNet {
    pub(super) layers: Vec<PatchLayer>,
    pub(super) projection: Option<Projection>,
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
    let mut from = config.seen_channels();
    let layers = config.geometry().into_iter().enumerate().map(|(index, geometry)| {
        let is_last = config.is_last(index);
        let to = if is_last { 1 } else { channels_at(config.base_channels_at(scale), index) };
        // The PyTorch original's rule: the outer layers of a PatchGAN always have a bias, the last layer of a PixelGAN
        // has none, and none of the inner layers has one before batch normalisation or without a norm. DCGAN's have
        // none.
        let is_outer = index == 0 || (is_last && config.layers != 0);
        let is_outer = is_outer && config.kind != DiscriminatorKind::Dcgan;
        // Nothing else could shift the maps there, so that spectral normalisation alone has all biases.
        let is_bare = config.spectral && config.norm == Norm::None;
        let conv = Conv::new([from, to], geometry, is_outer || is_bare || config.norm.conv_bias(), init);
        let has_norm = index != 0 && !is_last;
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

/// Returns the output of one scale for what it sees, with the features if `keeps_features`. `project` returns what is
/// added to the logits, from the features that the last convolution sees.
pub(super) fn forward(
    layers: &[PatchLayer],
    mut project: Option<impl FnOnce(Tensor<4>) -> Tensor<4>>,
    seen: Tensor<4>,
    mode: Mode,
    keeps_features: bool,
) -> ScaleOutput {
    let (mut features, mut projected, mut x) = (vec![], None, seen);
    for (index, layer) in layers.iter().enumerate() {
        x = layer.forward(x, mode);
        // The next layer applies the same activation itself, so that its result does not depend on this one.
        let feature = || activate(x.clone(), Activation::LeakyRelu);
        if index + 2 == layers.len() {
            projected = project.take().map(|project| project(feature()));
        }
        if keeps_features && index + 1 < layers.len() {
            features.push(feature());
        }
    }
    let logits = match projected {
        Some(projected) => x + projected,
        None => x,
    };
    ScaleOutput { features, logits, codes: None }
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
