//! Arguments that several commands share, and their reads from the device.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use pix2pix::data::{Direction, Layout, Pages};
use pix2pix::{Checkpoint, Device, Mode, Tensor, Translator, device};

use crate::files;
use crate::output::note;

/// What to do where the system allows no more threads.
pub(crate) const NO_THREADS: &str = "cannot start threads; allow more processes (`ulimit -u`) or memory (`ulimit -v`), or set RAYON_NUM_THREADS=1";

/// The device and the seed.
#[derive(Args, Debug)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Seed of everything random
    #[arg(long, default_value_t = 0, help_heading = "Device and seed")]
    pub(crate) seed: u64,
}

/// The device.
#[derive(Args, Debug)]
pub(crate) struct Compute {
    /// Backend: flex, ndarray, wgpu or cuda [default: the best that is compiled in and has a device]
    #[arg(long, help_heading = "Device and seed")]
    pub(crate) backend: Option<String>,
}

impl Compute {
    /// Returns the device of `--backend`, or the best one.
    pub(crate) fn device(&self) -> Result<Device> {
        match &self.backend {
            Some(name) => Ok(device::named(name)?),
            None => Ok(device::best()),
        }
    }
}

/// Loads a translator from a run folder, from its checkpoint of this name if given, or from a file.
pub(crate) fn translator(weights: &Path, checkpoint: Option<&str>, device: &Device) -> Result<Translator> {
    if let Some(name) = checkpoint {
        return Ok(Translator::from_checkpoint(&self::checkpoint(weights, name)?, device)?);
    }
    Translator::load(weights, device).map_err(|error| match of_checkpoint(weights) {
        Some((run, name)) => anyhow!(
            "--weights: {} is part of a checkpoint; add `--checkpoint {name}` to the run folder {}",
            weights.display(),
            run.display()
        ),
        None => error.into(),
    })
}

/// Opens a checkpoint of a run folder by its name.
pub(crate) fn checkpoint(run: &Path, name: &str) -> Result<Checkpoint> {
    if !files::is_folder(run)? {
        bail!("--checkpoint: {} is not a run folder, which alone has checkpoints", run.display());
    }
    let checkpoint = Checkpoint::open(run, name).map_err(as_flag)?;
    for error in checkpoint.skipped() {
        note!("warning: {error}; using the checkpoint of step {}", checkpoint.step());
    }
    Ok(checkpoint)
}

/// Returns the run folder and the name of the checkpoint that `path` is, or is a file of.
fn of_checkpoint(path: &Path) -> Option<(&Path, &str)> {
    path.ancestors().take(2).find_map(|folder| {
        let name = folder.file_name()?.to_str().filter(|name| name.starts_with("step-"))?;
        let checkpoints = folder.parent().filter(|parent| parent.ends_with("checkpoints"))?;
        Some((checkpoints.parent()?, name))
    })
}

/// Names an argument of the library as the flag of the same name.
pub(crate) fn as_flag(error: pix2pix::Error) -> anyhow::Error {
    match error {
        pix2pix::Error::Argument { name, problem } => anyhow!("--{}: {problem}", name.replace('_', "-")),
        other => other.into(),
    }
}

/// [`Direction`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Way {
    /// A, the left half, is the input
    AToB,
    /// B, the right half, is the input
    BToA,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::AToB => Self::AToB,
            Way::BToA => Self::BToA,
        }
    }
}

/// [`Layout`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LayoutName {
    /// A on the left, B on the right
    SideBySide,
    /// A above, B below
    Stacked,
    /// One image instead of a pair, for systems without an input such as `--system dcgan`
    Single,
}

impl From<LayoutName> for Layout {
    fn from(layout: LayoutName) -> Self {
        match layout {
            LayoutName::SideBySide => Self::SideBySide,
            LayoutName::Stacked => Self::Stacked,
            LayoutName::Single => Self::Single,
        }
    }
}

/// [`Pages`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PagesName {
    /// The first page
    First,
    /// Each page is an image
    All,
    /// The channels of all pages are those of one image
    Channels,
}

impl From<PagesName> for Pages {
    fn from(pages: PagesName) -> Self {
        match pages {
            PagesName::First => Self::First,
            PagesName::All => Self::All,
            PagesName::Channels => Self::Channels,
        }
    }
}

/// [`Mode`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum ModeName {
    /// Dropout on; statistics of the image itself
    Paper,
    /// Dropout off; statistics of the image itself
    Image,
    /// Dropout off; running statistics of the training
    Running,
}

impl ModeName {
    /// Returns the mode, with noise of this seed.
    pub(crate) fn mode(self, seed: u64) -> Mode {
        match self {
            Self::Paper => Mode::PAPER.with_noise(seed),
            Self::Image => Mode::IMAGE,
            Self::Running => Mode::RUNNING,
        }
    }
}

/// Returns a tensor's values, or an error if the device fails, for instance because the GPU was lost.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.try_into_vec_as::<f32>().map_err(|error| {
        let text = error.to_string();
        // burn appends a backtrace, which helps no user.
        let reason = text.split("Backtrace").next().unwrap_or_default().trim();
        anyhow!(
            "the device failed to return values ({reason}). The GPU was lost or is out of memory: run the command \
             again; if it fails again, use smaller images or `--backend flex`"
        )
    })
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_row_major_order() {
        let tensor = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device::cpu());
        assert_eq!(values(tensor).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}
