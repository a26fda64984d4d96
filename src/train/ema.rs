//! An exponential moving average (EMA) of the generator's weights, which varies less than the weights themselves.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::generator::Generator;

/// The EMA: a generator without gradients.
#[derive(Debug)]
pub(super) struct Ema {
    decay: f64,
    /// Whether the decay rises to its value in the first steps.
    has_ramp: bool,
    /// `None` only during an update.
    generator: Option<Generator>,
}

impl Ema {
    /// Creates an EMA that starts from the weights of `generator`.
    pub(super) fn new(decay: f64, has_ramp: bool, generator: &Generator) -> Self {
        Self { decay, has_ramp, generator: Some(generator.valid()) }
    }

    /// Updates the EMA after `step` earlier steps: ema ← decay·ema + (1 − decay)·`generator`, running statistics
    /// included.
    pub(super) fn update(&mut self, generator: &Generator, step: u64) {
        let mut newest = Newest::default();
        generator.valid().visit(&mut newest);
        let mut update = Update { newest, weight: 1.0 - self.decay_after(step) };
        self.generator = self.generator.take().map(|ema| ema.map(&mut update));
    }

    /// Returns the decay after `step` earlier steps: a function of the step alone, so that a resumed run has the same.
    fn decay_after(&self, step: u64) -> f64 {
        let ramp = (1.0 + step as f64) / (10.0 + step as f64);
        if self.has_ramp { self.decay.min(ramp) } else { self.decay }
    }

    /// Sets whether the EMA's convolutions are computed by their definition.
    pub(super) fn with_exact_convolutions(mut self, exact: bool) -> Self {
        self.generator = self.generator.map(|generator| generator.with_exact_convolutions(exact));
        self
    }

    /// Returns the generator with the averaged weights.
    pub(super) fn generator(&self) -> &Generator {
        self.generator
            .as_ref()
            .expect("a panic during an update has lost the EMA; resume from the checkpoint")
    }
}

/// The generator's parameters by id, flattened.
#[derive(Default)]
struct Newest(BTreeMap<u64, Tensor<1>>);

impl ModuleVisitor for Newest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let count = value.shape().num_elements();
        self.0.insert(param.id.val(), value.reshape([count]));
    }
}

/// Moves every parameter of the EMA towards the newest one, by `weight` of the difference.
struct Update {
    newest: Newest,
    weight: f64,
}

impl ModuleMapper for Update {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, ema, mapper) = param.consume();
        let Some(newest) = self.newest.0.remove(&id.val()) else {
            return Param::from_mapped_value(id, ema, mapper);
        };
        let newest = newest.reshape(ema.dims());
        let updated = ema.clone() + (newest - ema) * self.weight;
        Param::from_mapped_value(id, updated, mapper)
    }
}
