//! The second half of a discriminator that is an auto-encoder: it reconstructs the judged image from its code (EBGAN, Zhao
//! et al. 2016, appendix C), and measures the error.

use burn::module::Module;
use burn::tensor::Tensor;

use super::config::DiscriminatorConfig;
use super::output::ScaleOutput;
use crate::layers::{Initializer, Mode, UpBlock, Upsample, UpsampleKind, channels_at, tanh};

/// A decoder, the mirror image of the encoder.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    blocks: Vec<UpBlock>,
}

impl Decoder {
    pub(super) fn new(config: &DiscriminatorConfig, init: &mut Initializer) -> Self {
        let blocks = (0..config.layers).rev().map(|level| {
            let from = channels_at(config.base_channels, level);
            let is_last = level == 0;
            let to =
                if is_last { config.output_channels } else { channels_at(config.base_channels, level - 1) };
            let bias = is_last || config.norm.conv_bias();
            let up = Upsample::new([from, to], UpsampleKind::Transpose, bias, init);
            UpBlock::new(up, if is_last { None } else { config.norm.init(to, init) })
        });
        Self { blocks: blocks.collect() }
    }

    /// Returns the reconstruction of an image from its `code`, `[N, output_channels, H, W]` in `[-1, 1]`.
    fn forward(&self, code: Tensor<4>, mode: Mode) -> Tensor<4> {
        tanh(self.blocks.iter().fold(code, |x, block| block.forward(x, mode)))
    }

    /// Returns the output of the encoder as codes, with the negated energies of `image` as logits.
    ///
    /// # Panics
    /// If the cells of `cell`² pixels do not divide the image.
    pub(super) fn judge(
        &self,
        encoded: ScaleOutput,
        image: Tensor<4>,
        cell: usize,
        mode: Mode,
    ) -> ScaleOutput {
        let [_, _, height, width] = image.dims();
        assert!(
            height % cell == 0 && width % cell == 0,
            "the image's size (={height}×{width}) must be divisible by {cell}, the side of the auto-encoder's cells"
        );
        let codes = encoded.logits;
        let reconstruction = self.forward(codes.clone(), mode);
        ScaleOutput { logits: -energies(image, reconstruction, cell), codes: Some(codes), ..encoded }
    }

    /// Takes the last convolution from `new`, and returns its name.
    pub(super) fn take_last(&mut self, mut new: Self) -> Option<String> {
        let (old, new) = self.blocks.last_mut().zip(new.blocks.pop())?;
        *old = new;
        Some(format!("decoder.blocks.{}.up", self.blocks.len() - 1))
    }

    /// Computes convolutions on the CPU by their definition if `exact` is true.
    pub(super) fn set_exact(&mut self, exact: bool) {
        for block in &mut self.blocks {
            let arithmetic = block.arithmetic_mut();
            *arithmetic = std::mem::take(arithmetic).with_exact(exact);
        }
    }
}

/// Returns the mean squared error of each cell, `[N, 1, H / cell, W / cell]`.
///
/// Gradients reach both images. That of the generator needs the path through the judged image, too: the auto-encoder's
/// input and its target.
///
/// # Shapes
/// - `image`, `reconstruction`: `[N, C, H, W]`, with H and W divisible by `cell`
fn energies(image: Tensor<4>, reconstruction: Tensor<4>, cell: usize) -> Tensor<4> {
    let [images, _, height, width] = image.dims();
    let [rows, columns] = [height / cell, width / cell];
    let errors = (reconstruction - image).square().mean_dim(1); // [N, 1, H, W]
    let errors: Tensor<5> = errors.reshape([images, rows, cell, columns, cell]);
    errors.mean_dim(4).mean_dim(2).reshape([images, 1, rows, columns])
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;

    /// Returns sin(a·i + 0.3) in row-major order: the fixture of the golden numbers, computed in float64 elsewhere.
    fn wave(shape: [usize; 4], a: f64) -> Tensor<4> {
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|i| (a * i as f64 + 0.3).sin() as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_into_vec().unwrap()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn energies_have_the_values_of_pytorch() {
        let of_examples = |a| {
            let [image, other] = if a == 0.7 { [0.7, 0.68] } else { [0.5, 0.35] };
            values(energies(wave([2, 3, 2, 2], image), wave([2, 3, 2, 2], other), 2))
        };
        close(&of_examples(0.7), &[0.007_105_943, 0.071_240_88]);
        close(&of_examples(0.5), &[0.305_454_88, 2.059_009_3]);
        let map = values(energies(wave([1, 3, 2, 2], 0.7), wave([1, 3, 2, 2], 0.68), 1));
        close(&map, &[0.008_933_296, 0.012_508_865, 0.005_271_46, 0.001_710_153]);
    }

    #[test]
    fn a_cell_is_the_mean_of_its_own_pixels() {
        let pixels: [f32; 16] = std::array::from_fn(|index| (index as f32).sqrt());
        let image = Tensor::<1>::from_floats(pixels, &device::cpu()).reshape([1, 1, 4, 4]);
        let zeros = Tensor::zeros([1, 1, 4, 4], &device::cpu());
        close(&values(energies(image, zeros, 2)), &[2.5, 4.5, 10.5, 12.5]);
    }

    #[test]
    fn gradients_flow_through_the_image_as_well_as_its_reconstruction() {
        let image = wave([1, 1, 2, 2], 0.7).autodiff().require_grad();
        let reconstruction = image.clone() * 0.5;
        let grads = energies(image.clone(), reconstruction, 2).sum().backward();
        let found = values(image.grad(&grads).unwrap());
        // The mean of (x/2 − x)² has the slope x/8 in each of four pixels; without the path through the target, −x/8.
        let expected: Vec<f32> = values(image.inner()).iter().map(|x| x / 8.0).collect();
        close(&found, &expected);
    }
}
