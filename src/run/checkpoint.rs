//! One checkpoint of a run, of which single networks are read.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::snapshot::{self, DISCRIMINATOR, EMA, GENERATOR, concerns_this_checkpoint, missing};
use super::state::State;
use super::{layout, network};
use crate::config::Pix2PixConfig;
use crate::device;
use crate::discriminator::Discriminator;
use crate::error::{Error, Result};
use crate::generator::Generator;

/// A checkpoint of a run, of which single networks are read, without the memory that the other network and the
/// optimisers take.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Checkpoint, Translator, device};
///
/// let checkpoint = Checkpoint::open("runs/facades", "step-4000")?;
/// let translator = Translator::from_checkpoint(&checkpoint, &device::best())?;
/// translator.translate_to("labels.png", "facade.png")?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    config: Pix2PixConfig,
    state: State,
    has_ema: bool,
    skipped: Vec<Error>,
}

impl Checkpoint {
    /// Opens a checkpoint of the run in folder `run`: `latest`, the newest that is intact; `best`, that with the best
    /// metric on the validation pairs; or for instance `step-4000`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the run has no checkpoint, or the file at fault is damaged; [`Error::Argument`] if it
    /// has none of this name, with those that it has; [`Error::Io`] if it cannot be read.
    pub fn open(run: impl AsRef<Path>, name: &str) -> Result<Self> {
        let run = run.as_ref();
        match name {
            "latest" => Self::latest(run),
            "best" => {
                let Self { state, skipped, .. } = Self::latest(run)?;
                let best = state.best.map(|best| Self::of_step(run, best.step)).transpose()?.flatten();
                best.map(|best| Self { skipped, ..best }).ok_or_else(|| absent(run, name))
            }
            _ => {
                let step = layout::step(Path::new(name));
                let found = step.map(|step| Self::of_step(run, step)).transpose()?.flatten();
                found.ok_or_else(|| absent(run, name))
            }
        }
    }

    /// Opens the newest intact checkpoint.
    fn latest(run: &Path) -> Result<Self> {
        let mut skipped = Vec::new();
        for folder in layout::checkpoints(run)?.into_iter().rev() {
            match Self::read(run, folder) {
                Err(error) if concerns_this_checkpoint(&error) => skipped.push(error),
                read => return Ok(Self { skipped, ..read? }),
            }
        }
        // If none is intact, the error is that of the newest.
        Err(skipped.into_iter().next().unwrap_or_else(|| missing(run)))
    }

    /// Opens the checkpoint of a step, if there is one.
    fn of_step(run: &Path, step: u64) -> Result<Option<Self>> {
        let newest = layout::checkpoints(run)?.into_iter().rfind(|folder| layout::step(folder) == Some(step));
        newest.map(|folder| Self::read(run, folder)).transpose()
    }

    fn read(run: &Path, folder: PathBuf) -> Result<Self> {
        let (state, config, names) = snapshot::read_start(&folder, layout::run_id(run)?.as_deref())?;
        config.validate()?;
        let has_ema = names.iter().any(|name| name == EMA);
        Ok(Self { folder, config, state, has_ema, skipped: vec![] })
    }

    /// Returns the number of steps that were done.
    pub fn step(&self) -> u64 {
        self.state.progress.step
    }

    /// Lists the errors of the newer checkpoints that `latest` and `best` passed over because they are damaged or cannot
    /// be read, newest first.
    pub fn skipped(&self) -> impl Iterator<Item = &Error> {
        self.skipped.iter()
    }

    /// Returns the configuration of the run.
    pub fn config(&self) -> &Pix2PixConfig {
        &self.config
    }

    /// Reads the generator that is exported: the EMA if `training.export_ema` is set.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file does not fit the configuration; [`Error::Device`] if the device computes
    /// wrongly.
    pub fn generator(&self, device: &Device) -> Result<Generator> {
        device::check(device)?;
        let file = if self.has_ema && self.config.training.export_ema { EMA } else { GENERATOR };
        let network = self.config.generator.init_seeded(0, &device.clone().without_autodiff());
        network::load(network.with_exact_convolutions(self.state.provenance.exact()), &self.folder.join(file))
    }

    /// Reads the discriminator.
    ///
    /// # Errors
    /// As [`generator`](Self::generator).
    pub fn discriminator(&self, device: &Device) -> Result<Discriminator> {
        device::check(device)?;
        let network = self.config.discriminator.init_seeded(0, &device.clone().without_autodiff());
        let exact = self.state.provenance.exact();
        network::load(network.with_exact_convolutions(exact), &self.folder.join(DISCRIMINATOR))
    }
}

/// Returns the error for a name that no checkpoint of the run has.
fn absent(run: &Path, name: &str) -> Error {
    let steps = match layout::checkpoints(run) {
        Ok(found) => found.iter().filter_map(|folder| layout::step(folder)).collect::<Vec<_>>(),
        Err(error) => return error,
    };
    if steps.is_empty() {
        return missing(run);
    }
    // Only a hint: without an intact checkpoint, the best one is not known.
    let best = Checkpoint::latest(run).ok().and_then(|latest| latest.state.best);
    let best = best.filter(|best| steps.contains(&best.step)).map(|_| "best".to_owned());
    let names: Vec<String> = ["latest".to_owned()]
        .into_iter()
        .chain(best)
        .chain(steps.into_iter().map(layout::short_name))
        .collect();
    Error::argument(
        "checkpoint",
        format!("`{name}` is not in {}, which has {}", run.display(), names.join(", ")),
    )
}
