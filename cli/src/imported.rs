//! The flags for files of other programs: what such a file does not tell.

use std::path::Path;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pix2pix::pytorch::Import;
use pix2pix::{Device, Translator, UpsampleKind};

use crate::{common, files};

/// What a file of another program does not tell.
#[derive(Args, Debug, Default)]
pub(crate) struct Imported {
    /// Name of the generator in a file with several networks, for example netG_A or params_ema [default: the only one]
    #[arg(long, help_heading = FILES)]
    key: Option<String>,
    /// The generator was trained without dropout, which a U-Net's file does not tell
    #[arg(long, help_heading = FILES)]
    no_dropout: bool,
    /// How a U-Net with 3×3 convolutions resizes before them, which its file does not tell [default: nearest]
    #[arg(long, value_enum, help_heading = FILES)]
    upsample: Option<Resizing>,
}

const FILES: &str = "Files";

/// [`UpsampleKind`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Resizing {
    /// Nearest-neighbour resizing
    Nearest,
    /// Bilinear resizing
    Bilinear,
}

impl Imported {
    /// Returns the given flags that have a meaning only for a file of another program.
    pub(crate) fn of_files(&self) -> impl Iterator<Item = &'static str> {
        let given = [("--key", self.key.is_some()), ("--upsample", self.upsample.is_some())];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    /// Returns whether the generator has no dropout.
    pub(crate) fn no_dropout(&self) -> bool {
        self.no_dropout
    }

    /// Opens a file of another program.
    pub(crate) fn open(&self, path: &Path) -> Result<Import> {
        let mut import = Import::open(path)?;
        if let Some(key) = &self.key {
            import = import.with_key(key);
        }
        if let Some(resizing) = self.upsample {
            import = import.with_upsample(match resizing {
                Resizing::Nearest => UpsampleKind::NearestConv,
                Resizing::Bilinear => UpsampleKind::BilinearConv,
            });
        }
        Ok(if self.no_dropout { import.with_dropout(0.0) } else { import })
    }

    /// Loads a translator from a run folder, a weights file, or a file of another program, which alone may need these
    /// flags.
    pub(crate) fn translator(
        &self,
        weights: &Path,
        checkpoint: Option<&str>,
        device: &Device,
    ) -> Result<Translator> {
        match self.of_files().next().or(self.no_dropout.then_some("--no-dropout")) {
            None => common::translator(weights, checkpoint, device),
            Some(flag) if checkpoint.is_some() || files::is_folder(weights)? => {
                bail!(
                    "{flag}: {} is a run folder, which holds its own settings; leave out the flag",
                    weights.display()
                )
            }
            Some(_) => {
                pix2pix::device::check(device)?;
                Ok(Translator::from_import(self.open(weights)?, device)?)
            }
        }
    }
}
