//! What a checkpoint says besides its networks: how far the run has come, and which run it is.

use serde::{Deserialize, Serialize};

use super::exact::Exact;
use super::means::Means;
use crate::config::Pix2PixConfig;
use crate::metrics::Metric;
use crate::report::Extent;

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The epoch in progress, counted from 1; 0 before the first.
    pub(super) epoch: usize,
    /// Batches of it that are done.
    pub(super) batch: usize,
    /// Batches of the whole run that are done.
    pub(super) step: u64,
    /// How often the run left its path; see [`Trainer::detour`].
    #[serde(default)]
    pub(super) detours: u64,
}

/// The checkpoint with the best score so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) step: u64,
    pub(super) metric: Metric,
    /// Higher for better pictures; infinite if all are perfect.
    pub(super) merit: Exact,
}

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    /// Which run it is: what [`origin`] gave for the settings that the run began with.
    pub(super) run: String,
    #[serde(flatten)]
    pub(super) progress: Progress,
    pub(super) best: Option<Best>,
    pub(super) means: Means,
    pub(super) metrics: Option<Extent>,
    pub(super) maker: Maker,
}

/// What the bits depend on besides the settings.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct Maker {
    version: String,
    exact: bool,
}

impl Maker {
    pub(super) fn this(exact: bool) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), exact }
    }

    /// Whether convolutions were computed exactly.
    pub(super) fn exact(&self) -> bool {
        self.exact
    }

    /// What has changed since.
    pub(super) fn changes(&self) -> Option<String> {
        let this = Self::this(self.exact);
        (this.version != self.version)
            .then(|| format!("the version of pix2pix is {}, was {}", this.version, self.version))
    }
}

/// The name of a run that begins with `config`. Two runs of one name do the same, given the same data.
pub(super) fn origin(config: &Pix2PixConfig) -> String {
    format!("{:08x}", crc32c::crc32c(config.to_json().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_pictures_that_are_perfect_can_be_read_back() {
        for merit in [f64::INFINITY, f64::NAN, 0.1 + 0.2] {
            let best = Best { step: 7, metric: Metric::Psnr, merit: Exact(merit) };
            let text = serde_json::to_string(&best).unwrap_or_default();
            let back = serde_json::from_str::<Best>(&text).map(|best| best.merit.0.to_bits());
            assert_eq!(back.ok(), Some(merit.to_bits()), "{text}");
        }
    }
}
