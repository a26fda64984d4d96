//! How a generator behaves, as a flag.

use clap::ValueEnum;
use pix2pix::Mode;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum ModeName {
    /// Noise, and the picture's own statistics
    Paper,
    /// The picture's own statistics, no noise
    Image,
    /// Statistics of the training, no noise
    Running,
}

impl ModeName {
    pub(crate) fn mode(self, seed: u64) -> Mode {
        match self {
            Self::Paper => Mode::PAPER.with_noise(seed),
            Self::Image => Mode::IMAGE,
            Self::Running => Mode::RUNNING,
        }
    }
}
