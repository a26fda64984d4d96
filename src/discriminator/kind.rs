//! The kinds of a discriminator.

use serde::{Deserialize, Serialize};

use crate::names::named;

/// The architecture of a discriminator. As text it is `patch`, `dcgan` or `auto_encoder`, the same as in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscriminatorKind {
    /// One logit for each overlapping patch (PatchGAN, Isola et al. 2017, section 3.2.2), the paper's choice.
    #[default]
    Patch,
    /// One logit for an image of 2^(`layers` + 2) pixels (DCGAN, Radford et al. 2015), as in PyTorch's example. A larger
    /// image has several.
    Dcgan,
    /// An auto-encoder that reconstructs the image: one negated energy, a mean squared error, for each cell of
    /// 2^`layers` pixels (EBGAN, Zhao et al. 2016). It has no skip connections, because they would copy the image.
    AutoEncoder,
}

named!(DiscriminatorKind, "discriminator kind");

impl DiscriminatorKind {
    /// Returns the kernel, stride and padding of every convolution, in order; of an auto-encoder, those of the encoder.
    pub(super) fn geometry(self, layers: usize) -> Vec<[usize; 3]> {
        let halving = vec![[4, 2, 1]; layers];
        match (self, layers) {
            (Self::Patch, 0) => vec![[1, 1, 0]; 3],
            (Self::Patch, _) => [halving, vec![[4, 1, 1]; 2]].concat(),
            (Self::Dcgan, _) => [halving, vec![[4, 1, 0]]].concat(),
            (Self::AutoEncoder, _) => halving,
        }
    }
}
