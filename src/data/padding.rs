//! Padding by reflection to a size that a network takes, as for translation: equal on both sides.

use burn::tensor::{Int, Tensor, TensorData};

use crate::raster::reflected;

/// Rounds height and width up to multiples of `multiple`, and to at least `min`.
pub(crate) fn padded_size(size: [usize; 2], multiple: usize, min: usize) -> [usize; 2] {
    size.map(|size| size.next_multiple_of(multiple).max(min))
}

/// Pads images by reflection to `size`, height and width. Images of that size come back unchanged.
///
/// # Shapes
/// - `images`: `[N, C, H, W]`, H and W at most `size`
/// - returns `[N, C, size[0], size[1]]`
pub(crate) fn pad(images: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = images.dims();
    if [height, width] == size {
        return images;
    }
    let rows = sources(height, size[0]);
    let columns = sources(width, size[1]);
    let device = images.device();
    let indices = |values: Vec<i64>| {
        let count = values.len();
        Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device)
    };
    images.select(2, indices(rows)).select(3, indices(columns))
}

/// Returns the index of the original row or column for each of `padded`.
fn sources(length: usize, padded: usize) -> Vec<i64> {
    let start = ((padded - length) / 2) as isize;
    (0..padded as isize).map(|index| reflected(index - start, length) as i64).collect()
}

/// Cuts images of `size` out of images that [`pad`] has padded, or out of a network's output for them.
///
/// # Shapes
/// - `images`: `[N, C, H, W]`
/// - returns `[N, C, size[0], size[1]]`
pub(crate) fn unpad(images: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [count, channels, height, width] = images.dims();
    if [height, width] == size {
        return images;
    }
    let [top, left] = [(height - size[0]) / 2, (width - size[1]) / 2];
    images.slice([0..count, 0..channels, top..top + size[0], left..left + size[1]])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;
    use crate::transfer::{read_back, upload};

    #[test]
    fn images_are_reflected_on_both_sides_and_cut_out_again() {
        let images = upload((0..6).map(|value| value as f32).collect(), [1, 1, 2, 3], &device::cpu());
        let padded = pad(images.clone(), [4, 8]);
        assert_eq!(padded.dims(), [1, 1, 4, 8]);
        let row = |values: [i32; 3]| [2, 1, 0, 1, 2, 1, 0, 1].map(|column: usize| values[column] as f32);
        let expected = [row([3, 4, 5]), row([0, 1, 2]), row([3, 4, 5]), row([0, 1, 2])].concat();
        assert_eq!(read_back(padded.clone()).unwrap(), expected);
        assert_eq!(read_back(unpad(padded, [2, 3])).unwrap(), read_back(images).unwrap());
        assert_eq!(padded_size([3, 9], 4, 8), [8, 12]);
    }
}
