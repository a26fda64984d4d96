//! The noise z of a generator that takes no input image.

use burn::tensor::{Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

use crate::rng;
use crate::transfer::upload;

/// Returns noise from N(0, 1), `[images, values, 1, 1]`, as a function of `seed` and `position`: the same on every
/// device. The noise of the first images does not depend on how many there are.
pub(crate) fn noise([images, values]: [usize; 2], seed: u64, position: u64, device: &Device) -> Tensor<4> {
    let mut rng = rng::stream(seed ^ rng::NOISE, position);
    let drawn: Vec<f32> = (0..images * values).map(|_| StandardNormal.sample(&mut rng)).collect();
    upload(drawn, [images, values, 1, 1], device)
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;

    fn drawn(images: usize, seed: u64, position: u64) -> Vec<f32> {
        noise([images, 50], seed, position, &device::cpu()).into_data().try_into_vec().unwrap()
    }

    #[test]
    fn noise_is_standard_normal_and_a_function_of_seed_and_position() {
        let values = drawn(100, 1, 2);
        let mean = values.iter().sum::<f32>() / 5000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 5000.0;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.08, "{mean} {variance}");
        assert_eq!(values[..100], drawn(2, 1, 2)[..]);
        assert!(drawn(1, 1, 2) != drawn(1, 1, 3) && drawn(1, 1, 2) != drawn(1, 2, 2));
    }
}
