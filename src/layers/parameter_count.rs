//! The number of learned values of a network.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Returns the number of learned values of a network. Running statistics are not learned.
pub(crate) fn parameter_count(network: &impl Module) -> usize {
    #[derive(Default)]
    struct Count {
        name: String,
        total: usize,
    }
    impl ModuleVisitor for Count {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.name = name.to_owned();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if !self.name.starts_with("running_") {
                self.total += param.lazy_shape().num_elements();
            }
        }
    }
    let mut count = Count::default();
    network.visit(&mut count);
    count.total
}
