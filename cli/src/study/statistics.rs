//! Intervals and paired tests over seeds, by Student's t distribution.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The probability that an interval is meant to hold its value with.
const LEVEL: f64 = 0.95;

/// The difference of two variants, trained with the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// The mean of the differences, one for each seed.
    pub(crate) mean: f64,
    /// The 95 % interval of that mean.
    pub(crate) interval: [f64; 2],
    /// The two-sided p value of the paired t test: the probability of a mean at least as far from 0 if both were equal.
    pub(crate) p_value: f64,
    pub(crate) seeds: usize,
}

/// Returns the mean and the standard deviation of a sample.
pub(crate) fn spread(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let count = values.len() as f64;
    if values.is_empty() {
        return (None, None);
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()))
}

/// Returns the 95 % interval of the mean of a sample; `None` for fewer than two values.
pub(crate) fn interval(values: &[f64]) -> Option<[f64; 2]> {
    let (mean, error) = mean_and_error(values)?;
    let half = error * student(values)?.inverse_cdf((1.0 + LEVEL) / 2.0);
    Some([mean - half, mean + half])
}

/// Compares two variants by their values with the same seeds; `None` for fewer than two seeds.
pub(crate) fn difference(pairs: &[[f64; 2]]) -> Option<Difference> {
    let differences: Vec<f64> = pairs.iter().map(|[one, other]| one - other).collect();
    let (mean, error) = mean_and_error(&differences)?;
    let p_value = match (mean == 0.0, error == 0.0) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) => 2.0 * student(&differences)?.cdf(-(mean / error).abs()),
    };
    Some(Difference { mean, interval: interval(&differences)?, p_value, seeds: pairs.len() })
}

/// Returns the mean of a sample and its standard error.
fn mean_and_error(values: &[f64]) -> Option<(f64, f64)> {
    let (mean, deviation) = spread(values);
    Some((mean?, deviation? / (values.len() as f64).sqrt()))
}

/// Returns the distribution of the mean of a sample, divided by its standard error.
fn student(values: &[f64]) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, values.len().checked_sub(1)? as f64).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ONE: [f64; 5] = [0.277, 0.301, 0.254, 0.29, 0.268];
    const OTHER: [f64; 5] = [0.374, 0.35, 0.391, 0.34, 0.36];

    fn pairs(count: usize) -> Vec<[f64; 2]> {
        ONE.into_iter().zip(OTHER).map(|(one, other)| [one, other]).take(count).collect()
    }

    /// The expected values are those of scipy 1.16: `stats.t.interval` and `stats.ttest_rel`.
    #[test]
    fn intervals_and_tests_agree_with_scipy() {
        let [low, high] = interval(&ONE).unwrap();
        assert!((low - 0.255_189_175_793).abs() < 1e-9 && (high - 0.300_810_824_207).abs() < 1e-9);
        for (count, mean, p_value, low, high) in [
            (5, -0.085, 0.006_678_013_987, -0.130_697_621_236, -0.039_302_378_764),
            (2, -0.073, 0.202_212_945_034, -0.377_948_913_668, 0.231_948_913_668),
        ] {
            let found = difference(&pairs(count)).unwrap();
            for (found, expected) in [found.mean, found.p_value, found.interval[0], found.interval[1]]
                .into_iter()
                .zip([mean, p_value, low, high])
            {
                assert!((found - expected).abs() < 1e-8, "{found} is not {expected}");
            }
            assert_eq!(found.seeds, count);
        }
    }

    #[test]
    fn few_or_equal_values_have_no_test_or_a_certain_one() {
        assert_eq!((interval(&[]), interval(&[1.0]), difference(&pairs(1))), (None, None, None));
        assert_eq!(interval(&[2.0, 2.0, 2.0]), Some([2.0, 2.0]));
        let equal = difference(&[[1.0, 1.0], [2.0, 2.0]]).unwrap();
        assert_eq!((equal.mean, equal.p_value), (0.0, 1.0));
        let always = difference(&[[2.0, 1.0], [3.0, 2.0]]).unwrap();
        assert_eq!((always.mean, always.p_value, always.interval), (1.0, 0.0, [1.0, 1.0]));
    }
}
