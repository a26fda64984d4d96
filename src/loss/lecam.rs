//! LeCam regularisation (Tseng et al. 2021): keeps the discriminator's logits near averages of earlier ones.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::sums::{mean, over_scales};
use crate::discriminator::DiscriminatorOutput;

/// Returns mean relu(l − f)² + mean relu(r − m)², the sum over the scales, `[1]`, with the logits l on real and m on
/// generated pairs, and the averages r of earlier l and f of earlier m, `[1]` each.
///
/// Tseng et al. 2021, equation 4, with the relu of the authors' code <https://arxiv.org/abs/2104.03310>
pub(super) fn lecam(
    real: DiscriminatorOutput,
    fake: DiscriminatorOutput,
    [average_real, average_fake]: [Tensor<1>; 2],
) -> Tensor<1> {
    let [average_real, average_fake] =
        [average_real, average_fake].map(|average| average.reshape([1, 1, 1, 1]));
    let above = over_scales(real, |logits| mean(relu(logits - average_fake.clone()).square()));
    let below = over_scales(fake, |logits| mean(relu(-logits + average_real.clone()).square()));
    above + below
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;

    /// Returns sin(scale·i + offset) over the flat index.
    fn waves(scale: f32, offset: f32) -> Tensor<4> {
        let values: Vec<f32> = (0..6).map(|i| (scale * i as f32 + offset).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([1, 1, 2, 3])
    }

    fn averages() -> [Tensor<1>; 2] {
        [0.4, -0.3].map(|average| Tensor::full([1], average, &device::cpu()))
    }

    /// The value of the authors' code in PyTorch, float64.
    #[test]
    fn it_equals_the_authors() {
        let found = lecam(waves(0.9, 0.3).into(), waves(0.4, -0.8).into(), averages());
        let found = found.into_scalar::<f32>();
        assert!((found - 0.908_664_2).abs() < 1e-6, "{found}");
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let term = |real: Tensor<4>| {
            let track =
                |tensor: Tensor<1>| if real.device().is_autodiff() { tensor.autodiff() } else { tensor };
            let fake = waves(0.4, -0.8);
            let fake = if real.device().is_autodiff() { fake.autodiff() } else { fake };
            lecam(real.clone().into(), fake.into(), averages().map(track))
        };
        let tracked = waves(0.9, 0.3).autodiff().require_grad();
        let grads = term(tracked.clone()).backward();
        let grad = tracked.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let values = waves(0.9, 0.3).into_data().try_to_vec::<f32>().unwrap();
        for index in 0..6 {
            let at = |step: f32| {
                let mut values = values.clone();
                values[index] += step;
                let real = Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([1, 1, 2, 3]);
                term(real).into_scalar::<f32>()
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((difference - grad[index]).abs() < 1e-3, "{difference} {}", grad[index]);
        }
    }
}
