//! Images beside each other in one image.

use image::{RgbImage, imageops};

/// Returns images in rows of `columns`, in order. Each has a place of the size of the largest; the rest is black.
///
/// # Panics
/// If `columns` is 0, or the grid has more than 2³² pixels on a side.
pub fn image_grid(images: &[RgbImage], columns: usize) -> RgbImage {
    assert!(columns > 0, "`columns` (=0) must be at least 1");
    let side = |length: fn(&RgbImage) -> u32| images.iter().map(length).max().unwrap_or(0);
    let [width, height] = [side(RgbImage::width), side(RgbImage::height)];
    let [columns, rows] = [columns.min(images.len()), images.len().div_ceil(columns)];
    let mut grid = RgbImage::new(width * columns as u32, height * rows as u32);
    for (index, image) in images.iter().enumerate() {
        let [x, y] = [(index % columns) as i64, (index / columns) as i64];
        imageops::replace(&mut grid, image, x * i64::from(width), y * i64::from(height));
    }
    grid
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn images_are_in_rows_from_left_to_right() {
        let images: Vec<RgbImage> =
            (1..=3u8).map(|grey| RgbImage::from_pixel(2, 1, Rgb([grey; 3]))).collect();
        let grid = image_grid(&images, 2);
        let values: Vec<u8> = grid.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!((grid.dimensions(), values), ((4, 2), vec![1, 1, 2, 2, 3, 3, 0, 0]));
        assert_eq!(image_grid(&images, 9).dimensions(), (6, 1));
        assert_eq!(image_grid(&[], 2).dimensions(), (0, 0));
    }
}
