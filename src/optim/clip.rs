//! Reductions over a whole network: the factor that clips its gradients, and whether its weights are finite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::device;
use crate::error::Result;
use crate::transfer::read_back;

/// The number of values whose squares one task sums; fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 1 << 15;

/// The factor of all gradients of a network: the product of both fields.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    /// The factor that is known on the host.
    pub(super) number: f32,
    /// A factor `[1]` on the device of the gradients, whose value is not read, because that would wait for the device.
    pub(super) tensor: Option<Tensor<1>>,
}

impl Scale {
    /// Leaves gradients unchanged.
    pub(super) const ONE: Self = Self { number: 1.0, tensor: None };
}

/// Returns the factor that reduces the Euclidean norm of all gradients of `module` together to at most `limit`.
pub(super) fn scale<M: Module>(module: &M, grads: &GradientsParams, limit: f64) -> Scale {
    if module.devices().iter().all(device::is_host) {
        Scale { number: scale_on_host(module, grads, limit), tensor: None }
    } else {
        Scale { number: 1.0, tensor: scale_on_device(module, grads, limit) }
    }
}

/// Computes the factor in double precision; for gradients in ordinary memory.
///
/// It is 1 if the norm is NaN; the divergence check finds that in the losses.
fn scale_on_host<M: Module>(module: &M, grads: &GradientsParams, limit: f64) -> f32 {
    let mut squares = HostSquares { grads, sum: 0.0 };
    module.visit(&mut squares);
    (limit / squares.sum.sqrt()).min(1.0) as f32
}

/// Computes the factor, `[1]`, without waiting for the device; `None` without gradients.
///
/// It is 1 or NaN if a gradient is NaN, and 0 if one is infinite. Either way, the weights with that gradient become NaN,
/// and the divergence check finds them.
fn scale_on_device<M: Module>(module: &M, grads: &GradientsParams, limit: f64) -> Option<Tensor<1>> {
    let mut squares = DeviceSquares { grads, sums: vec![] };
    module.visit(&mut squares);
    if squares.sums.is_empty() {
        return None;
    }
    // The result of a division by 0 differs between GPUs, so the norm of gradients that are 0 is raised.
    let norm = Tensor::cat(squares.sums, 0).sum().clamp_min(f32::MIN_POSITIVE).sqrt();
    Some((norm.recip() * limit).clamp_max(1.0))
}

/// Returns whether no parameter of `module` is NaN or infinite. Waits for the device.
///
/// # Errors
/// [`Error::Device`](crate::error::Error::Device) if the device fails.
pub(crate) fn is_finite<M: Module>(module: &M) -> Result<bool> {
    let mut sums = Sums(vec![]);
    module.visit(&mut sums);
    if sums.0.is_empty() {
        return Ok(true);
    }
    let sums = read_back(Tensor::cat(sums.0, 0))?;
    Ok(sums.into_iter().map(f64::from).sum::<f64>().is_finite())
}

/// Sums the squares of all gradients on the host.
struct HostSquares<'a> {
    grads: &'a GradientsParams,
    sum: f64,
}

impl ModuleVisitor for HostSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.get::<D>(param.id) else { return };
        let chunk = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        // A CPU device has the values in memory, so this does not fail as a read from a GPU may.
        let grad = grad.into_data().convert::<f32>();
        let values = grad.as_slice::<f32>().expect("converted to f32");
        let sums: Vec<f64> = values.par_chunks(CHUNK).map(chunk).collect();
        self.sum += sums.iter().sum::<f64>();
    }
}

/// Collects the sum of the squares of each gradient, on the device.
struct DeviceSquares<'a> {
    grads: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for DeviceSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let grad = self.grads.get::<D>(param.id);
        self.sums.extend(grad.map(|grad| grad.square().sum()));
    }
}

/// Collects the sum of each parameter. It is finite if all values are, because weights are far from the limits of f32.
struct Sums(Vec<Tensor<1>>);

impl ModuleVisitor for Sums {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().sum());
    }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::transfer::fault;

    #[derive(Module, Debug)]
    struct Weights {
        one: Param<Tensor<2>>,
        other: Param<Tensor<1>>,
        unused: Param<Tensor<1>>,
    }

    /// Returns a network and its gradients, which are `values` and 3.
    fn network(values: [f32; 4]) -> (Weights, GradientsParams) {
        let device = device::cpu().autodiff();
        let ones = |count: usize| Tensor::<1>::ones([count], &device);
        let one = Param::from_tensor(ones(4).reshape([2, 2]));
        let network =
            Weights { one, other: Param::from_tensor(ones(1)), unused: Param::from_tensor(ones(5)) };
        let factors = Tensor::<1>::from_floats(values, &device).reshape([2, 2]);
        let loss = (network.one.val() * factors).sum() + network.other.val() * 3.0;
        let grads = GradientsParams::from_grads(loss.backward(), &network);
        (network, grads)
    }

    /// Returns the factors computed on the host and on the device.
    fn scales(values: [f32; 4], limit: f64) -> [f32; 2] {
        let (network, grads) = network(values);
        fault::plan(None);
        let on_device = scale_on_device(&network, &grads, limit).unwrap();
        assert_eq!((fault::reads(), on_device.dims()), (0, [1]));
        [scale_on_host(&network, &grads, limit), read_back(on_device).unwrap()[0]]
    }

    #[test]
    fn the_device_computes_the_factor_of_the_host() {
        let gradients = [1.0, -2.0, 0.5, 4.0]; // the norm is the root of 30.25, 5.5
        for (limit, expected) in
            [(1e-9, 1e-9 / 5.5), (1.0, 1.0 / 5.5), (5.4, 5.4 / 5.5), (5.6, 1.0), (1e300, 1.0)]
        {
            let [host, on_device] = scales(gradients, limit);
            assert_eq!(host, expected as f32, "{limit}");
            assert!((on_device / host - 1.0).abs() < 1e-6, "{limit}: {on_device} is not {host}");
        }
        let tiny = scales([1e-30; 4], 1.0);
        assert_eq!(tiny, [1.0 / 3.0; 2]);
    }

    #[test]
    fn small_gradients_keep_exactly_their_size() {
        for limit in [3.1, 7.0, 1e30] {
            assert_eq!(scales([0.1, 0.0, 0.2, 0.3], limit), [1.0; 2], "{limit}");
        }
        // All gradients are 0.
        let (network, grads) = network([0.0; 4]);
        let loss = (network.one.val() * 0.0).sum();
        let zeros = GradientsParams::from_grads(loss.backward(), &network);
        drop(grads);
        let on_device = scale_on_device(&network, &zeros, 1e-3).unwrap();
        assert_eq!((scale_on_host(&network, &zeros, 1e-3), read_back(on_device).unwrap()), (1.0, vec![1.0]));
        assert!(scale_on_device(&network, &GradientsParams::new(), 1.0).is_none());
    }

    #[test]
    fn gradients_that_are_nan_or_infinite_make_weights_nan() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for scale in scales([1.0, bad, 0.0, 0.0], 1.0) {
                assert!((bad * scale).is_nan(), "{bad}: {scale}");
            }
        }
    }
}
