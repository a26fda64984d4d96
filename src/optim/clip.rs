//! Reductions over a whole network: the norm of its gradients, and whether its weights are finite.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::device;
use crate::transfer::read_back;

/// The number of values whose squares one task sums; fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 1 << 15;

/// Returns the Euclidean norm of all gradients of `module` together. Waits for the device.
pub(crate) fn norm<M: Module>(module: &M, grads: &GradientsParams) -> f64 {
    let mut squares = Squares { grads, host: 0.0, device: vec![] };
    module.visit(&mut squares);
    (squares.host + total(squares.device)).sqrt()
}

/// Returns whether no parameter of `module` is NaN or infinite. Waits for the device.
pub(crate) fn is_finite<M: Module>(module: &M) -> bool {
    let mut sums = Sums(vec![]);
    module.visit(&mut sums);
    total(sums.0).is_finite()
}

/// Returns the sum of scalars.
fn total(scalars: Vec<Tensor<1>>) -> f64 {
    if scalars.is_empty() {
        return 0.0;
    }
    read_back(Tensor::cat(scalars, 0)).into_iter().map(f64::from).sum()
}

/// Sums the squares of all gradients: on the CPU immediately, on other devices as scalars that are read back later.
struct Squares<'a> {
    grads: &'a GradientsParams,
    host: f64,
    device: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.get::<D>(param.id) else { return };
        if !device::is_host(&grad.device()) {
            self.device.push(grad.square().sum());
            return;
        }
        let chunk = |values: &[f32]| values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let sums: Vec<f64> = read_back(grad).par_chunks(CHUNK).map(chunk).collect();
        self.host += sums.iter().sum::<f64>();
    }
}

/// Collects the sum of each parameter. It is finite if all values are, because weights are far from the limits of f32.
struct Sums(Vec<Tensor<1>>);

impl ModuleVisitor for Sums {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().sum());
    }
}
