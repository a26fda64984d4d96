//! The adversarial objectives: cross-entropy, least squares, hinge and energies.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, relu};
use serde::{Deserialize, Serialize};

use super::sums::mean;
use crate::names::named;

/// The adversarial objective. As text it is `vanilla`, `minimax`, `least_squares`, `hinge` or `energy`, the same as in
/// JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GanMode {
    /// Cross-entropy, with the generator maximising log D (non-saturating): the paper's choice.
    #[default]
    Vanilla,
    /// Cross-entropy, with the generator minimising log(1 − D), which is what D maximises: the game of Goodfellow et al.
    /// 2014, equation 1. Its gradient vanishes where D is sure that an image is fake.
    Minimax,
    /// Squared distance of the logits to 1 and 0 (LSGAN).
    LeastSquares,
    /// Hinge loss with margins at 1 and −1.
    Hinge,
    /// Energies of a discriminator that is an auto-encoder (EBGAN, Zhao et al. 2016, section 2.1): D lowers the energy
    /// of real images, and raises that of generated ones up to a margin; G lowers it. A logit is the negated energy.
    Energy,
}

named!(GanMode, "gan mode");

/// The terms of an adversarial objective, as functions of logits `[N, 1, H', W']`.
pub(super) struct Terms {
    /// D's loss on real pairs, `[1]`, from the logits and the target for real patches.
    pub(super) real: fn(Tensor<4>, f64) -> Tensor<1>,
    /// D's loss on generated pairs, `[1]`, from the logits and the margin.
    pub(super) fake: fn(Tensor<4>, f64) -> Tensor<1>,
    /// G's loss on generated pairs, `[1]`.
    pub(super) generator: fn(Tensor<4>) -> Tensor<1>,
    /// The logit at which D is undecided.
    pub(super) threshold: f64,
}

impl GanMode {
    /// Returns the terms of the objective. Nothing else depends on the choice of objective.
    pub(super) fn terms(self, margin: f64) -> Terms {
        match self {
            Self::Vanilla => Terms {
                real: binary_cross_entropy,
                fake: |logits, _| binary_cross_entropy(logits, 0.0),
                generator: |logits| binary_cross_entropy(logits, 1.0),
                threshold: 0.0,
            },
            Self::Minimax => Terms {
                generator: |logits| -binary_cross_entropy(logits, 0.0),
                ..Self::Vanilla.terms(margin)
            },
            Self::LeastSquares => Terms {
                real: |logits, label| mean((logits - label).square()),
                fake: |logits, _| mean(logits.square()),
                generator: |logits| mean((logits - 1.0).square()),
                threshold: 0.5,
            },
            Self::Hinge => Terms {
                real: |logits, _| mean(relu(-logits + 1.0)),
                fake: |logits, _| mean(relu(logits + 1.0)),
                generator: |logits| -mean(logits),
                threshold: 0.0,
            },
            Self::Energy => Terms {
                real: |logits, _| -mean(logits),
                // The hinge is of each logit. That of their mean would ignore the fakes below the margin as soon as the
                // others are far above it.
                fake: |logits, margin| mean(relu(logits + margin)),
                generator: |logits| -mean(logits),
                threshold: -margin / 2.0,
            },
        }
    }
}

/// Returns the mean of −t·log σ(x) − (1 − t)·log(1 − σ(x)) over all logits x with the target t; stable for any logit.
pub(super) fn binary_cross_entropy(logits: Tensor<4>, target: f64) -> Tensor<1> {
    #[cfg(feature = "_cube")]
    if crate::device::is_cube(&logits.device()) {
        return crate::kernels::cross_entropy(logits, target as f32);
    }
    mean(logits.clone() * (1.0 - target) - log_sigmoid(logits))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn cross_entropy_is_exact_and_stable() {
        let close = |logits: [f32; 2], target, expected: f32| {
            let logits = Tensor::<4>::from_data([[[logits]]], &device::cpu());
            let value = binary_cross_entropy(logits, target).into_scalar::<f32>();
            assert!((value - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{value} is not {expected}");
        };
        close([0.0, 0.0], 1.0, std::f32::consts::LN_2);
        // log(1 + e^-2) and log(1 + e^1), by hand
        close([2.0, -1.0], 1.0, (0.126_928 + 1.313_261_7) / 2.0);
        close([2.0, -1.0], 0.0, (2.126_928 + 0.313_261_7) / 2.0);
        close([2.0, -1.0], 0.9, (0.326_928 + 1.213_261_7) / 2.0);
        close([1000.0, -1000.0], 0.0, 500.0);
        close([1000.0, -1000.0], 1.0, 500.0);
    }
}
