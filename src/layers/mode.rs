//! How normalisation and dropout behave in one forward pass.

/// How normalisation and dropout behave in one forward pass.
///
/// A network does not store it: every pass gets it as an argument. The paper normalises with the statistics of the batch
/// and keeps dropout on, in training and at test time alike (section 3.1).
///
/// | constant | statistics | dropout | use |
/// |---|---|---|---|
/// | [`PAPER`](Self::PAPER) | of the batch | random | training |
/// | [`IMAGE`](Self::IMAGE) | of each image | off | deterministic outputs |
/// | [`RUNNING`](Self::RUNNING) | gathered in training | off | PyTorch's `.eval()` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The source of the mean and variance of batch normalisation.
    pub statistics: Statistics,
    /// Whether dropout, the paper's noise z, is on.
    pub dropout: DropoutMode,
}

/// The source of the mean and variance of batch normalisation. Instance normalisation always uses
/// [`Statistics::Image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statistics {
    /// The whole batch, as in training. For a batch of one image this equals [`Statistics::Image`].
    Batch,
    /// Each image alone, so that an output does not depend on the other images of its batch.
    Image,
    /// The running statistics gathered in training, as PyTorch's `.eval()` uses them.
    Running,
}

/// Whether dropout is on, and where its randomness comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropoutMode {
    /// Off: the output is a function of the input alone.
    Off,
    /// On, with different noise at every call.
    Random,
    /// On, with noise that is a function of this seed: the same on every backend.
    Seeded(u64),
}

impl Mode {
    /// Batch statistics, dropout on: training, and the paper's procedure at test time for single images.
    pub const PAPER: Self = Self { statistics: Statistics::Batch, dropout: DropoutMode::Random };
    /// Statistics of each image, dropout off: deterministic and independent of the batch.
    pub const IMAGE: Self = Self { statistics: Statistics::Image, dropout: DropoutMode::Off };
    /// Running statistics, dropout off: PyTorch's `.eval()`.
    pub const RUNNING: Self = Self { statistics: Statistics::Running, dropout: DropoutMode::Off };

    /// Returns the same mode with dropout noise from `seed`.
    #[must_use]
    pub fn with_noise(self, seed: u64) -> Self {
        Self { dropout: DropoutMode::Seeded(seed), ..self }
    }

    /// Returns the same mode with statistics of each image in place of those of the batch: the paper's procedure at
    /// test time, where each batch has one image.
    #[must_use]
    pub fn per_image(self) -> Self {
        match self.statistics {
            Statistics::Batch => Self { statistics: Statistics::Image, ..self },
            Statistics::Image | Statistics::Running => self,
        }
    }

    /// Returns the same mode with a seed drawn for random noise, so that all layers of one pass share it.
    pub(crate) fn seeded(self) -> Self {
        match self.dropout {
            DropoutMode::Random => self.with_noise(crate::rng::fresh_seed()),
            DropoutMode::Off | DropoutMode::Seeded(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_image_replaces_statistics_of_the_batch_only() {
        assert_eq!(Mode::PAPER.with_noise(3).per_image(), Mode::IMAGE.with_noise(3));
        assert_eq!(Mode::IMAGE.per_image(), Mode::IMAGE);
        assert_eq!(Mode::RUNNING.per_image(), Mode::RUNNING);
    }
}
