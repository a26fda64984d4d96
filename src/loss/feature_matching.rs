//! Feature matching: the distance between the discriminator's features of outputs and of targets.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::sums::mean;
use crate::names::named;

/// The factor of pix2pixHD's sum over features, which it divides by their number: 1 with its three layers of stride 2,
/// which have four features.
const FEATURES_OF_HD: f64 = 4.0;

/// How the discriminator's features of outputs and of targets are compared, for each scale. As text it is `aligned` or
/// `statistics`, the same as in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FeatureMatching {
    /// Position by position: 4 / (number of features) times the sum over features of the mean absolute difference (Wang
    /// et al. 2018, pix2pixHD, section 3.3, with the factor of its code).
    #[default]
    Aligned,
    /// By their means over batch and positions: the mean over features of the squared distance between the vectors of
    /// channel means (Salimans et al. 2016, section 3.1). It compares textures and ignores where they are. With a batch
    /// of one pair, the means are those of its positions. It is not a mean over pairs, so a batch cannot be divided:
    /// `training.accumulate` above 1 and several devices are refused.
    Statistics,
}

named!(FeatureMatching, "feature matching");

impl FeatureMatching {
    /// Returns the distance between the features of one scale, `[N, C, h, w]` each, of equal shapes, `[1]`.
    pub(super) fn distance(self, real: &[Tensor<4>], fake: &[Tensor<4>]) -> Tensor<1> {
        let features = real.len() as f64;
        let sum = |distance: fn(Tensor<4>) -> Tensor<1>| {
            let pairs = real.iter().zip(fake).map(|(real, fake)| distance(fake.clone() - real.clone()));
            pairs.reduce(|sum, distance| sum + distance).expect("a scale has features")
        };
        match self {
            Self::Aligned => sum(|difference| mean(difference.abs())) * (FEATURES_OF_HD / features),
            // The difference of the means is the mean of the differences.
            Self::Statistics => {
                let distance = |difference: Tensor<4>| {
                    let means = difference.mean_dim(3).mean_dim(2).mean_dim(0);
                    means.square().flatten::<1>(0, 3).sum()
                };
                sum(distance) / features
            }
        }
    }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;
    use crate::discriminator::{DiscriminatorOutput, ScaleOutput};
    use crate::loss::{Pix2PixLoss, Pix2PixLossConfig};

    /// Returns sin(scale·i + 0.3) over the flat index.
    fn waves(shape: [usize; 4], scale: f32) -> Tensor<4> {
        let values: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| (scale * i as f32 + 0.3).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    /// Returns the output of two scales with two features each, waves of these scales.
    fn output(waves_of: [f32; 4]) -> DiscriminatorOutput {
        let shapes = [[[1, 2, 3, 3], [1, 3, 2, 2]], [[1, 2, 2, 2], [1, 3, 1, 1]]];
        let scales = (0..2).map(|scale| ScaleOutput {
            features: (0..2).map(|i| waves(shapes[scale][i], waves_of[2 * scale + i])).collect(),
            logits: waves([1, 1, 1, 1], 1.0),
            codes: None,
        });
        DiscriminatorOutput { scales: scales.collect() }
    }

    fn loss(kind: FeatureMatching) -> Pix2PixLoss {
        Pix2PixLossConfig::new().with_feature_weight(10.0).with_feature_matching(kind).init()
    }

    /// The value of pix2pixHD's code in PyTorch, float64.
    #[test]
    fn aligned_features_are_compared_as_in_pix2pixhd() {
        let (real, fake) = (output([0.7, 0.31, 0.21, 0.11]), output([0.6, 0.29, 0.25, 0.13]));
        let found = loss(FeatureMatching::Aligned).feature_matching(&real, &fake).into_scalar::<f32>();
        assert!((found - 6.256_43).abs() < 1e-5, "{found}");
        let same = loss(FeatureMatching::Aligned).feature_matching(&real, &real).into_scalar::<f32>();
        assert_eq!(same, 0.0);
    }

    /// The value of Salimans et al. 2016, section 3.1, in PyTorch, float64.
    #[test]
    fn statistics_are_compared_as_in_improved_gan() {
        let one = |scale| {
            let scales = vec![ScaleOutput {
                features: vec![waves([3, 4, 1, 1], scale)],
                logits: waves([3, 1, 1, 1], 1.0),
                codes: None,
            }];
            DiscriminatorOutput { scales }
        };
        let found = loss(FeatureMatching::Statistics).feature_matching(&one(0.7), &one(0.5));
        assert!((found.into_scalar::<f32>() / 10.0 - 0.204_082_03).abs() < 1e-6);
        // The same features at other positions have the same statistics.
        let shifted = |output: &DiscriminatorOutput| {
            let mut output = output.clone();
            for feature in output.scales.iter_mut().flat_map(|scale| &mut scale.features) {
                *feature = feature.clone().flip([2, 3]);
            }
            output
        };
        let real = output([0.7, 0.31, 0.21, 0.11]);
        let [statistics, aligned] = [FeatureMatching::Statistics, FeatureMatching::Aligned]
            .map(|kind| loss(kind).feature_matching(&real, &shifted(&real)).into_scalar::<f32>());
        assert!(statistics < 1e-10 && aligned > 0.1, "{statistics} {aligned}");
    }

    #[test]
    fn gradients_of_both_kinds_equal_finite_differences() {
        let real = output([0.7, 0.31, 0.21, 0.11]);
        for kind in [FeatureMatching::Aligned, FeatureMatching::Statistics] {
            let at = |fake: Tensor<4>, real: DiscriminatorOutput| {
                let mut output = real.clone();
                output.scales[0].features[0] = fake;
                loss(kind).feature_matching(&real, &output)
            };
            let fake = waves([1, 2, 3, 3], 0.6);
            let tracked = fake.clone().autodiff().require_grad();
            let grads = at(tracked.clone(), real.clone().autodiff()).backward();
            let grad = tracked.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
            let values = fake.into_data().try_to_vec::<f32>().unwrap();
            for index in [1, 8, 17] {
                let moved = |step: f32| {
                    let mut values = values.clone();
                    values[index] += step;
                    let fake = Tensor::<1>::from_floats(values.as_slice(), &device::cpu());
                    at(fake.reshape([1, 2, 3, 3]), real.clone()).into_scalar::<f32>()
                };
                let difference = (moved(5e-3) - moved(-5e-3)) / 1e-2;
                assert!((difference - grad[index]).abs() < 2e-3, "{kind}: {difference} {}", grad[index]);
            }
        }
    }

    #[test]
    fn outputs_without_features_panic_with_the_remedy() {
        let real = output([0.7, 0.31, 0.21, 0.11]);
        let mut fake = real.clone();
        fake.scales[1].features.clear();
        let compare = || loss(FeatureMatching::Aligned).feature_matching(&real, &fake);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare)).unwrap_err();
        let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(message.contains("[2, 0] features; both need those of `forward_features`"), "{message}");
    }
}
