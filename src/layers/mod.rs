//! The building blocks of both networks, and how they behave in one pass.

mod activation;
mod conv;
mod dropout;
mod init;
mod kept;
mod norm;

use burn::module::{Module, ModuleVisitor, Param};

use crate::Tensor;

#[doc(hidden)]
pub use activation::{Slope, tanh};
pub use conv::UpsampleKind;
#[doc(hidden)]
pub use conv::{convolve, double_by};
pub use norm::Norm;

pub(crate) use activation::{rectify, relu};
pub(crate) use conv::{Conv, ConvTranspose, Upsample};
pub(crate) use dropout::{Place, dropout};
pub(crate) use init::Initializer;
pub(crate) use kept::Kept;
pub(crate) use norm::{Moments, NormLayer, moments, normalised};

/// The largest number of channels. It bounds the memory that a damaged file can ask for.
pub(crate) const MAX_CHANNELS: usize = 4096;

/// The number of learned values of a network; running statistics are not learned.
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

/// How normalisation and dropout behave in one forward pass.
///
/// Nothing about this is remembered inside a network: what you pass is what happens. The paper normalises with the
/// statistics of the batch and keeps dropout on, in training and at test time alike (section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Where batch normalisation takes mean and variance from.
    pub statistics: Statistics,
    /// Whether dropout, the paper's noise z, is on.
    pub dropout: Dropout,
}

/// Where batch normalisation takes mean and variance from. Instance normalisation always uses [`Statistics::Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// From the whole batch, as in training. With one picture a batch this equals [`Statistics::Image`].
    Batch,
    /// From each picture alone, so that a batch gives what its pictures would give one by one.
    Image,
    /// From the averages gathered in training, as PyTorch's `.eval()` does.
    Running,
}

/// Whether dropout is on, and where its randomness comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropout {
    /// Off: the output is a function of the input alone.
    Off,
    /// On, with other noise at every call.
    Random,
    /// On, with noise that is a function of this seed: the same on every backend.
    Seeded(u64),
}

impl Mode {
    /// Batch statistics, dropout on: training, and the paper's own procedure at test time.
    pub const PAPER: Self = Self { statistics: Statistics::Batch, dropout: Dropout::Random };
    /// Statistics of each picture, dropout off: deterministic, and free to batch.
    pub const IMAGE: Self = Self { statistics: Statistics::Image, dropout: Dropout::Off };
    /// Statistics gathered in training, dropout off: PyTorch's `.eval()`.
    pub const RUNNING: Self = Self { statistics: Statistics::Running, dropout: Dropout::Off };

    /// The same statistics, with dropout noise from `seed`.
    pub fn with_noise(self, seed: u64) -> Self {
        Self { dropout: Dropout::Seeded(seed), ..self }
    }

    /// Draws the noise of one pass, so that all its layers share one seed.
    pub(crate) fn settled(self) -> Self {
        match self.dropout {
            Dropout::Random => self.with_noise(crate::random::fresh_seed()),
            _ => self,
        }
    }
}

/// The number of channels at `level` of a network, counted from 0: the base doubled at each level, eightfold at most.
pub(crate) fn channels_at(base: usize, level: usize) -> usize {
    base << level.min(3)
}
