//! A smooth random displacement of pixels, which changes the shapes in an image a little.

use rand::{Rng, RngExt};

use crate::raster::{PlanarImage, ResizeFilter, reflected};

/// Displacements are drawn at the points of a grid of this many rows and columns.
const GRID: usize = 4;

/// Displacements of a grid of points, in units of the largest: 2 channels, down and to the right.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Warp {
    grid: PlanarImage,
    /// The largest displacement, as a fraction of the shorter side of the crop.
    amplitude: f64,
}

impl Warp {
    /// Draws displacements of at most `amplitude` of the shorter side of the crop.
    pub(super) fn draw(amplitude: f64, rng: &mut impl Rng) -> Self {
        let values = (0..2 * GRID * GRID).map(|_| rng.random_range(-1.0..=1.0)).collect();
        Self { grid: PlanarImage::new(values, [2, GRID, GRID]), amplitude }
    }

    /// Returns the window of an image at `corner`, each pixel from its displaced place: that of the nearest pixel with
    /// [`ResizeFilter::Nearest`], else interpolated between four. Reflection fills what lies outside the image.
    ///
    /// # Errors
    /// The resizing library's error.
    pub(super) fn window(
        &self,
        image: &PlanarImage,
        corner: [isize; 2],
        size: [usize; 2],
        filter: ResizeFilter,
    ) -> Result<PlanarImage, Box<dyn std::error::Error + Send + Sync>> {
        // Cubic interpolation makes the displacements smooth, and never larger than the largest.
        let shifts = self.grid.clone().resized(size, ResizeFilter::Bicubic)?;
        let (downwards, rightwards) = shifts.values().split_at(size[0] * size[1]);
        let unit = self.amplitude * size[0].min(size[1]) as f64;
        let [channels, height, width] = image.shape();
        let plane = height * width;
        let mut values = vec![0.0; channels * size[0] * size[1]];
        for at in 0..size[0] * size[1] {
            let place = |start: isize, index: usize, shift: f32| {
                (start + index as isize) as f64 + f64::from(shift) * unit
            };
            let y = place(corner[0], at / size[1], downwards[at]);
            let x = place(corner[1], at % size[1], rightwards[at]);
            let [(top, bottom, down), (left, right, across)] = match filter {
                ResizeFilter::Nearest => [neighbours(y.round(), height), neighbours(x.round(), width)],
                _ => [neighbours(y, height), neighbours(x, width)],
            };
            for channel in 0..channels {
                let row = |y: usize| {
                    let row = &image.values()[channel * plane + y * width..][..width];
                    row[left] + (row[right] - row[left]) * across
                };
                let value = row(top) + (row(bottom) - row(top)) * down;
                values[channel * size[0] * size[1] + at] = value.clamp(-1.0, 1.0);
            }
        }
        Ok(PlanarImage::new(values, [channels, size[0], size[1]]))
    }
}

/// Returns the two pixels of an axis around a place, and how far it is from the first to the second.
fn neighbours(place: f64, length: usize) -> (usize, usize, f32) {
    let before = place.floor();
    let index = before as isize;
    (reflected(index, length), reflected(index + 1, length), (place - before) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;

    /// An image of 2 channels that hold the row and the column of each pixel.
    fn places(side: usize) -> PlanarImage {
        let value = |place: usize| place as f32 / side as f32;
        let rows = (0..side * side).map(|at| value(at / side));
        let columns = (0..side * side).map(|at| value(at % side));
        PlanarImage::new(rows.chain(columns).collect(), [2, side, side])
    }

    #[test]
    fn displacements_are_smooth_and_not_larger_than_the_largest() {
        let (side, amplitude) = (64, 0.08);
        for seed in 0..20 {
            let warp = Warp::draw(amplitude, &mut stream(seed, 0));
            let found = warp.window(&places(side), [8, 8], [48, 48], ResizeFilter::Bilinear).unwrap();
            let mut largest: f32 = 0.0;
            for (channel, axis) in [(0, 0), (1, 1)] {
                let shift = |at: usize| {
                    let own = if axis == 0 { at / 48 } else { at % 48 } + 8;
                    found.values()[channel * 48 * 48 + at] * side as f32 - own as f32
                };
                for at in 0..48 * 47 {
                    largest = largest.max(shift(at).abs());
                    // Pixels stay in their order: nothing is folded.
                    assert!((shift(at + 48) - shift(at)).abs() < 1.0, "a fold at {at}");
                }
            }
            assert!(largest <= 48.0 * amplitude as f32 + 1e-3 && largest > 0.5, "{largest}");
        }
    }

    #[test]
    fn without_displacement_the_window_is_that_of_the_image() {
        let image = places(20);
        let warp = Warp::draw(0.0, &mut stream(1, 0));
        for (corner, size) in [([3, 4], [10, 12]), ([-2, -3], [24, 25])] {
            for filter in [ResizeFilter::Bilinear, ResizeFilter::Nearest] {
                assert_eq!(warp.window(&image, corner, size, filter).unwrap(), image.window(corner, size));
            }
        }
    }
}
