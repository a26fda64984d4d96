//! A pair of images, and a batch of pairs as tensors.

use burn::tensor::{Device, Tensor, TensorData};

use crate::raster::PlanarImage;

/// A pair as numbers in `[-1, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The condition, `[input_channels, height, width]`.
    pub input: PlanarImage,
    /// The target, `[target_channels, height, width]`.
    pub target: PlanarImage,
}

/// Pairs as tensors.
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
    /// # Panics
    /// If there is no pair, or if the shapes of two pairs differ.
    pub fn stack(pairs: Vec<Pair>, device: &Device) -> Self {
        let (inputs, targets) = pairs.into_iter().map(|pair| (pair.input, pair.target)).unzip();
        Self { input: stacked(inputs, device), target: stacked(targets, device) }
    }
}

fn stacked(images: Vec<PlanarImage>, device: &Device) -> Tensor<4> {
    let count = images.len();
    let mut images = images.into_iter();
    let first = images.next().expect("a batch needs at least one pair");
    let shape = first.shape();
    // Most batches are of one pair, which is not copied.
    let mut values = first.into_values();
    for image in images {
        assert_eq!(image.shape(), shape, "an image is {:?}, but the first one is {shape:?}", image.shape());
        values.extend_from_slice(image.values());
    }
    let [channels, height, width] = shape;
    Tensor::from_data(TensorData::new(values, [count, channels, height, width]), device)
}
