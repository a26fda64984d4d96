//! The initial value of every parameter: weights N(0, 0.02), scales N(1, 0.02), zero biases (appendix 6.2).

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::rng::stream;
use crate::transfer::upload;

/// The standard deviation of every random parameter.
const STANDARD_DEVIATION: f32 = 0.02;

/// The number of values drawn from one stream. Longer parameters use several streams in parallel.
const CHUNK: usize = 1 << 16;

/// Creates parameters whose values are a function of the seed and the order of creation, on every backend.
///
/// Values are drawn at the first use of a parameter, so a network whose weights are loaded draws none.
pub(crate) struct Initializer<'a> {
    seed: u64,
    next: u64,
    device: &'a Device,
}

impl<'a> Initializer<'a> {
    /// Creates an initializer that starts at the first parameter.
    pub(crate) fn new(seed: u64, device: &'a Device) -> Self {
        Self { seed, next: 0, device }
    }

    /// Returns the device of the parameters.
    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// Creates a weight from N(0, 0.02).
    pub(crate) fn weight<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.normal(shape, 0.0)
    }

    /// Creates the scale of a normalisation from N(1, 0.02).
    pub(crate) fn scale(&mut self, channels: usize) -> Param<Tensor<1>> {
        self.normal([channels], 1.0)
    }

    /// Creates a bias of zeros.
    pub(crate) fn bias(&mut self, channels: usize) -> Param<Tensor<1>> {
        self.param([channels], move |device| Tensor::zeros([channels], device))
    }

    fn normal<const D: usize>(&mut self, shape: [usize; D], mean: f32) -> Param<Tensor<D>> {
        let (seed, index) = (self.seed, self.next);
        self.param(shape, move |device| {
            let mut values = vec![0.0; shape.iter().product()];
            values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
                let mut rng = stream(seed, (index << 32) | chunk as u64);
                for value in values {
                    let standard: f32 = StandardNormal.sample(&mut rng);
                    *value = mean + STANDARD_DEVIATION * standard;
                }
            });
            upload(values, shape, device)
        })
    }

    /// Draws `count` standard normal values, a function of the seed and the id that comes next.
    pub(crate) fn normal_values(&self, count: usize) -> Tensor<1> {
        let rng = &mut stream(self.seed, self.next << 32);
        let values: Vec<f32> = (0..count).map(|_| StandardNormal.sample(rng)).collect();
        upload(values, [count], self.device)
    }

    /// Returns the next id. Ids count up from 1 in the order of creation, so that equal runs write equal files.
    pub(crate) fn id(&mut self) -> ParamId {
        self.next += 1;
        ParamId::from(self.next)
    }

    fn param<const D: usize>(
        &mut self,
        shape: [usize; D],
        value: impl FnOnce(&Device) -> Tensor<D> + Send + Sync + 'static,
    ) -> Param<Tensor<D>> {
        let init = move |device: &Device, tracked: bool| value(device).set_require_grad(tracked);
        Param::uninitialized(self.id(), init, self.device.clone(), true, Shape::from(shape))
    }
}
