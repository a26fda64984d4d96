//! Resampling of rows and columns as Pillow does it: one axis after the other, with overshoots clamped after each.
//!
//! Each row is resampled on its own, so a large image can be read in bands of rows: [`horizontal`] shrinks one band
//! after another, and [`vertical`] resamples all of them at the end.

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::names;

/// The resampling filter. All but `Nearest` are antialiased: they widen when an image shrinks.
///
/// They resize as Pillow does: one axis after the other, with overshoots clamped after each. Pillow also rounds to 8
/// bits after each axis, so results differ by at most one level; those of `Nearest` are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResizeFilter {
    /// Cubic, as in the PyTorch original.
    Bicubic,
    /// Linear, as in the Lua original of the paper.
    #[default]
    Bilinear,
    /// The value of the nearest pixel. It keeps the colours of a label map.
    Nearest,
    /// Lanczos, over three pixels on each side: the sharpest.
    Lanczos,
}

names::named!(ResizeFilter, "resize_filter");

/// The error of a resize: that of the resizing library, or that an image has no pixels.
pub(super) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Resizes one channel from height and width `from` to `to`, and clamps it to `[-1, 1]`.
pub(super) fn resized(
    plane: Vec<f32>,
    from: [usize; 2],
    to: [usize; 2],
    filter: ResizeFilter,
) -> Result<Vec<f32>, Problem> {
    let heights = [from[0], to[0]];
    let widths = [from[1], to[1]];
    let mut values = if is_vertical_first(from, to, filter) {
        horizontal(vertical(plane, from[1], heights, filter)?, widths, filter)?
    } else {
        vertical(horizontal(plane, widths, filter)?, to[1], heights, filter)?
    };
    clamp(&mut values);
    Ok(values)
}

/// Returns whether Pillow resamples columns before rows, which it does since version 13 if the height shrinks by more
/// than twice as many pixels as the width. Clamping in between makes the order visible, but not for the other filters.
pub(super) fn is_vertical_first(from: [usize; 2], to: [usize; 2], filter: ResizeFilter) -> bool {
    let shrinks = |axis: usize| from[axis] as i128 - to[axis] as i128;
    filter.overshoots() && shrinks(0) > 0 && shrinks(0) > 2 * shrinks(1)
}

/// Resamples each row from the first of `widths` to the second. `rows` holds any number of rows of one channel.
///
/// [`clamp`] the values after the last axis: rounding takes some out of `[-1, 1]`.
pub(super) fn horizontal(
    rows: Vec<f32>,
    widths: [usize; 2],
    filter: ResizeFilter,
) -> Result<Vec<f32>, Problem> {
    let [from, to] = widths;
    if from == to {
        return Ok(rows);
    }
    let height = rows.len().checked_div(from).unwrap_or_default();
    match filter.convolution() {
        Some(convolution) => convolved(rows, [height, from], [height, to], convolution, filter.overshoots()),
        None => {
            let columns = nearest(from, to)?;
            Ok(rows.chunks_exact(from).flat_map(|row| columns.iter().map(|&column| row[column])).collect())
        }
    }
}

/// Resamples each column of one channel, which is `width` pixels wide, from the first of `heights` to the second.
///
/// [`clamp`] the values after the last axis: rounding takes some out of `[-1, 1]`.
pub(super) fn vertical(
    plane: Vec<f32>,
    width: usize,
    heights: [usize; 2],
    filter: ResizeFilter,
) -> Result<Vec<f32>, Problem> {
    let [from, to] = heights;
    if from == to {
        return Ok(plane);
    }
    match filter.convolution() {
        Some(convolution) => convolved(plane, [from, width], [to, width], convolution, filter.overshoots()),
        None => {
            let rows = nearest(from, to)?;
            Ok(rows.into_iter().flat_map(|row| &plane[row * width..(row + 1) * width]).copied().collect())
        }
    }
}

/// Clamps values to `[-1, 1]`.
pub(super) fn clamp(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.clamp(-1.0, 1.0));
}

impl ResizeFilter {
    fn convolution(self) -> Option<FilterType> {
        match self {
            Self::Bicubic => Some(FilterType::CatmullRom),
            Self::Bilinear => Some(FilterType::Bilinear),
            Self::Lanczos => Some(FilterType::Lanczos3),
            Self::Nearest => None,
        }
    }

    /// Returns whether the filter has negative weights, and so makes values that lie outside those of the pixels.
    fn overshoots(self) -> bool {
        matches!(self, Self::Bicubic | Self::Lanczos)
    }
}

/// Resamples one axis; the lengths of the other are equal.
fn convolved(
    values: Vec<f32>,
    from: [usize; 2],
    to: [usize; 2],
    filter: FilterType,
    overshoots: bool,
) -> Result<Vec<f32>, Problem> {
    let pixels = values.into_iter().map(F32::new).collect();
    let source = TypedImage::from_pixels(from[1] as u32, from[0] as u32, pixels)?;
    let mut target = TypedImage::<F32>::new(to[1] as u32, to[0] as u32);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new().resize_typed(&source, &mut target, &options)?;
    let mut values: Vec<f32> = target.pixels().iter().map(|pixel| pixel.0).collect();
    if overshoots {
        clamp(&mut values);
    }
    Ok(values)
}

/// Returns the index of the source pixel of each target pixel along one axis. The position is a running sum, as in
/// Pillow, whose rounding decides between two pixels that are equally near.
fn nearest(from: usize, to: usize) -> Result<Vec<usize>, Problem> {
    if from == 0 && to > 0 {
        return Err("the image has no pixels".into());
    }
    let step = from as f64 / to as f64;
    let positions = std::iter::successors(Some(step * 0.5), |position| Some(position + step));
    Ok(positions.take(to).map(|position| (position as usize).min(from - 1)).collect())
}

#[cfg(test)]
mod tests {
    use fast_image_resize::images::TypedImageRef;
    use serde::Deserialize;

    use super::*;
    use crate::raster::levels;

    const FILTERS: [ResizeFilter; 4] =
        [ResizeFilter::Bicubic, ResizeFilter::Bilinear, ResizeFilter::Nearest, ResizeFilter::Lanczos];

    /// Images that Pillow resized; `tests/golden/pillow_resize.py` writes them.
    #[derive(Deserialize)]
    struct Fixture {
        sources: Vec<Image>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Image {
        size: [usize; 2],
        levels: String,
    }

    #[derive(Deserialize)]
    struct Case {
        source: usize,
        filter: ResizeFilter,
        resized: Image,
    }

    impl Image {
        fn bytes(&self) -> Vec<u8> {
            let byte = |at: usize| u8::from_str_radix(&self.levels[at..at + 2], 16).unwrap();
            (0..self.levels.len()).step_by(2).map(byte).collect()
        }
    }

    #[test]
    fn resizing_equals_pillow_to_one_level_and_nearest_exactly() {
        let fixture: Fixture =
            serde_json::from_str(include_str!("../../tests/golden/pillow_resize.json")).unwrap();
        assert_eq!(fixture.cases.len(), fixture.sources.len() * FILTERS.len() * 7);
        for case in &fixture.cases {
            let (source, size) = (&fixture.sources[case.source], case.resized.size);
            let values = source.bytes().into_iter().map(levels::from_u8).collect();
            let found = resized(values, source.size, size, case.filter).unwrap();
            let expected = case.resized.bytes();
            assert_eq!(found.len(), expected.len());
            let found = found.into_iter().map(levels::to_u8);
            let worst = found.zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            let allowed = u8::from(case.filter != ResizeFilter::Nearest);
            assert!(worst <= allowed, "source {}, {}, {size:?}: {worst} levels", case.source, case.filter);
        }
    }

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|v| (v * v * 37 % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn bands_of_rows_give_the_values_of_the_whole_image() {
        let (height, width) = (13, 11);
        for filter in FILTERS {
            let whole = horizontal(values(height * width), [width, 5], filter).unwrap();
            let all = values(height * width);
            let bands =
                all.chunks(width * 4).map(|band| horizontal(band.to_vec(), [width, 5], filter).unwrap());
            for (band, whole) in bands.flatten().zip(whole) {
                assert!((band - whole).abs() < 1e-6, "{filter}: {band} is not {whole}");
            }
        }
    }

    #[test]
    fn bilinear_values_are_those_of_earlier_versions() {
        // Earlier versions resized both axes in one call of the library.
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        for (from, to) in [
            ([13, 17], [5, 7]),
            ([64, 64], [72, 72]),
            ([90, 31], [33, 30]),
            ([7, 9], [7, 20]),
            ([50, 4], [9, 4]),
        ] {
            let all = values(from[0] * from[1]);
            let pixels: Vec<F32> = all.iter().map(|&value| F32::new(value)).collect();
            let source = TypedImageRef::new(from[1] as u32, from[0] as u32, &pixels).unwrap();
            let mut target = TypedImage::<F32>::new(to[1] as u32, to[0] as u32);
            Resizer::new().resize_typed(&source, &mut target, &options).unwrap();
            let expected = target.pixels().iter().map(|pixel| pixel.0.clamp(-1.0, 1.0).to_bits());
            let found = resized(all, from, to, ResizeFilter::Bilinear).unwrap();
            assert!(found.iter().map(|value| value.to_bits()).eq(expected), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn nearest_makes_no_values() {
        for (from, to) in [([5, 7], [31, 3]), ([40, 30], [9, 90])] {
            let all = values(from[0] * from[1]);
            let found = resized(all.clone(), from, to, ResizeFilter::Nearest).unwrap();
            assert!(found.iter().all(|value| all.contains(value)));
        }
    }

    #[test]
    fn an_image_without_pixels_is_an_error_or_stays_empty() {
        assert!(vertical(Vec::new(), 3, [0, 2], ResizeFilter::Nearest).is_err());
        assert!(horizontal(Vec::new(), [0, 2], ResizeFilter::Nearest).is_err());
        assert!(horizontal(Vec::new(), [4, 2], ResizeFilter::Nearest).unwrap().is_empty());
    }

    #[test]
    fn names_of_filters_are_those_in_json() {
        for filter in FILTERS {
            assert_eq!(filter.to_string().parse::<ResizeFilter>().unwrap(), filter);
        }
        let message = "cubic".parse::<ResizeFilter>().unwrap_err().to_string();
        let expected = "resize_filter: `cubic` cannot be used: unknown variant `cubic`, expected one of `bicubic`, \
                        `bilinear`, `nearest`, `lanczos`";
        assert_eq!(message, expected);
    }
}
