//! Looking at all numbers of a network at once: the length of its gradient, and whether its weights are numbers.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use rayon::prelude::*;

use crate::read_back::read_back;
use crate::{Tensor, device};

/// Values whose squares one thread adds up; fixed, so that the sum does not depend on how many threads there are.
const CHUNK: usize = 1 << 15;

/// The Euclidean norm of all gradients of `module` together. Waits for the device.
pub(super) fn norm<M: Module>(module: &M, grads: &GradientsParams) -> f64 {
    let mut squares = Squares { grads, host: 0.0, device: vec![] };
    module.visit(&mut squares);
    (squares.host + total(squares.device)).sqrt()
}

/// Whether no parameter of `module` is NaN or infinite. Waits for the device.
pub(super) fn is_finite<M: Module>(module: &M) -> bool {
    let mut sums = Sums(vec![]);
    module.visit(&mut sums);
    total(sums.0).is_finite()
}

fn total(scalars: Vec<Tensor<1>>) -> f64 {
    if scalars.is_empty() {
        return 0.0;
    }
    read_back(Tensor::cat(scalars, 0)).into_iter().map(f64::from).sum()
}

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

/// A sum is finite if all its terms are, as weights are nowhere near the limits of their type.
struct Sums(Vec<Tensor<1>>);

impl ModuleVisitor for Sums {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().sum());
    }
}
