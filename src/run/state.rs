//! The part of a checkpoint that is not a network: how far the run has come, and which run it is.

use serde::{Deserialize, Serialize};

use super::loss_sums::LossSums;
use super::lossless_f64::LosslessF64;
use crate::config::Pix2PixConfig;
use crate::metrics::Metric;
use crate::report::LogPosition;

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The epoch in progress, counted from 1; 0 before the first.
    pub(crate) epoch: usize,
    /// Batches of this epoch that are done.
    pub(crate) batch: usize,
    /// Steps of the whole run that are done.
    pub(crate) step: u64,
    /// The sum of all salts of [`Trainer::reseed`](crate::Trainer::reseed).
    #[serde(default, rename = "detours")]
    pub(crate) salt: u64,
}

/// The checkpoint with the best score so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) step: u64,
    metric: Metric,
    /// Higher for better images; infinite if all are perfect.
    #[serde(rename = "merit")]
    score: LosslessF64,
}

impl Best {
    /// The best of a run whose only score, higher for better images, is `score` at `step`.
    pub(crate) fn new(step: u64, metric: Metric, score: f64) -> Self {
        Self { step, metric, score: LosslessF64(score) }
    }

    /// Returns whether `score` is better. NaN never is.
    pub(crate) fn is_below(&self, score: f64) -> bool {
        score > self.score.0
    }

    /// Returns whether it was chosen by `metric`.
    pub(crate) fn is_by(&self, metric: Metric) -> bool {
        self.metric == metric
    }
}

/// The contents of `state.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    /// The run's [`run_id`], of the settings that it began with.
    #[serde(rename = "run")]
    pub(super) run_id: String,
    #[serde(flatten)]
    pub(super) progress: Progress,
    pub(super) best: Option<Best>,
    #[serde(rename = "means")]
    pub(super) sums: LossSums,
    /// The lines of `metrics.jsonl` that belong to the checkpoint.
    #[serde(rename = "metrics")]
    pub(super) log: Option<LogPosition>,
    #[serde(rename = "maker")]
    pub(super) provenance: Provenance,
}

/// What the bits of a checkpoint depend on besides the settings.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct Provenance {
    version: String,
    exact: bool,
}

impl Provenance {
    /// Returns the provenance of what this version computes, with exact convolutions or without.
    pub(super) fn of(exact: bool) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), exact }
    }

    /// Returns whether convolutions were computed exactly.
    pub(super) fn exact(&self) -> bool {
        self.exact
    }

    /// Says if another version wrote the checkpoint.
    pub(super) fn changes(&self) -> Option<String> {
        let current = Self::of(self.exact);
        (current.version != self.version)
            .then(|| format!("the version of pix2pix is {}, was {}", current.version, self.version))
    }
}

/// Returns the id of a run that begins with `config`. Runs of the same id on the same data do the same.
pub(crate) fn run_id(config: &Pix2PixConfig) -> String {
    format!("{:08x}", crc32c::crc32c(config.to_json().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_perfect_images_can_be_read_back() {
        for score in [f64::INFINITY, f64::NAN, 0.1 + 0.2] {
            let best = Best::new(7, Metric::Psnr, score);
            let text = serde_json::to_string(&best).unwrap_or_default();
            assert!(text.contains("\"merit\":\""), "{text}");
            let back = serde_json::from_str::<Best>(&text).map(|best| best.score.0.to_bits());
            assert_eq!(back.ok(), Some(score.to_bits()), "{text}");
        }
    }
}
