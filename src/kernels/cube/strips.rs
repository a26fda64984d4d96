//! The division of a map into strips whose columns fit into the largest buffer of a device.

use std::ops::Range;

/// Some rows of some images. A strip of several images has all of their rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strip {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Strip {
    /// Returns the number of pixels of the strip of a map of this width.
    pub(super) fn columns(&self, width: usize) -> usize {
        self.images.len() * self.rows.len() * width
    }
}

/// Divides `images` of `height` rows into strips of at most `max_rows` rows, all images of a strip together; of one
/// row at least.
pub(super) fn strips(images: usize, height: usize, max_rows: usize) -> Vec<Strip> {
    let per_strip = max_rows / height;
    if per_strip > 0 {
        let starts = (0..images).step_by(per_strip);
        return starts
            .map(|start| Strip { images: start..images.min(start + per_strip), rows: 0..height })
            .collect();
    }
    let rows = max_rows.max(1);
    let of_image = |image| {
        let starts = (0..height).step_by(rows);
        starts.map(move |start| Strip { images: image..image + 1, rows: start..height.min(start + rows) })
    };
    (0..images).flat_map(of_image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_row_of_every_image_once() {
        for (images, height, max_rows) in
            [(1, 8, 100), (5, 8, 16), (3, 8, 8), (2, 8, 3), (2, 7, 1), (1, 4, 0)]
        {
            let strips = strips(images, height, max_rows);
            let mut found = vec![0; images * height];
            for strip in &strips {
                assert!(strip.images.len() * strip.rows.len() <= max_rows.max(1), "{strip:?}");
                for image in strip.images.clone() {
                    strip.rows.clone().for_each(|row| found[image * height + row] += 1);
                }
            }
            assert!(found.iter().all(|count| *count == 1), "{images} {height} {max_rows}: {strips:?}");
        }
    }
}
