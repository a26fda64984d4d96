//! How sharp pictures are.

use super::fidelity::per_picture;
use crate::Tensor;

/// Gradient energy of each picture: the mean square of the differences between neighbours, down and across.
///
/// A blurred output has less than its target. The quotient of the sums over a set, outputs over targets, is 1 where
/// outputs are as sharp as photographs; noise counts as sharpness.
///
/// # Shapes
/// - `picture`: `[N, C, H, W]`, height and width at least 2
/// - returns `[N]`
///
/// # Panics
/// If height or width is below 2.
pub fn gradient_energy(picture: Tensor<4>) -> Tensor<1> {
    let [_, _, height, width] = picture.dims();
    assert!(
        height >= 2 && width >= 2,
        "`picture` is {:?}; height and width must be at least 2",
        picture.dims()
    );
    let down = picture.clone().narrow(2, 1, height - 1) - picture.clone().narrow(2, 0, height - 1);
    let across = picture.clone().narrow(3, 1, width - 1) - picture.narrow(3, 0, width - 1);
    per_picture(down.square()) + per_picture(across.square())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    #[should_panic(expected = "`picture` is [1, 3, 1, 9]; height and width must be at least 2")]
    fn a_row_alone_has_no_gradient_down() {
        gradient_energy(Tensor::zeros([1, 3, 1, 9], &device::cpu()));
    }

    #[test]
    fn steps_count_by_their_height_and_each_picture_alone() {
        let flat = [[0.5f32, 0.5, 0.5], [0.5, 0.5, 0.5]];
        // Down: 1, 1, 1 squared, mean 1. Across: (1, 2) in both rows, squares 1 and 4, mean 2.5.
        let ramp = [[0.0f32, 1.0, 3.0], [1.0, 2.0, 4.0]];
        let pictures = Tensor::from_data([[flat], [ramp]], &device::cpu());
        let energy = gradient_energy(pictures).into_data().try_into_vec::<f32>().unwrap();
        assert_eq!(energy, [0.0, 3.5]);
    }
}
