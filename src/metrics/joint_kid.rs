//! The joint KID: whether outputs fit their own inputs, which FID and KID cannot see.

use nalgebra::DMatrix;
use rand::seq::SliceRandom;

use super::fid::{Features, kernel};
use crate::rng::stream;

/// The result of [`joint_kid`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct JointKid {
    /// The distance of the pairs of input and output from the pairs of input and target; lower is better. It is unbiased,
    /// so it may be below zero.
    pub distance: f64,
    /// The same over all i and j, i = j included: never below zero, and 0 only if outputs equal their targets in these
    /// features. Unlike `distance`, it compares each output with its own target.
    pub biased: f64,
    /// The mean of `biased` after the outputs were shuffled among the inputs.
    pub shuffled: f64,
    /// The probability of a `biased` as low as this one if outputs had nothing to do with their inputs, from 0 to 1:
    /// (1 + the number of shuffles with a value that is not higher)/(1 + the number of shuffles). A small value shows that
    /// the input matters.
    pub p_value: f64,
}

/// Returns the kernel distance of the pairs (input, output) from the pairs (input, target), and a permutation test of
/// whether the inputs matter.
///
/// FID and KID compare sets, so they do not change if the outputs are shuffled. This distance is KID with the product of
/// two kernels (a·b/F + 1)³, that of the outputs or targets and that of the inputs: the mean over all i ≠ j of
/// k(xᵢ, xⱼ)·(k(oᵢ, oⱼ) + k(tᵢ, tⱼ) − k(oᵢ, tⱼ) − k(oⱼ, tᵢ)), in double precision. It does for KID what the Fréchet
/// joint distance (DeVries et al. 2019) does for FID, which needs more images than features.
///
/// The test shuffles the outputs `shuffles` times, in an order that depends only on `seed`. It is of the sum over all i
/// and j. The sum over i ≠ j would not do: it leaves out the comparison of an output with its own target, which a shuffle
/// moves to a place that counts.
///
/// All values are NaN if there are fewer than two images.
///
/// # Panics
/// If `shuffles` is 0, if the three sets have different numbers of images, or if outputs and targets have features of
/// different widths.
///
/// # Examples
/// ```
/// # #[cfg(feature = "flex")] {
/// use pix2pix::{Tensor, device, metrics::{Features, joint_kid}};
///
/// let mut images = Features::new();
/// images.add(Tensor::from_data([[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &device::cpu()))?;
/// assert_eq!(joint_kid(&images, &images, &images, 99, 0).distance.abs(), 0.0);
/// # }
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn joint_kid(
    inputs: &Features,
    outputs: &Features,
    targets: &Features,
    shuffles: usize,
    seed: u64,
) -> JointKid {
    assert!(shuffles > 0, "`shuffles` is 0; it must be at least 1");
    let count = inputs.len();
    assert!(
        [outputs.len(), targets.len()] == [count; 2],
        "there are {count} `inputs`, {} `outputs` and {} `targets`; all must have the same number",
        outputs.len(),
        targets.len()
    );
    assert!(
        outputs.width() == targets.width(),
        "`outputs` has {} features an image, but `targets` has {}; both must have the same",
        outputs.width(),
        targets.width()
    );
    if count < 2 {
        let nan = f64::NAN;
        return JointKid { distance: nan, biased: nan, shuffled: nan, p_value: nan };
    }
    let kernels = Kernels::new(inputs, outputs, targets);
    let mut order: Vec<usize> = (0..count).collect();
    let [distance, biased] = kernels.distances(&order);
    let mut rng = stream(seed, 0);
    let of_shuffles: Vec<f64> = (0..shuffles)
        .map(|_| {
            order.shuffle(&mut rng);
            kernels.distances(&order)[1]
        })
        .collect();
    let as_low = of_shuffles.iter().filter(|shuffled| **shuffled <= biased).count();
    JointKid {
        distance,
        biased,
        shuffled: of_shuffles.iter().sum::<f64>() / shuffles as f64,
        p_value: (1 + as_low) as f64 / (1 + shuffles) as f64,
    }
}

/// The kernels of all pairs of images.
struct Kernels {
    inputs: DMatrix<f64>,
    outputs: DMatrix<f64>,
    targets: DMatrix<f64>,
    /// Row: output, column: target.
    across: DMatrix<f64>,
}

impl Kernels {
    fn new(inputs: &Features, outputs: &Features, targets: &Features) -> Self {
        let [inputs, outputs, targets] = [inputs, outputs, targets].map(Features::matrix);
        Self {
            inputs: kernel(&inputs, &inputs),
            across: kernel(&outputs, &targets),
            outputs: kernel(&outputs, &outputs),
            targets: kernel(&targets, &targets),
        }
    }

    /// Returns the distances over i ≠ j and over all i and j, if input i has the output `order[i]`.
    fn distances(&self, order: &[usize]) -> [f64; 2] {
        let (mut apart, mut own) = (0.0, 0.0);
        for (i, a) in order.iter().copied().enumerate() {
            let term = |j: usize, b: usize| {
                let within = self.outputs[(a, b)] + self.targets[(i, j)];
                self.inputs[(i, j)] * (within - self.across[(a, j)] - self.across[(b, i)])
            };
            apart += 2.0 * order.iter().take(i).enumerate().map(|(j, b)| term(j, *b)).sum::<f64>();
            own += term(i, a);
        }
        let count = order.len() as f64;
        [apart / (count * (count - 1.0)), (apart + own) / (count * count)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns features with row i, column j: sin(a·(i·width + j) + b·i²).
    fn features(count: usize, width: usize, [a, b]: [f64; 2]) -> Features {
        let value = |i: usize, j: usize| (a * (i * width + j) as f64 + b * (i * i) as f64).sin();
        Features { rows: (0..count).map(|i| (0..width).map(|j| value(i, j)).collect()).collect() }
    }

    #[test]
    fn the_distance_agrees_with_numpy() {
        // `tests/golden/joint_kid.py`
        for (count, widths, expected, biased) in [
            (2, [3, 4], 0.008_614_498_246_479, 0.116_299_233_517_905),
            (9, [3, 5], -0.148_638_893_875_842, 1.817_252_922_807_449),
            (30, [8, 6], 0.140_881_920_307_973, 0.638_959_647_638_924),
        ] {
            let [x, o, t] = [(widths[0], [0.7, 0.3]), (widths[1], [0.4, 0.9]), (widths[1], [0.5, 0.2])]
                .map(|(width, phase)| features(count, width, phase));
            let found = joint_kid(&x, &o, &t, 1, 0);
            for (found, expected) in [(found.distance, expected), (found.biased, biased)] {
                assert!((found - expected).abs() < 1e-10, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn shuffled_outputs_have_the_same_kid_and_another_joint_kid() {
        let (inputs, targets) = (features(40, 5, [0.7, 0.3]), features(40, 6, [0.7, 0.3]));
        // Outputs near their targets fit their inputs; the same in another order do not.
        let mut near = targets.clone();
        near.rows.iter_mut().flatten().for_each(|value| *value *= 0.95);
        let mut moved = near.clone();
        moved.rows.rotate_left(5);
        let kid = |outputs| crate::metrics::kid_of_all(outputs, &targets);
        assert!((kid(&near) - kid(&moved)).abs() < 1e-12);
        let [fitting, other] = [&near, &moved].map(|outputs| joint_kid(&inputs, outputs, &targets, 199, 3));
        assert!(fitting.p_value == 1.0 / 200.0 && other.p_value > 0.05, "{fitting:?} {other:?}");
        assert!(fitting.biased < 0.1 * other.biased && fitting.biased < fitting.shuffled);
        let equal = joint_kid(&inputs, &targets, &targets, 199, 3);
        assert!(equal.distance.abs() < 1e-12 && equal.biased.abs() < 1e-12, "{equal:?}");
        assert_eq!(fitting, joint_kid(&inputs, &near, &targets, 199, 3));
    }

    #[test]
    fn the_test_is_fair_if_outputs_ignore_their_inputs() {
        // Over many sets of outputs without a relation to the inputs, p values spread over the whole range.
        let (inputs, targets) = (features(12, 4, [0.7, 0.3]), features(12, 4, [0.31, 0.17]));
        let p_value = |k: usize| {
            let outputs = features(12, 4, [1.3 + 0.37 * k as f64, 0.11 + 0.73 * k as f64]);
            joint_kid(&inputs, &outputs, &targets, 99, k as u64).p_value
        };
        let low = (0..200).filter(|k| p_value(*k) <= 0.2).count();
        assert!((20..=64).contains(&low), "{low} of 200 are at most 0.2");
    }

    #[test]
    fn few_images_have_no_distance_and_sets_that_differ_panic() {
        let one = features(1, 3, [0.7, 0.3]);
        let found = joint_kid(&one, &one, &one, 9, 0);
        assert!(
            found.distance.is_nan()
                && found.biased.is_nan()
                && found.shuffled.is_nan()
                && found.p_value.is_nan()
        );
        let two = features(2, 3, [0.7, 0.3]);
        let message = |call: &dyn Fn() -> JointKid| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).expect_err("a panic");
            let text = panic.downcast_ref::<String>().cloned();
            text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
        };
        let text = message(&|| joint_kid(&one, &two, &one, 9, 0));
        assert!(text.contains("1 `inputs`, 2 `outputs` and 1 `targets`"), "{text}");
        let text = message(&|| joint_kid(&two, &features(2, 4, [0.1, 0.1]), &two, 9, 0));
        assert!(text.contains("`outputs` has 4 features an image, but `targets` has 3"), "{text}");
        assert!(message(&|| joint_kid(&two, &two, &two, 0, 0)).contains("`shuffles` is 0"));
    }
}
