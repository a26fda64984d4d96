//! The file `state.json` of a checkpoint: the progress of the run, and which run it is.

use serde::{Deserialize, Serialize};

use super::loss_sums::LossSums;
use super::lossless_f64::LosslessF64;
use super::plateau::Plateau;
use crate::config::Pix2PixConfig;
use crate::metrics::Metric;
use crate::report::LogPosition;

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The epoch in progress, counted from 1; 0 before the first.
    pub(crate) epoch: usize,
    /// The number of batches of this epoch that are done.
    pub(crate) batch: usize,
    /// The number of steps of the whole run that are done.
    pub(crate) step: u64,
    /// The sum of the salts of all calls of [`Trainer::reseed`](crate::Trainer::reseed).
    #[serde(default, rename = "detours")]
    pub(crate) salt: u64,
    /// The state of the schedule `plateau`.
    #[serde(default, skip_serializing_if = "Plateau::is_new")]
    pub(crate) plateau: Plateau,
    /// Whether the epoch is closed: all its batches are done, and its metrics are recorded.
    #[serde(default)]
    pub(crate) is_closed: bool,
}

impl Progress {
    /// Returns whether some batches of the epoch are done, and others may not be.
    pub(super) fn is_inside_epoch(&self) -> bool {
        self.batch > 0 && !self.is_closed
    }
}

/// The checkpoint with the best metric so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) step: u64,
    metric: Metric,
    /// The metric, negated if lower is better; PSNR is infinite if all images are equal to their targets.
    #[serde(rename = "merit")]
    value: LosslessF64,
}

impl Best {
    /// Creates the best checkpoint, with the `value` of its metric; higher is better.
    pub(crate) fn new(step: u64, metric: Metric, value: f64) -> Self {
        Self { step, metric, value: LosslessF64(value) }
    }

    /// Returns whether `value` is better; false for NaN.
    pub(crate) fn is_below(&self, value: f64) -> bool {
        value > self.value.0
    }

    /// Returns whether it was chosen by `metric`.
    pub(crate) fn is_by(&self, metric: Metric) -> bool {
        self.metric == metric
    }
}

/// The contents of `state.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The run's [`run_id`], of the settings that it started with.
    #[serde(rename = "run")]
    pub(super) run_id: String,
    #[serde(flatten)]
    pub(super) progress: Progress,
    pub(super) best: Option<Best>,
    #[serde(rename = "means")]
    pub(super) sums: LossSums,
    /// The position in `metrics.jsonl` that belongs to the checkpoint.
    #[serde(rename = "metrics")]
    pub(super) log: Option<LogPosition>,
    /// The averages of the discriminator's logits on real and on generated pairs, with LeCam regularisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) logit_averages: Option<[LosslessF64; 2]>,
    #[serde(rename = "maker")]
    pub(super) provenance: Provenance,
}

/// The version and the arithmetic that computed a checkpoint: its bits depend on them besides the settings.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
pub(super) struct Provenance {
    version: String,
    exact: bool,
}

impl Provenance {
    /// Returns the provenance of this version, with exact convolutions or without.
    pub(super) fn of(exact: bool) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), exact }
    }

    /// Returns whether convolutions were computed exactly.
    pub(super) fn exact(&self) -> bool {
        self.exact
    }

    /// Returns the difference in words if another version wrote the checkpoint.
    pub(super) fn changes(&self) -> Option<String> {
        let current = Self::of(self.exact);
        (current.version != self.version)
            .then(|| format!("the version of pix2pix is {}, was {}", current.version, self.version))
    }
}

/// Returns the id of a run that starts with `config`, a checksum of it. Runs of the same id on the same data are equal.
pub(crate) fn run_id(config: &Pix2PixConfig) -> String {
    format!("{:08x}", crc32c::crc32c(config.to_json().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_metric_has_the_same_bits_after_json() {
        for value in [f64::INFINITY, f64::NAN, 0.1 + 0.2] {
            let best = Best::new(7, Metric::Psnr, value);
            let text = serde_json::to_string(&best).unwrap_or_default();
            assert!(text.contains("\"merit\":\""), "{text}");
            let back = serde_json::from_str::<Best>(&text).map(|best| best.value.0.to_bits());
            assert_eq!(back.ok(), Some(value.to_bits()), "{text}");
        }
    }
}
