//! An exponential moving average of the generator's weights: steadier than the newest ones, which the discriminator
//! drives to and fro.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};

use crate::{Generator, Tensor};

/// The average, as a generator without gradients.
#[derive(Debug)]
pub(super) struct Average {
    decay: f64,
    // Absent only while it moves.
    generator: Option<Generator>,
}

impl Average {
    /// An average that begins where `generator` stands.
    pub(super) fn new(decay: f64, generator: &Generator) -> Self {
        Self { decay, generator: Some(generator.valid()) }
    }

    /// average ← decay·average + (1 − decay)·`generator`, running statistics included.
    pub(super) fn follow(&mut self, generator: &Generator) {
        let mut newest = Newest::default();
        generator.valid().visit(&mut newest);
        let mut follow = Follow { newest, weight: 1.0 - self.decay };
        self.generator = self.generator.take().map(|average| average.map(&mut follow));
    }

    /// Changes how the average's convolutions are computed.
    pub(super) fn with_exact_convolutions(mut self, exact: bool) -> Self {
        self.generator = self.generator.map(|generator| generator.with_exact_convolutions(exact));
        self
    }

    pub(super) fn generator(&self) -> &Generator {
        self.generator.as_ref().expect("present between updates")
    }
}

/// The generator's parameters by id, flat.
#[derive(Default)]
struct Newest(BTreeMap<u64, Tensor<1>>);

impl ModuleVisitor for Newest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let count = value.shape().num_elements();
        self.0.insert(param.id.val(), value.reshape([count]));
    }
}

struct Follow {
    newest: Newest,
    weight: f64,
}

impl ModuleMapper for Follow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, average, mapper) = param.consume();
        let Some(newest) = self.newest.0.remove(&id.val()) else {
            return Param::from_mapped_value(id, average, mapper);
        };
        let newest = newest.reshape(average.dims());
        let moved = average.clone() + (newest - average) * self.weight;
        Param::from_mapped_value(id, moved, mapper)
    }
}
