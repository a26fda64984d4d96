//! Finds the offset between the halves of a pair by correlating the magnitudes of their gradients.

use image::GrayImage;
use image::imageops::{self, FilterType};

/// The side of the reduced images.
pub(crate) const SIDE: usize = 128;
/// The largest offset that is searched for, in reduced pixels.
const REACH: isize = 12;

/// The best offset of a pair.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offset {
    /// Columns and rows by which B lies to the right of and below A, in fractions of the image's sides.
    pub(crate) at: [f32; 2],
    /// The correlation at the offset, in standard deviations of all correlations.
    pub(crate) peak: f32,
    /// The largest correlation near the centre, in the same unit.
    pub(crate) centre: f32,
}

impl Offset {
    fn is_centred(&self) -> bool {
        self.at.iter().all(|at| at.abs() * (SIDE as f32) < 1.5)
    }

    /// Returns whether the halves fit clearly better at the offset than at the centre.
    fn is_shift(&self, min_peak: f32, min_margin: f32) -> bool {
        !self.is_centred() && self.peak > min_peak && self.peak - self.centre > min_margin
    }
}

/// The smallest shift that is reported, as a part of the side: 5 pixels of 256. Smaller ones are within the accuracy of
/// drawings and of hand-made pairs.
const MIN_SHIFT: f32 = 0.02;

/// Returns the indices of pairs whose halves are shifted.
///
/// The fewer pairs of the data set have their best offset at the centre, the less the method says about these images,
/// and the more a pair must stand out. The limits were measured on façades (88 % centred), aerial photographs with maps
/// (80 %) and edges of shoes (100 %).
pub(crate) fn find(offsets: &[Offset]) -> Vec<usize> {
    let centred = offsets.iter().filter(|offset| offset.is_centred()).count();
    let centred = centred as f32 / offsets.len().max(1) as f32;
    let doubt = ((0.86 - centred) / 0.06).clamp(0.0, 1.0);
    let (min_peak, min_margin) =
        if centred < 0.5 { (7.0, 4.0) } else { (3.0 + 1.8 * doubt, 1.65 + 0.25 * doubt) };
    let is_far = |offset: &Offset| offset.at.iter().any(|part| part.abs() >= MIN_SHIFT);
    let is_shifted = |at: &usize| is_far(&offsets[*at]) && offsets[*at].is_shift(min_peak, min_margin);
    (0..offsets.len()).filter(is_shifted).collect()
}

/// Returns the magnitudes of the gradient of a grey image, reduced to a square of [`SIDE`] by averages.
pub(crate) fn edges(grey: &GrayImage) -> Vec<f32> {
    // A smaller image would leave empty cells between its pixels, whose pattern correlates at any even offset.
    let sides = [grey.width(), grey.height()].map(|side| side.max(SIDE as u32));
    let enlarged = (sides != [grey.width(), grey.height()])
        .then(|| imageops::resize(grey, sides[0], sides[1], FilterType::Triangle));
    let grey = enlarged.as_ref().unwrap_or(grey);
    let [width, height] = [grey.width() as usize, grey.height() as usize];
    let levels: &[u8] = grey.as_raw();
    let mut sums = vec![0.0f32; SIDE * SIDE];
    let mut counts = vec![0.0f32; SIDE * SIDE];
    for y in 1..height.saturating_sub(1) {
        let row = y * SIDE / height * SIDE;
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let change = |low: usize, high: usize| f32::from(levels[high]) - f32::from(levels[low]);
            let [dx, dy] = [change(at - 1, at + 1), change(at - width, at + width)];
            let cell = row + x * SIDE / width;
            // The root of the magnitude keeps a few strong edges from hiding the others.
            sums[cell] += (dx * dx + dy * dy).sqrt().sqrt();
            counts[cell] += 1.0;
        }
    }
    for (sum, count) in sums.iter_mut().zip(&counts) {
        *sum /= count.max(1.0);
    }
    sums
}

/// Returns the offset of B's edges from A's.
pub(crate) fn offset(a: &[f32], b: &[f32]) -> Offset {
    let [a, b] = [a, b].map(windowed);
    let mut both: Vec<[f32; 2]> = a.iter().zip(&b).map(|(a, b)| [*a, *b]).collect();
    transform(&mut both);
    // One transform of a + ib contains those of both real images.
    let mut cross = vec![[0.0f32; 2]; SIDE * SIDE];
    for y in 0..SIDE {
        for x in 0..SIDE {
            let [p, q] = [both[y * SIDE + x], both[(SIDE - y) % SIDE * SIDE + (SIDE - x) % SIDE]];
            let fa = [(p[0] + q[0]) / 2.0, (p[1] - q[1]) / 2.0];
            let fb = [(p[1] + q[1]) / 2.0, (q[0] - p[0]) / 2.0];
            let product = [fa[0] * fb[0] + fa[1] * fb[1], fa[1] * fb[0] - fa[0] * fb[1]];
            // Partial whitening: full whitening amplifies noise, none prefers wide structures.
            let size = product[0].hypot(product[1]).powf(0.6).max(1e-9);
            // A low pass removes what the reduction left of blocks and noise.
            let [u, v] = [x, y].map(|k| k.min(SIDE - k) as f32 / (SIDE / 2) as f32);
            let weight = (-2.0 * (u * u + v * v)).exp() / size;
            cross[y * SIDE + x] = [product[0] * weight, product[1] * weight];
        }
    }
    cross[0] = [0.0; 2];
    transform(&mut cross);
    peak(&cross)
}

fn peak(correlation: &[[f32; 2]]) -> Offset {
    let count = (SIDE * SIDE) as f32;
    let spread = (correlation.iter().map(|value| value[0] * value[0]).sum::<f32>() / count).sqrt();
    if spread <= f32::EPSILON {
        return Offset::default();
    }
    let mut best = Offset { peak: f32::MIN, centre: f32::MIN, ..Offset::default() };
    for dy in -REACH..=REACH {
        for dx in -REACH..=REACH {
            let [x, y] = [dx, dy].map(|d| d.rem_euclid(SIDE as isize) as usize);
            let value = correlation[y * SIDE + x][0] / spread;
            if dx.abs() <= 1 && dy.abs() <= 1 {
                best.centre = best.centre.max(value);
            }
            if value > best.peak {
                best.peak = value;
                best.at = [dx, dy].map(|d| d as f32 / SIDE as f32);
            }
        }
    }
    best
}

/// Subtracts the mean and fades the borders out, because the transform wraps around.
fn windowed(values: &[f32]) -> Vec<f32> {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let fade = |k: usize| {
        let border = k.min(SIDE - 1 - k) as f32 / 10.0;
        if border >= 1.0 { 1.0 } else { 0.5 - 0.5 * (std::f32::consts::PI * border).cos() }
    };
    let fades: Vec<f32> = (0..SIDE).map(fade).collect();
    values.iter().enumerate().map(|(at, v)| (v - mean) * fades[at / SIDE] * fades[at % SIDE]).collect()
}

/// Computes the two-dimensional Fourier transform in place. Only its forward direction is needed: the correlation's
/// indices are negated, which is the same as conjugating the product.
fn transform(values: &mut [[f32; 2]]) {
    let roots: Vec<[f32; 2]> = (0..SIDE / 2)
        .map(|k| {
            let angle = -2.0 * std::f32::consts::PI * k as f32 / SIDE as f32;
            [angle.cos(), angle.sin()]
        })
        .collect();
    for row in values.chunks_exact_mut(SIDE) {
        transform_line(row, &roots);
    }
    let mut column = [[0.0f32; 2]; SIDE];
    for x in 0..SIDE {
        for (y, value) in column.iter_mut().enumerate() {
            *value = values[y * SIDE + x];
        }
        transform_line(&mut column, &roots);
        for (y, value) in column.iter().enumerate() {
            values[y * SIDE + x] = *value;
        }
    }
}

/// Cooley and Tukey's transform of a power of two.
fn transform_line(line: &mut [[f32; 2]], roots: &[[f32; 2]]) {
    let bits = line.len().trailing_zeros();
    for at in 0..line.len() {
        let other = at.reverse_bits() >> (usize::BITS - bits);
        if at < other {
            line.swap(at, other);
        }
    }
    let mut half = 1;
    while half < line.len() {
        let step = line.len() / (2 * half);
        for block in line.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (p, q)) in low.iter_mut().zip(high).enumerate() {
                let [c, s] = roots[k * step];
                let turned = [q[0] * c - q[1] * s, q[0] * s + q[1] * c];
                *q = [p[0] - turned[0], p[1] - turned[1]];
                *p = [p[0] + turned[0], p[1] + turned[1]];
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_a_moved_pattern_is_found() {
        let noise = |x: usize, y: usize| ((x * 7919 + y * 104_729) as u32).wrapping_mul(0x9E37_79B1) >> 24;
        let image = |dx: usize, dy: usize| -> Vec<f32> {
            (0..SIDE * SIDE)
                .map(|at| noise((at % SIDE + 200 - dx) / 4, (at / SIDE + 200 - dy) / 4) as f32)
                .collect()
        };
        let found = offset(&image(0, 0), &image(4, 0));
        assert!(found.is_shift(3.0, 1.6), "{found:?}");
        assert_eq!(found.at, [4.0 / SIDE as f32, 0.0], "{found:?}");
        let found = offset(&image(0, 0), &image(0, 6));
        assert_eq!(found.at, [0.0, 6.0 / SIDE as f32], "{found:?}");
        assert!(offset(&image(0, 0), &image(0, 0)).is_centred());
        assert!(offset(&[0.0; SIDE * SIDE], &[0.0; SIDE * SIDE]).is_centred());
    }
}
