//! The colours of the classes of a label map.

use burn::tensor::{Tensor, assert_shape};

use super::levels::position;
use crate::error::Result;
use crate::transfer::read_back;

/// The colours of a label map, each with its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Palette {
    colours: Vec<([u8; 3], usize)>,
    classes: usize,
}

impl Palette {
    /// Creates a palette from the colours of each class.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::metrics::Palette;
    ///
    /// let palette = Palette::new([vec![[0, 0, 0]], vec![[255, 0, 0], [200, 0, 0]]]);
    /// assert_eq!(palette.classes(), 2);
    /// ```
    pub fn new(classes: impl IntoIterator<Item = Vec<[u8; 3]>>) -> Self {
        let classes: Vec<Vec<[u8; 3]>> = classes.into_iter().collect();
        let count = classes.len();
        let numbered = classes.into_iter().enumerate();
        let colours = numbered.flat_map(|(class, colours)| colours.into_iter().map(move |c| (c, class)));
        Self { colours: colours.collect(), classes: count }
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Returns the class of the nearest colour in RGB; of several equally near ones, the first. `None` without a colour.
    pub(crate) fn nearest(&self, pixel: [u8; 3]) -> Option<usize> {
        let distance = |colour: &[u8; 3]| -> i32 {
            colour.iter().zip(pixel).map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2)).sum()
        };
        self.colours.iter().min_by_key(|(colour, _)| distance(colour)).map(|(_, class)| *class)
    }

    /// Returns the class of the nearest colour in RGB for every pixel, image by image and row by row.
    ///
    /// # Shapes
    /// - `images`: `[N, 3, H, W]` in `[-1, 1]`
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails to return the images.
    ///
    /// # Panics
    /// If there are not 3 channels, or the palette has no colour.
    pub fn classify(&self, images: Tensor<4>) -> Result<Vec<usize>> {
        assert_shape!(images, [_, 3, ..]);
        let [count, _, height, width] = images.dims();
        let area = height * width;
        let values = read_back(images)?;
        let class = |at: usize| {
            let first = at / area * 3 * area + at % area;
            let distance = |colour: &[u8; 3]| {
                let square = |c: usize| (position(values[first + c * area]) - f32::from(colour[c])).powi(2);
                square(0) + square(1) + square(2)
            };
            let nearest = self.colours.iter().min_by(|(a, _), (b, _)| distance(a).total_cmp(&distance(b)));
            nearest.expect("a palette has a colour").1
        };
        Ok((0..count * area).map(class).collect())
    }

    /// Returns the most frequent class in each square of `side` × `side` pixels: the classes of a label map that is
    /// `side` times smaller. Of several equally frequent classes, the lowest is returned.
    ///
    /// Resizing a label map as an image would mix colours along borders, and the nearest colour of a mixture may be
    /// that of an unrelated class.
    ///
    /// # Shapes
    /// - `images`: `[N, 3, H, W]` in `[-1, 1]`
    /// - returns N · H/`side` · W/`side` classes; rows and columns that fill no square are left out
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails to return the images.
    ///
    /// # Panics
    /// If there are not 3 channels, the palette has no colour, or `side` is 0.
    pub fn classify_squares(&self, images: Tensor<4>, side: usize) -> Result<Vec<usize>> {
        assert!(side > 0, "`side` is 0; it must be at least 1");
        let [count, _, height, width] = images.dims();
        let fine = self.classify(images)?;
        let mut coarse = Vec::with_capacity(fine.len() / (side * side));
        for image in 0..count {
            for (top, left) in
                (0..height / side).flat_map(|y| (0..width / side).map(move |x| (y * side, x * side)))
            {
                let mut votes = vec![0u32; self.classes];
                for y in top..top + side {
                    let first = (image * height + y) * width + left;
                    fine[first..first + side].iter().for_each(|class| votes[*class] += 1);
                }
                let most = votes.iter().copied().max();
                coarse.push(
                    votes.iter().position(|count| Some(*count) == most).expect("a palette has a class"),
                );
            }
        }
        Ok(coarse)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn pixels_have_the_class_of_the_nearest_colour() {
        let palette = Palette::new([vec![[0, 0, 0], [250, 0, 0]], vec![[0, 250, 0]]]);
        let red = [[[1.0f32, -1.0]], [[-0.9, -0.2]], [[-1.0, -1.0]]]; // (255, 13, 0) and (0, 102, 0)
        let green = [[[-0.5f32, 0.1]], [[0.9, 0.2]], [[-1.0, -1.0]]]; // (64, 242, 0) and (140, 153, 0)
        let images = Tensor::from_data([red, green], &device::cpu());
        assert_eq!((palette.classes(), palette.classify(images).unwrap()), (2, vec![0, 0, 1, 1]));
    }

    #[test]
    fn a_square_has_the_class_of_most_of_its_pixels() {
        let palette = Palette::new([vec![[0, 0, 0]], vec![[255, 0, 0]], vec![[128, 0, 0]]]);
        // Black and red side by side, a row and a column left over. Resized as an image, the first square would be
        // nearest to the third class.
        let red = [[-1.0f32, 1.0, 1.0, 1.0, 0.0], [-1.0, 1.0, 1.0, -1.0, 0.0], [0.0; 5]];
        let black = [[-1.0f32; 5]; 3];
        let images = Tensor::from_data([[red, black, black], [black; 3]], &device::cpu());
        assert_eq!(palette.classify_squares(images.clone(), 2).unwrap(), [0, 1, 0, 0]);
        let squares = palette.classify_squares(images.clone(), 1).unwrap();
        assert_eq!(squares, palette.classify(images).unwrap());
    }
}
