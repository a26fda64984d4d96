//! The sharpness of images.

use burn::tensor::Tensor;

use super::fidelity::per_image;

/// Returns the gradient energy of each image: the mean squared difference of neighbours, down plus across.
///
/// A blurred output has less gradient energy than its target. The sum over all outputs divided by the sum over all
/// targets is 1 if outputs are as sharp as targets. Noise counts as sharpness.
///
/// # Shapes
/// - `image`: `[N, C, H, W]`, height and width at least 2
/// - returns `[N]`
///
/// # Panics
/// If height or width is below 2.
pub fn gradient_energy(image: Tensor<4>) -> Tensor<1> {
    let [_, _, height, width] = image.dims();
    assert!(height >= 2 && width >= 2, "`image` is {:?}; height and width must be at least 2", image.dims());
    let down = image.clone().narrow(2, 1, height - 1) - image.clone().narrow(2, 0, height - 1);
    let across = image.clone().narrow(3, 1, width - 1) - image.narrow(3, 0, width - 1);
    per_image(down.square()) + per_image(across.square())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    #[should_panic(expected = "`image` is [1, 3, 1, 9]; height and width must be at least 2")]
    fn an_image_of_one_row_panics() {
        gradient_energy(Tensor::zeros([1, 3, 1, 9], &device::cpu()));
    }

    #[test]
    fn gradient_energy_is_the_mean_of_squares_of_each_image() {
        let flat = [[0.5f32, 0.5, 0.5], [0.5, 0.5, 0.5]];
        // Down: 1, 1, 1 squared, mean 1. Across: (1, 2) in both rows, squares 1 and 4, mean 2.5.
        let ramp = [[0.0f32, 1.0, 3.0], [1.0, 2.0, 4.0]];
        let images = Tensor::from_data([[flat], [ramp]], &device::cpu());
        let energy = gradient_energy(images).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(energy, [0.0, 3.5]);
    }
}
