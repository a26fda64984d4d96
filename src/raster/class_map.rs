//! The class of each pixel of a label map, and its conversion to a channel for each class.

use super::planar::PlanarImage;
use super::source::Pixels;

/// The class of each pixel of a label map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassMap {
    /// Row by row; each is below `count`.
    classes: Vec<u16>,
    /// Height and width.
    size: [usize; 2],
    count: usize,
}

impl ClassMap {
    /// Creates a map of the pixels' classes, row by row, each below `count`.
    pub(crate) fn new(classes: Vec<u16>, size: [usize; 2], count: usize) -> Self {
        debug_assert_eq!(classes.len(), size[0] * size[1]);
        debug_assert!(classes.iter().all(|class| usize::from(*class) < count));
        Self { classes, size, count }
    }

    /// Returns height and width.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Returns the number of classes.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Views the map as a channel for each class: 1 at its pixels, −1 elsewhere.
    pub(crate) fn pixels(&self) -> Pixels<'_> {
        Pixels::classes(&self.classes, self.size, self.count)
    }

    /// Returns a channel for each class with the fraction of each pixel's area that the class covers, from −1 (nothing)
    /// to 1 (all of it).
    ///
    /// A pixel of the result is a rectangle of the map, and every pixel of the map counts by the area that lies inside.
    /// Areas are counted in whole numbers, so the fractions are exact, and those of a pixel add up to 1.
    pub(crate) fn coverage(&self, [height, width]: [usize; 2]) -> PlanarImage {
        let [from_height, from_width] = self.size;
        let columns = pieces(from_width, width);
        let whole = (from_height * from_width) as f64;
        let mut values = vec![-1.0; self.count * height * width];
        // The areas in the current row of the result, class by class.
        let mut areas = vec![0u64; self.count * width];
        let mut rows = pieces(from_height, height).into_iter().peekable();
        while let Some(row) = rows.next() {
            let classes = &self.classes[row.source * from_width..][..from_width];
            for column in &columns {
                areas[usize::from(classes[column.source]) * width + column.target] +=
                    row.length * column.length;
            }
            if rows.peek().is_none_or(|next| next.target != row.target) {
                for (class, areas) in areas.chunks_exact_mut(width).enumerate() {
                    let start = (class * height + row.target) * width;
                    for (value, area) in values[start..start + width].iter_mut().zip(areas) {
                        *value = (std::mem::take(area) as f64 * 2.0 / whole - 1.0) as f32;
                    }
                }
            }
        }
        PlanarImage::new(values, [self.count, height, width])
    }
}

/// A part of an axis that lies in one pixel of the source and in one of the target.
struct Shared {
    source: usize,
    target: usize,
    /// In units of which a pixel of the source has as many as the target has pixels, and the other way round.
    length: u64,
}

/// Splits an axis of `source` pixels, which is resized to `target` pixels, at the borders of both.
fn pieces(source: usize, target: usize) -> Vec<Shared> {
    let mut pieces = Vec::with_capacity(source + target);
    let (mut s, mut t, mut start) = (0, 0, 0);
    while s < source && t < target {
        let ends = [(s + 1) * target, (t + 1) * source];
        let end = ends[0].min(ends[1]);
        pieces.push(Shared { source: s, target: t, length: (end - start) as u64 });
        start = end;
        s += usize::from(ends[0] == end);
        t += usize::from(ends[1] == end);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Returns the coverage by its definition: the mean over the exact area of the plane that is 1 at the class.
    fn by_definition(map: &ClassMap, [height, width]: [usize; 2]) -> Vec<f32> {
        let overlap = |index: usize, count: usize, pixel: usize, pixels: usize| {
            let scale = pixels as f64 / count as f64;
            let (start, end) = (index as f64 * scale, (index + 1) as f64 * scale);
            ((end.min(pixel as f64 + 1.0) - start.max(pixel as f64)) / scale).max(0.0)
        };
        let mut values = vec![];
        for class in 0..map.count {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let covered =
                    map.classes.iter().enumerate().filter(|(_, found)| usize::from(**found) == class);
                let areas = covered.map(|(at, _)| {
                    overlap(y, height, at / map.size[1], map.size[0])
                        * overlap(x, width, at % map.size[1], map.size[1])
                });
                values.push((areas.sum::<f64>() * 2.0 - 1.0) as f32);
            }
        }
        values
    }

    #[test]
    fn coverage_is_the_mean_over_the_exact_area() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for _ in 0..60 {
            let count = rng.random_range(1..6);
            let [from, to] = [(); 2].map(|()| [(); 2].map(|()| rng.random_range(1..14)));
            let classes = (0..from[0] * from[1]).map(|_| rng.random_range(0..count as u16)).collect();
            let map = ClassMap::new(classes, from, count);
            let found = map.coverage(to);
            assert_eq!(found.shape(), [count, to[0], to[1]]);
            for (found, expected) in found.values().iter().zip(by_definition(&map, to)) {
                assert!((found - expected).abs() < 1e-6, "{from:?} to {to:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn whole_and_empty_pixels_are_exact() {
        let map = ClassMap::new(vec![0, 0, 0, 2, 2, 2], [1, 6], 3);
        let planes = map.coverage([3, 2]);
        assert_eq!(planes.values(), [[1.0, -1.0].repeat(3), vec![-1.0; 6], [-1.0, 1.0].repeat(3)].concat());
        // At its own size, the coverage is the view of the map.
        assert_eq!(map.coverage([1, 6]).values(), map.pixels().window([0, 0], [1, 6]));
    }
}
