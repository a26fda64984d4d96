//! The condition by projection (Miyato & Koyama 2018).

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;

use super::config::{Condition, DiscriminatorConfig};
use crate::layers::{Activation, Conv, Initializer, SpectralNorm, channels_at};

/// The inner product of a patch's features and its condition, which is added to the logit.
///
/// Miyato & Koyama 2018, section 3, for every patch <https://arxiv.org/abs/1802.05637>
#[derive(Module, Debug)]
pub(super) struct Projection {
    /// V, a 1×1 convolution from the condition's channels to those of the features.
    conv: Conv,
    spectral: Option<SpectralNorm>,
}

impl Projection {
    /// Creates the projection of scale number `scale`, if the configuration has one.
    pub(super) fn new(config: &DiscriminatorConfig, scale: usize, init: &mut Initializer) -> Option<Self> {
        if config.condition != Condition::Projection {
            return None;
        }
        let before_last = config.geometry().len() - 2;
        let channels = channels_at(config.base_channels_at(scale), before_last);
        let conv = Conv::new([config.input_channels, channels], [1, 1, 0], false, init);
        let spectral = config.spectral.then(|| SpectralNorm::new(conv.weight(), init));
        Some(Self { conv, spectral })
    }

    /// Returns ⟨V·e, φ⟩ of every patch, `[N, 1, H', W']`, with the features φ that the last convolution sees, `[N, C, h,
    /// w]`, and e the mean of the condition over the patch's cell, from `input`, `[N, input_channels, H, W]`. `layers`
    /// have halved the resolution.
    pub(super) fn forward(&self, features: Tensor<4>, input: Tensor<4>, layers: usize) -> Tensor<4> {
        if layers == 0 {
            return product(features, self.embedded(input));
        }
        let side = 1 << layers;
        let cells = avg_pool2d(input, AvgPoolOptions::new([side; 2]).with_stride([side; 2]));
        // Each of the two 4×4 convolutions with stride 1 and padding 1 shifts the grid by half a cell.
        shifted(product(features, self.embedded(shifted(cells))))
    }

    /// Returns V·e.
    fn embedded(&self, cells: Tensor<4>) -> Tensor<4> {
        match &self.spectral {
            Some(norm) => self.conv.forward_normalised(cells, Activation::Linear, norm),
            None => self.conv.forward(cells),
        }
    }

    /// Moves the estimates of the singular vectors one power iteration on, if there are any.
    pub(super) fn power_iteration(&self) {
        if let Some(norm) = &self.spectral {
            norm.iterate(self.conv.weight());
        }
    }

    /// Returns the convolution.
    pub(super) fn conv_mut(&mut self) -> &mut Conv {
        &mut self.conv
    }
}

/// Returns the inner product over channels, `[N, 1, h, w]`.
fn product(features: Tensor<4>, embedded: Tensor<4>) -> Tensor<4> {
    (features * embedded).sum_dim(1)
}

/// Returns the means over 2×2 cells at every cell.
fn shifted(cells: Tensor<4>) -> Tensor<4> {
    avg_pool2d(cells, AvgPoolOptions::new([2, 2]).with_stride([1, 1]))
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;
    use crate::layers::{Arithmetic, Mode, Norm, convolve};

    /// Returns sin(scale·i + offset) over the flat index.
    fn waves(shape: [usize; 4], scale: f32, offset: f32) -> Tensor<4> {
        let values: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| (scale * i as f32 + offset).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// Values of PyTorch in float64: w·φ + ⟨V·e, φ⟩ for 1×1 patches.
    #[test]
    fn projected_logits_equal_pytorchs() {
        let conv = |x: Tensor<4>, weight: Tensor<4>| {
            convolve(x, Activation::Linear, weight, None, [1, 0], &Arithmetic::default())
        };
        let (features, cells) = (waves([1, 3, 2, 2], 0.7, 0.3), waves([1, 2, 2, 2], 0.33, 0.3));
        let embedded = conv(cells, waves([3, 2, 1, 1], 1.3, 0.3));
        let logits = conv(features.clone(), waves([1, 3, 1, 1], 0.9, 0.3)) + product(features, embedded);
        let expected = [-0.015_618_736, 1.297_841_9, 1.390_704_3, 0.528_607_7];
        let found = values(logits);
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6),
            "{found:?}"
        );
    }

    #[test]
    fn a_patch_meets_the_condition_of_its_own_place() {
        for (layers, size) in [(0, 16), (1, 33), (2, 40)] {
            let config = DiscriminatorConfig::new(2, 3).with_base_channels(4).with_layers(layers);
            let config = config.with_norm(Norm::None).with_condition(Condition::Projection).with_scales(2);
            let discriminator = config.init_seeded(5, &device::cpu());
            let image = waves([1, 3, size, size], 0.21, 0.3);
            let [height, width] = config.patch_map_size([size, size]).unwrap();
            let logits = |input: Tensor<4>| {
                discriminator.forward_scales(input, image.clone(), Mode::PAPER).scales[0].logits.clone()
            };
            let empty = logits(Tensor::zeros([1, 2, size, size], &device::cpu()));
            assert_eq!(empty.dims(), [1, 1, height, width]);
            // A condition in the middle changes the logits there, and none at the border.
            let mut corner = vec![0.0; 2 * size * size];
            let middle = size / 2;
            corner[middle * size + middle] = 1.0;
            let input =
                Tensor::<1>::from_floats(corner.as_slice(), &device::cpu()).reshape([1, 2, size, size]);
            let change = values((logits(input) - empty).abs());
            let place = |index: usize| [index / width, index % width];
            let (most, _) = change
                .iter()
                .enumerate()
                .fold((0, 0.0), |best, (i, c)| if *c > best.1 { (i, *c) } else { best });
            let centre = [height / 2, width / 2];
            assert!(change[most] > 0.0);
            for (found, centre) in place(most).into_iter().zip(centre) {
                assert!(found.abs_diff(centre) <= 2, "{layers} layers: the patch at {:?}", place(most));
            }
            let changed = change.iter().filter(|change| **change > 0.0).count();
            assert!(changed <= 9, "{layers} layers: {changed} patches changed");
        }
    }
}
