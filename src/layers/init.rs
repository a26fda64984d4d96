//! Where every parameter is born: weights N(0, 0.02), scales N(1, 0.02), zero biases (appendix 6.2).

use burn::module::{Param, ParamId};
use burn::tensor::{Shape, TensorData};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::rng::stream;
use crate::{Device, Tensor};

/// The standard deviation of every random parameter.
const STANDARD_DEVIATION: f32 = 0.02;

/// Numbers drawn from one stream; longer parameters use several streams at once.
const CHUNK: usize = 1 << 16;

/// Hands out parameters whose values are a function of (seed, order of creation) on every backend.
///
/// Values are drawn when they are first used, so a network that is about to be loaded draws none.
pub(crate) struct Initializer<'a> {
    seed: u64,
    next: u64,
    device: &'a Device,
}

impl<'a> Initializer<'a> {
    pub(crate) fn new(seed: u64, device: &'a Device) -> Self {
        Self { seed, next: 0, device }
    }

    pub(crate) fn device(&self) -> &Device {
        self.device
    }

    /// A weight of N(0, 0.02).
    pub(crate) fn weight<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        self.normal(shape, 0.0)
    }

    /// A normalisation's scale of N(1, 0.02).
    pub(crate) fn scale(&mut self, channels: usize) -> Param<Tensor<1>> {
        self.normal([channels], 1.0)
    }

    /// A bias of zeros.
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
            Tensor::from_data(TensorData::new(values, shape), device)
        })
    }

    /// Ids count up from 1 in the order of creation, so that files of two equal runs are equal.
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
