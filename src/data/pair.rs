//! A pair of images, and a batch of pairs as tensors.

use burn::tensor::{Device, Tensor};

use crate::raster::PlanarImage;
use crate::transfer::upload;

/// A pair of images with values in `[-1, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The condition, `[input_channels, height, width]`.
    pub input: PlanarImage,
    /// The target, `[target_channels, height, width]`.
    pub target: PlanarImage,
}

/// A batch of pairs as tensors.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The condition, `[N, C, H, W]` in `[-1, 1]`.
    pub input: Tensor<4>,
    /// The target, `[N, C, H, W]` in `[-1, 1]`.
    pub target: Tensor<4>,
}

impl Batch {
    /// Stacks pairs of one shape.
    ///
    /// # Shapes
    /// - each image: `[C, H, W]`, equal for all inputs, and equal for all targets
    /// - returns `[N, C, H, W]` for both
    ///
    /// # Panics
    /// If there is no pair, or if the shapes of two pairs differ.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::data::{Batch, Pair, PlanarImage};
    /// use pix2pix::device;
    ///
    /// let grey = PlanarImage::new(vec![0.0; 8 * 6], [1, 8, 6]);
    /// let pair = Pair { input: grey.clone(), target: grey };
    /// let batch = Batch::stack(vec![pair.clone(), pair], &device::cpu());
    /// assert_eq!(batch.input.dims(), [2, 1, 8, 6]);
    /// # }
    /// ```
    pub fn stack(pairs: Vec<Pair>, device: &Device) -> Self {
        let (inputs, targets) = pairs.into_iter().map(|pair| (pair.input, pair.target)).unzip();
        Self { input: stacked(inputs, device), target: stacked(targets, device) }
    }
}

/// Returns a tensor `[N, C, H, W]` of images of one shape.
fn stacked(images: Vec<PlanarImage>, device: &Device) -> Tensor<4> {
    let count = images.len();
    let mut images = images.into_iter();
    let first = images.next().expect("a batch needs at least one pair");
    let shape = first.shape();
    // The first image is moved, not copied: most batches have one pair.
    let mut values = first.into_values();
    for image in images {
        assert_eq!(image.shape(), shape, "an image is {:?}, but the first one is {shape:?}", image.shape());
        values.extend_from_slice(image.values());
    }
    let [channels, height, width] = shape;
    upload(values, [count, channels, height, width], device)
}
