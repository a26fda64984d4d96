//! The colours of a set of images: marginal histograms in CIE Lab (Isola et al. 2017, figure 7).

use burn::tensor::{Tensor, assert_shape};

use crate::error::Result;
use crate::transfer::read_back;

/// First value and number of the bins, each one unit wide: L is 0 to 100, a and b are −110 to 110. Values outside are
/// clamped.
const BINS: [(f64, usize); 3] = [(0.0, 100), (-110.0, 220), (-110.0, 220)];

/// Histograms of L, of a and of b over a set of colour images.
///
/// Lab is that of sRGB under illuminant D65 with the observer of 2°, as in `skimage.color.rgb2lab`. Bins are one unit
/// of Lab wide; the paper does not give the width of its own. Wider bins give higher intersections.
#[derive(Clone, Debug)]
pub struct LabHistogram {
    counts: [Vec<u64>; 3],
}

impl Default for LabHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LabHistogram {
    /// Creates empty histograms.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{Tensor, device, metrics::LabHistogram};
    ///
    /// let (mut outputs, mut targets) = (LabHistogram::new(), LabHistogram::new());
    /// outputs.add(Tensor::zeros([1, 3, 8, 8], &device::cpu()))?;
    /// targets.add(Tensor::zeros([2, 3, 8, 8], &device::cpu()))?;
    /// assert_eq!(outputs.intersection(&targets), [1.0; 3]);
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn new() -> Self {
        Self { counts: BINS.map(|(_, bins)| vec![0; bins]) }
    }

    /// Adds every pixel to the histograms.
    ///
    /// # Shapes
    /// - `images`: `[N, 3, H, W]` in `[-1, 1]`
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails to return the images; the histograms are unchanged.
    ///
    /// # Panics
    /// If there are not 3 channels.
    pub fn add(&mut self, images: Tensor<4>) -> Result<()> {
        assert_shape!(images, [_, 3, ..]);
        let [_, _, height, width] = images.dims();
        let values = read_back(images)?;
        let area = height * width;
        for image in values.chunks_exact(3 * area) {
            for pixel in 0..area {
                let channel = |c: usize| (f64::from(image[c * area + pixel]) + 1.0) / 2.0;
                let colour = lab([channel(0), channel(1), channel(2)]);
                for ((counts, (low, bins)), value) in self.counts.iter_mut().zip(BINS).zip(colour) {
                    counts[((value - low).max(0.0) as usize).min(bins - 1)] += 1;
                }
            }
        }
        Ok(())
    }

    /// Returns the overlap of the two sets' histograms of L, of a and of b: 1 if they are equal, 0 if they share no
    /// bin.
    ///
    /// NaN if either set is empty.
    pub fn intersection(&self, other: &Self) -> [f64; 3] {
        [0, 1, 2].map(|axis| {
            let (ours, theirs) = (&self.counts[axis], &other.counts[axis]);
            let [total, other_total] = [ours, theirs].map(|counts| counts.iter().sum::<u64>() as f64);
            let shares = ours.iter().zip(theirs).map(|(a, b)| (*a as f64 / total, *b as f64 / other_total));
            shares.map(|(a, b)| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }).sum()
        })
    }
}

/// Converts sRGB in 0 to 1 to CIE Lab.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let linear = rgb.map(|v| if v > 0.040_45 { ((v + 0.055) / 1.055).powf(2.4) } else { v / 12.92 });
    // Rows: X, Y, Z, and the white of D65.
    let rows = [
        ([0.412_453, 0.357_580, 0.180_423], 0.950_47),
        ([0.212_671, 0.715_160, 0.072_169], 1.0),
        ([0.019_334, 0.119_193, 0.950_227], 1.088_83),
    ];
    let [x, y, z] = rows.map(|(row, white)| {
        let t = row.iter().zip(linear).map(|(weight, v)| weight * v).sum::<f64>() / white;
        if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn lab_agrees_with_scikit_image() {
        // skimage.color.rgb2lab 0.26
        let cases = [
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 255, 255], [100.0, -0.002_45, 0.004_65]),
            ([255, 0, 0], [53.240_59, 80.092_31, 67.202_75]),
            ([0, 255, 0], [87.735_1, -86.183_03, 83.179_7]),
            ([0, 0, 255], [32.295_67, 79.185_59, -107.857_3]),
            ([12, 200, 99], [71.066_9, -63.458_23, 38.850_32]),
            ([3, 5, 2], [1.194_89, -0.940_22, 0.951_16]),
            ([128, 64, 190], [41.173_85, 51.089_03, -55.680_72]),
        ];
        for (rgb, expected) in cases {
            let found = lab(rgb.map(|byte: u8| f64::from(byte) / 255.0));
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{rgb:?}: {found} is not {expected}");
            }
        }
    }

    fn waves(value: impl Fn(f64) -> f64) -> Tensor<4> {
        let values: Vec<f32> = (0..2 * 3 * 24 * 20).map(|i| value(f64::from(i)) as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([2, 3, 24, 20])
    }

    #[test]
    fn intersections_agree_with_numpy() {
        let (mut x, mut y) = (LabHistogram::new(), LabHistogram::new());
        x.add(waves(|i| (i * 0.37).sin())).unwrap();
        y.add(waves(|i| 0.8 * (i * 0.37).sin() + 0.1 * (i * 0.11).cos())).unwrap();
        // numpy.histogram of skimage's Lab over bins of one unit, then the sum of the lower shares
        let expected = [0.722_916_67, 0.634_375, 0.656_25];
        for (found, expected) in x.intersection(&y).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-8, "{found} is not {expected}");
        }
        assert!(x.intersection(&x).iter().all(|overlap| (overlap - 1.0).abs() < 1e-12));
        assert!(x.intersection(&LabHistogram::new()).iter().all(|overlap| overlap.is_nan()));
    }
}
