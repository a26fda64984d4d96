//! A progress bar on a terminal, and a line for each epoch everywhere.

use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};
use pix2pix::{Event, Trainer};

use crate::output::{note, say};
use crate::stop;

/// Steps between two readings of the losses; each reading waits for the device.
const READ_EVERY: u64 = 10;

pub(super) struct Progress {
    bar: ProgressBar,
    epochs: usize,
    steps: u64,
    last_step: Option<u64>,
    batch_size: usize,
    losses: String,
}

impl Progress {
    /// Creates the progress of a trainer at its current step. Training stops at `last_step`, if given.
    pub(super) fn new(trainer: &Trainer, last_step: Option<u64>) -> Self {
        let bar = ProgressBar::no_length();
        let style = "{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let batch_size = trainer.config().data.batch_size;
        Self {
            bar,
            epochs: trainer.epochs(),
            steps: trainer.steps(),
            last_step,
            batch_size,
            losses: String::new(),
        }
    }

    /// Continues at an earlier step.
    pub(super) fn rewind(&mut self, steps: u64) {
        self.steps = steps;
        self.bar.set_position(steps);
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows an event of the training and decides whether it continues.
    pub(super) fn show(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Step { epoch, batches, losses, .. } => {
                if self.steps == 0 || self.bar.length().is_none() {
                    let all = (self.epochs * batches) as u64;
                    self.bar.set_length(self.last_step.map_or(all, |last| last.min(all)));
                    self.bar.set_position(self.steps);
                    self.bar.reset_eta();
                }
                self.steps += 1;
                self.bar.set_position(self.steps);
                self.bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
                if self.steps.is_multiple_of(READ_EVERY) || self.last_step == Some(self.steps) {
                    let rate = self.bar.per_sec() * self.batch_size as f64;
                    // A lost GPU ends the run with its error, so the bar keeps the losses before.
                    if let Ok(losses) = losses.read() {
                        self.losses = losses.to_string();
                    }
                    self.bar.set_message(format!("{}  {rate:.1} images/s", self.losses));
                }
            }
            Event::Epoch { epoch, metrics, .. } => {
                let metrics = metrics.map_or_else(String::new, |metrics| format!("validation: {metrics}"));
                let line = format!("epoch {epoch}/{}  {}  {metrics}", self.epochs, self.losses);
                self.bar.suspend(|| say!("{line}"));
            }
            Event::Warning(warning) => self.bar.suspend(|| note!("warning: {warning}")),
            Event::Advice(advice) => self.bar.suspend(|| say!("step {}: {advice}", self.steps)),
            _ => {}
        }
        let is_last = self.last_step.is_some_and(|last| self.steps >= last);
        if is_last || stop::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
