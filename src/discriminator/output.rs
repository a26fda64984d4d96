//! What a discriminator returns on a batch: the maps of each scale.

use burn::tensor::Tensor;

/// The output of a [`Discriminator`](super::Discriminator) on a batch, one element for each scale, finest first.
///
/// It converts from the logits of a single scale, `[N, 1, H', W']`.
#[derive(Clone, Debug)]
pub struct DiscriminatorOutput {
    /// The maps of each scale, finest first.
    pub scales: Vec<ScaleOutput>,
}

/// The output of one scale of a [`Discriminator`](super::Discriminator).
#[derive(Clone, Debug)]
pub struct ScaleOutput {
    /// The outputs of all blocks but the last, after their activations, `[N, C, h, w]` each; empty unless
    /// [`forward_features`](super::Discriminator::forward_features) computed them.
    pub features: Vec<Tensor<4>>,
    /// One logit for each patch, `[N, 1, H', W']`.
    pub logits: Tensor<4>,
    /// The codes of an auto-encoder, `[N, C, H', W']`; `None` for the other kinds.
    pub codes: Option<Tensor<4>>,
}

impl DiscriminatorOutput {
    /// Returns the output without gradients, as a constant for autodiff.
    #[must_use]
    pub(crate) fn autodiff(self) -> Self {
        let scales = self.scales.into_iter().map(|scale| ScaleOutput {
            features: scale.features.into_iter().map(Tensor::autodiff).collect(),
            logits: scale.logits.autodiff(),
            codes: scale.codes.map(Tensor::autodiff),
        });
        Self { scales: scales.collect() }
    }
}

impl From<Tensor<4>> for DiscriminatorOutput {
    fn from(logits: Tensor<4>) -> Self {
        Self { scales: vec![ScaleOutput { features: vec![], logits, codes: None }] }
    }
}
