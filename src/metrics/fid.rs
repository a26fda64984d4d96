//! The distance of two sets of images by their Inception features: FID and KID.

use burn::tensor::Tensor;
use nalgebra::DMatrix;
use rand::seq::index;

use crate::error::Result;
use crate::rng::stream;
use crate::transfer::read_back;

/// The features of a set of images, one row for each image.
#[derive(Clone, Debug, Default)]
pub struct Features {
    pub(super) rows: Vec<Vec<f64>>,
}

impl Features {
    /// Creates an empty set.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{Tensor, device, metrics::Features};
    ///
    /// let mut features = Features::new();
    /// features.add(Tensor::zeros([4, 2048], &device::cpu()))?;
    /// assert_eq!(features.len(), 4);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row for each image.
    ///
    /// # Shapes
    /// - `features`: `[N, F]`
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails to return the features; the set is unchanged.
    ///
    /// # Panics
    /// If F is 0, or differs from that of the features added before.
    pub fn add(&mut self, features: Tensor<2>) -> Result<()> {
        let width = features.dims()[1];
        assert!(width > 0, "`features` is {:?}; an image needs at least 1 feature", features.dims());
        assert!(
            self.is_empty() || width == self.width(),
            "`features` is {:?}, but those added before have a width of {}; all must have the same",
            features.dims(),
            self.width()
        );
        let values = read_back(features)?;
        self.rows.extend(values.chunks_exact(width).map(|row| row.iter().map(|v| f64::from(*v)).collect()));
        Ok(())
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the features as a matrix with a row for each image.
    pub(super) fn matrix(&self) -> DMatrix<f64> {
        DMatrix::from_fn(self.len(), self.width(), |row, column| self.rows[row][column])
    }

    pub(super) fn width(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    fn mean(&self) -> Vec<f64> {
        let count = self.len() as f64;
        (0..self.width()).map(|i| self.rows.iter().map(|row| row[i]).sum::<f64>() / count).collect()
    }

    /// Returns a matrix R with no more rows than columns, for which RᵀR is the covariance.
    fn root(&self, mean: &[f64]) -> DMatrix<f64> {
        let scale = 1.0 / (self.len() as f64 - 1.0).sqrt();
        let value = |row: usize, column: usize| (self.rows[row][column] - mean[column]) * scale;
        let centred = DMatrix::from_fn(self.len(), self.width(), value);
        if self.len() > self.width() { centred.qr().r() } else { centred }
    }
}

/// Returns the Fréchet Inception distance (Heusel et al. 2017). It is 0 for equal sets, and depends on the number of
/// images.
///
/// The distance is |μ₁ − μ₂|² + tr(C₁ + C₂ − 2·(C₁C₂)^½), in double precision. With C = RᵀR the trace of the matrix
/// root is the sum of the singular values of R₁R₂ᵀ. This avoids the root, and is exact for fewer images than features.
///
/// NaN if either set has fewer than two images, which have no covariance.
///
/// # Panics
/// If the two sets have features of different widths.
pub fn fid(one: &Features, other: &Features) -> f64 {
    if one.len() < 2 || other.len() < 2 {
        return f64::NAN;
    }
    assert_same_width(one, other);
    let means = [one.mean(), other.mean()];
    let between: f64 = means[0].iter().zip(&means[1]).map(|(a, b)| (a - b).powi(2)).sum();
    let roots = [one.root(&means[0]), other.root(&means[1])];
    let traces: f64 = roots.iter().map(DMatrix::norm_squared).sum();
    let shared: f64 = (&roots[0] * roots[1].transpose()).singular_values().sum();
    between + traces - 2.0 * shared
}

/// Returns the kernel Inception distance (Bińkowski et al. 2018), and its standard deviation, over `subsets` draws of
/// `size` images from each set: the unbiased squared maximum mean discrepancy under the kernel (x·y/F + 1)³.
///
/// Draws are without replacement, and depend only on `seed`.
///
/// # Panics
/// If `subsets` is 0, if `size` is below 2 or above the number of images of either set, or if the two sets have
/// features of different widths.
pub fn kid(one: &Features, other: &Features, subsets: usize, size: usize, seed: u64) -> (f64, f64) {
    assert_same_width(one, other);
    assert!(subsets > 0, "`subsets` is 0; it must be at least 1");
    let largest = one.len().min(other.len());
    assert!(
        (2..=largest).contains(&size),
        "`size` is {size}; it must be at least 2 and at most {largest}, the number of images of the smaller set"
    );
    let mut rng = stream(seed, 0);
    let draws = (0..subsets).map(|_| {
        let mut draw = |set: &Features| {
            let chosen = index::sample(&mut rng, set.len(), size);
            DMatrix::from_fn(size, set.width(), |row, column| set.rows[chosen.index(row)][column])
        };
        let (x, y) = (draw(one), draw(other));
        discrepancy(&x, &y)
    });
    let draws: Vec<f64> = draws.collect();
    let count = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / count;
    (mean, (draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / count).sqrt())
}

/// Returns the kernel Inception distance over all images of both sets, whose numbers may differ. The draws of [`kid`]
/// scatter around it.
///
/// NaN if either set has fewer than two images.
///
/// # Panics
/// If the two sets have features of different widths.
pub fn kid_of_all(one: &Features, other: &Features) -> f64 {
    if one.len() < 2 || other.len() < 2 {
        return f64::NAN;
    }
    assert_same_width(one, other);
    discrepancy(&one.matrix(), &other.matrix())
}

fn assert_same_width(one: &Features, other: &Features) {
    let (one, other) = (one.width(), other.width());
    assert_eq!(
        one, other,
        "`one` has {one} features an image, but `other` has {other}; both must have the same"
    );
}

/// Returns KID's kernel (a·b/F + 1)³ of each row a of one matrix and each row b of another.
pub(super) fn kernel(one: &DMatrix<f64>, other: &DMatrix<f64>) -> DMatrix<f64> {
    (one * other.transpose() / one.ncols() as f64).map(|v| (v + 1.0).powi(3))
}

/// Returns the unbiased squared maximum mean discrepancy of the rows of two matrices.
fn discrepancy(x: &DMatrix<f64>, y: &DMatrix<f64>) -> f64 {
    let within = |a: &DMatrix<f64>| {
        let (k, n) = (kernel(a, a), a.nrows() as f64);
        (k.sum() - k.trace()) / (n * (n - 1.0))
    };
    within(x) + within(y) - 2.0 * kernel(x, y).mean()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    /// Returns features with row i, column j: sin(a·i·width + a·j + b·i²).
    fn features(count: usize, width: usize, [a, b]: [f64; 2]) -> Features {
        let value = |i: usize, j: usize| (a * (i * width + j) as f64 + b * (i * i) as f64).sin();
        let rows = (0..count).map(|i| (0..width).map(|j| value(i, j)).collect()).collect();
        Features { rows }
    }

    #[test]
    fn distances_agree_with_numpy_and_scipy() {
        // numpy.cov, scipy.linalg.sqrtm; more and fewer images than features
        for (count, other, width, expected_fid, expected_kid) in [
            (9, 7, 3, 0.451_974_169_932_556_1, 0.067_764_742_816_630_81),
            (4, 9, 5, 0.626_797_726_227_821_8, -0.476_940_296_147_961_9),
            (3, 4, 6, 3.697_701_086_724_374_3, 0.198_918_522_953_790_64),
        ] {
            let (x, y) = (features(count, width, [0.7, 0.3]), features(other, width, [0.4, 0.9]));
            // scipy's root of a singular product has an error of about 1e-7.
            assert!((fid(&x, &y) - expected_fid).abs() < 1e-6, "{} is not {expected_fid}", fid(&x, &y));
            assert!((fid(&x, &y) - fid(&y, &x)).abs() < 1e-12 && fid(&x, &x).abs() < 1e-12);
            let whole = kid_of_all(&x, &y);
            assert!((whole - expected_kid).abs() < 1e-12, "{whole} is not {expected_kid}");
        }
    }

    #[test]
    fn kid_is_the_unbiased_estimator_over_all_images() {
        // Three images with four features sin(0.7 i + 0.3) and sin(0.5 i + 0.3), in numpy and float64. The biased
        // estimator, with the terms of an image with itself, is 0.419731695.
        let rows = |a: f64| {
            let value = |i: usize| (a * i as f64 + 0.3).sin();
            Features {
                rows: (0..3).map(|row| (0..4).map(|column| value(4 * row + column)).collect()).collect(),
            }
        };
        let found = kid_of_all(&rows(0.7), &rows(0.5));
        assert!((found + 1.480_700_641).abs() < 1e-8, "{found}");
        // One draw of all images is the same estimator.
        let (draw, _) = kid(&rows(0.7), &rows(0.5), 1, 3, 9);
        assert!((draw - found).abs() < 1e-12);
    }

    #[test]
    fn draws_are_a_function_of_the_seed_and_scatter_around_the_whole() {
        let (x, y) = (features(40, 4, [0.7, 0.3]), features(50, 4, [0.4, 0.9]));
        let (mean, spread) = kid(&x, &y, 200, 10, 7);
        assert_eq!((mean, spread), kid(&x, &y, 200, 10, 7));
        assert_ne!(mean, kid(&x, &y, 200, 10, 8).0);
        let whole = kid_of_all(&x, &y);
        assert!(
            spread > 0.0 && (mean - whole).abs() < 4.0 * spread / 200f64.sqrt(),
            "{mean} {spread} {whole}"
        );
    }

    #[test]
    fn fewer_than_two_images_have_no_distance() {
        let (one, many) = (features(1, 3, [0.7, 0.3]), features(5, 3, [0.7, 0.3]));
        assert!(fid(&one, &many).is_nan() && fid(&many, &Features::new()).is_nan());
        assert!(kid_of_all(&many, &one).is_nan() && kid_of_all(&Features::new(), &many).is_nan());
    }

    #[test]
    fn arguments_out_of_range_panic() {
        let message = |call: &dyn Fn()| {
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).expect_err("no panic");
            panic
                .downcast_ref::<String>()
                .cloned()
                .or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        };
        let (few, many) = (features(4, 3, [0.7, 0.3]), features(5, 3, [0.7, 0.3]));
        let wide = features(5, 4, [0.7, 0.3]);
        for (call, expected) in [
            (
                &(|| _ = kid(&few, &many, 1, 5, 0)) as &dyn Fn(),
                "`size` is 5; it must be at least 2 and at most 4",
            ),
            (&|| _ = kid(&few, &many, 1, 1, 0), "`size` is 1; it must be at least 2"),
            (&|| _ = kid(&few, &many, 0, 2, 0), "`subsets` is 0; it must be at least 1"),
            (&|| _ = kid(&few, &wide, 1, 2, 0), "`one` has 3 features an image, but `other` has 4"),
            (&|| _ = kid_of_all(&few, &wide), "`one` has 3 features an image, but `other` has 4"),
            (&|| _ = fid(&few, &wide), "`one` has 3 features an image, but `other` has 4"),
        ] {
            let message = message(call).unwrap_or_default();
            assert!(message.contains(expected), "{message}");
        }
        let mut set = few.clone();
        let more = Tensor::zeros([1, 4], &device::cpu());
        let message = message(&|| _ = set.clone().add(more.clone())).unwrap_or_default();
        assert!(
            message.contains("`features` is [1, 4], but those added before have a width of 3"),
            "{message}"
        );
        set.add(Tensor::zeros([1, 3], &device::cpu())).unwrap();
        assert_eq!(set.len(), 5);
    }

    #[test]
    fn each_row_of_a_tensor_belongs_to_an_image() {
        let mut set = Features::new();
        set.add(Tensor::from_data([[1.0f32, 2.0], [3.0, 4.0]], &device::cpu())).unwrap();
        set.add(Tensor::from_data([[5.0f32, 6.0]], &device::cpu())).unwrap();
        assert_eq!((set.len(), set.rows), (3, vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]));
    }
}
