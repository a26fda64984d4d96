//! The pulling-away term of EBGAN (Zhao et al. 2016, section 2.4), which makes the images of a batch differ.

use burn::tensor::Tensor;

/// The smallest norm by which a code is divided, so that a code of zeros gives no NaN.
const MIN_NORM: f64 = 1e-12;

/// Returns the mean over all pairs of two images of the squared cosine between their codes, `[1]`, from 0 to 1.
///
/// # Shapes
/// - `codes`: `[N, C, h, w]` with N of at least 2; all values of an image are one vector
pub(super) fn mean_squared_cosine(codes: Tensor<4>) -> Tensor<1> {
    let images = codes.dims()[0];
    let codes: Tensor<2> = codes.flatten::<2>(1, 3);
    let norms = codes.clone().square().sum_dim(1).sqrt().clamp_min(MIN_NORM); // [N, 1]
    let unit = codes / norms;
    let cosines = unit.clone().matmul(unit.transpose()); // [N, N]
    // The cosine of an image with itself is not counted. The diagonal is subtracted by a mask, because its value of 1 is
    // rounded.
    let others = -Tensor::<2>::eye(images, &cosines.device()) + 1.0;
    let squared = cosines.square() * others;
    squared.sum() / (images * (images - 1)) as f64
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    fn codes(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
        Tensor::<1>::from_floats(values, &device::cpu()).reshape(shape)
    }

    #[test]
    fn the_cosines_are_squared_and_those_with_itself_are_left_out() {
        let term = |values: &[f32]| mean_squared_cosine(codes(values, [2, 2, 1, 1])).into_scalar::<f32>();
        assert_eq!(term(&[1.0, 0.0, 0.0, 1.0]), 0.0);
        // Without the square, opposite codes would have −1, and be preferred to orthogonal ones.
        assert!((term(&[1.0, 0.0, -3.0, 0.0]) - 1.0).abs() < 1e-6);
        assert!((term(&[2.0, 0.0, 3.0, 3.0]) - 0.5).abs() < 1e-6);
        assert_eq!(term(&[0.0; 4]), 0.0);
    }

    #[test]
    fn it_has_the_value_of_pytorch() {
        // Section 6.1 of the golden numbers: sin(0.7 i + 0.3) as [3, 4], computed in float64.
        let values: Vec<f32> = (0..12).map(|i| (0.7 * f64::from(i) + 0.3).sin() as f32).collect();
        let term = mean_squared_cosine(codes(&values, [3, 4, 1, 1])).into_scalar::<f32>();
        assert!((term - 0.812_387_6).abs() < 1e-6, "{term}");
    }
}
