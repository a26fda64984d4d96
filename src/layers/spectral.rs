//! Spectral normalisation of a convolution's weight (Miyato et al. 2018).

use burn::module::{Module, RunningState};
use burn::tensor::Tensor;

use super::init::Initializer;

/// The iterations on new weights, after which the estimate is near the largest singular value; PyTorch's number.
const FIRST_ITERATIONS: usize = 15;
/// Below this length, a vector is not divided by its length: PyTorch's value.
const MIN_LENGTH: f64 = 1e-12;

/// The estimates of the first singular vectors of a convolution's weight W, as a matrix `[out, in·kernel·kernel]`. They
/// are buffers, which a checkpoint holds, not learned parameters: hence `running`.
///
/// Miyato et al. 2018, section 2.1 <https://arxiv.org/abs/1802.05957>
#[derive(Module, Debug)]
pub(crate) struct SpectralNorm {
    /// The left vector u, `[out]`, of length 1.
    running_u: RunningState<Tensor<1>>,
    /// The right vector v, `[in·kernel·kernel]`, of length 1.
    running_v: RunningState<Tensor<1>>,
}

impl SpectralNorm {
    /// Creates the estimates for a new weight, `[out, in, kernel, kernel]`, from a random u.
    pub(crate) fn new(weight: Tensor<4>, init: &mut Initializer) -> Self {
        let columns = weight.dims()[1..].iter().product::<usize>();
        let u = unit(init.normal_values(weight.dims()[0]));
        let norm = Self {
            running_u: RunningState::with_id(init.id(), u),
            running_v: RunningState::with_id(init.id(), Tensor::zeros([columns], init.device())),
        };
        (0..FIRST_ITERATIONS).for_each(|_| norm.iterate(weight.clone()));
        norm
    }

    /// Moves the estimates one power iteration towards the singular vectors of `weight`: v ← Wᵀu / |Wᵀu|, then
    /// u ← W·v / |W·v|.
    pub(crate) fn iterate(&self, weight: Tensor<4>) {
        let weight = matrix(weight.detach());
        let [u, _] = self.vectors(&weight);
        let v = unit((weight.clone() * u).sum_dim(0).flatten(0, 1));
        let u = unit((weight * v.clone().unsqueeze_dim(0)).sum_dim(1).flatten(0, 1));
        for (state, new) in [(&self.running_u, u), (&self.running_v, v)] {
            state.update(new.detach());
            // burn applies an update lazily. A checkpoint that is saved now must contain it.
            state.value_sync();
        }
    }

    /// Returns W / σ with σ = uᵀ·W·v, the estimate of the largest singular value. The gradient flows through σ, and
    /// takes u and v as constants.
    pub(crate) fn normalised(&self, weight: Tensor<4>) -> Tensor<4> {
        let sigma = self.sigma(weight.clone());
        weight / sigma.reshape([1, 1, 1, 1])
    }

    /// Returns the estimate of the largest singular value of `weight`, `[1]`.
    pub(crate) fn sigma(&self, weight: Tensor<4>) -> Tensor<1> {
        let weight = matrix(weight);
        let [u, v] = self.vectors(&weight);
        ((weight * v).sum_dim(1) * u).sum()
    }

    /// Returns u, `[out, 1]`, and v, `[1, in·kernel·kernel]`, on the device of the weight.
    fn vectors(&self, weight: &Tensor<2>) -> [Tensor<2>; 2] {
        let device = weight.device();
        let [u, v] =
            [&self.running_u, &self.running_v].map(|state| state.value_sync().to_device(&device).detach());
        [u.unsqueeze_dim(1), v.unsqueeze_dim(0)]
    }
}

/// Returns a weight as a matrix with a row for each output channel.
fn matrix(weight: Tensor<4>) -> Tensor<2> {
    weight.flatten(1, 3)
}

/// Returns a vector divided by its length.
fn unit(vector: Tensor<1>) -> Tensor<1> {
    let length = vector.clone().square().sum().sqrt().clamp_min(MIN_LENGTH);
    vector / length
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::module::ParamId;

    use super::*;
    use crate::device;
    use crate::kernels::Activation;
    use crate::layers::{Arithmetic, convolve};

    /// Returns sin(scale·i + offset) over the flat index.
    fn waves<const D: usize>(shape: [usize; D], scale: f32, offset: f32) -> Tensor<D> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (scale * i as f32 + offset).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    fn weight() -> Tensor<4> {
        waves([4, 2, 2, 2], 0.7, 0.3)
    }

    /// Returns estimates that start from a known u, before the first iteration.
    fn norm() -> SpectralNorm {
        SpectralNorm {
            running_u: RunningState::with_id(ParamId::from(1), unit(waves([4], 1.1, 0.2))),
            running_v: RunningState::with_id(ParamId::from(2), Tensor::zeros([8], &device::cpu())),
        }
    }

    fn close<const D: usize>(found: Tensor<D>, expected: &[f32]) {
        let found = found.into_data().try_to_vec::<f32>().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6, "{found} is not {expected}");
        }
        assert!(found.len() >= expected.len());
    }

    /// Values of PyTorch's `torch.nn.utils.spectral_norm` in float64.
    #[test]
    fn one_iteration_equals_pytorchs() {
        let norm = norm();
        norm.iterate(weight());
        close(norm.sigma(weight()), &[2.879_143_2]);
        close(norm.running_u.value(), &[0.579_631_1, 0.670_701_15, 0.460_714_76, 0.043_928_15]);
        close(
            norm.running_v.value(),
            &[
                -0.179_932_1,
                0.173_988_5,
                0.446_079_6,
                0.508_372_5,
                0.331_569_85,
                -0.001_175_264,
                -0.333_367_63,
                -0.508_772,
            ],
        );
    }

    #[test]
    fn a_normalised_convolution_and_its_gradient_equal_pytorchs() {
        let norm = norm();
        norm.iterate(weight());
        let weight = weight().autodiff().require_grad();
        let x = waves([1, 2, 3, 3], 0.5, 0.3).autodiff();
        let (normalised, arithmetic) = (norm.normalised(weight.clone()), Arithmetic::default());
        let y = convolve(x, Activation::Linear, normalised, None, [1, 0], &arithmetic);
        close(y.clone().inner(), &[0.755_516, 0.348_677_57, -0.600_595_2, -0.910_614_4, 0.174_605_23]);
        let grads = y.sum().backward();
        close(weight.grad(&grads).unwrap(), &[0.725_301_2, 1.175_527_4, 0.884_630_86, 0.476_779_6]);
    }

    #[test]
    fn the_gradient_through_sigma_equals_finite_differences() {
        let norm = norm();
        norm.iterate(weight());
        let loss = |weight: Tensor<4>| {
            let scale = waves([4, 2, 2, 2], 0.37, 0.1);
            let scale = if weight.device().is_autodiff() { scale.autodiff() } else { scale };
            (norm.normalised(weight) * scale).sum()
        };
        let tracked = weight().autodiff().require_grad();
        let grads = loss(tracked.clone()).backward();
        let grad = tracked.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        let values = weight().into_data().try_to_vec::<f32>().unwrap();
        for index in [0, 7, 13, 31] {
            let at = |step: f32| {
                let mut values = values.clone();
                values[index] += step;
                let weight = Tensor::<1>::from_floats(values.as_slice(), &device::cpu());
                f64::from(loss(weight.reshape([4, 2, 2, 2])).into_scalar::<f32>())
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (difference - f64::from(grad[index])).abs() < 1e-3,
                "{index}: {difference} {}",
                grad[index]
            );
        }
    }

    #[test]
    fn many_iterations_find_the_largest_singular_value() {
        let norm = norm();
        (0..100).for_each(|_| norm.iterate(weight()));
        close(norm.sigma(weight()), &[2.879_603_8]);
        // A new weight starts near its largest singular value.
        let device = device::cpu();
        let init = &mut Initializer::new(3, &device);
        let weight = init.weight([8, 4, 4, 4]).val();
        let new = SpectralNorm::new(weight.clone(), init);
        let first = new.sigma(weight.clone()).into_scalar::<f32>();
        (0..300).for_each(|_| new.iterate(weight.clone()));
        let last = new.sigma(weight).into_scalar::<f32>();
        assert!(first > 0.9 * last && first <= last * 1.000_01, "{first} {last}");
    }
}
