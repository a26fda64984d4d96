//! Tests of the trainer that use private items of the crate.

mod device_faults;
mod disk_faults;
mod transfers;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

use crate::config::Pix2PixConfig;
use crate::data::PairedFolder;
use crate::error::Result;
use crate::train::Trainer;

fn config() -> Pix2PixConfig {
    let mut config = Pix2PixConfig::paper().with_size(16).unwrap();
    (config.generator.base_channels, config.discriminator.base_channels) = (2, 2);
    (config.discriminator.layers, config.data.workers) = (1, 0);
    (config.training.epochs, config.training.save_every) = (2, 1);
    config.training.tensorboard = true;
    config
}

/// Creates a folder in memory if the system has one: a real disk is slow to sync.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn pairs(folder: &Path) -> PairedFolder {
    for index in 0..10u8 {
        let pair = RgbImage::from_fn(32, 16, |x, y| Rgb([(x * 8) as u8, (y * 16) as u8, index * 25]));
        pair.save(folder.join(format!("{index}.png"))).unwrap();
    }
    PairedFolder::open(folder, &config().data).unwrap()
}

fn fit(trainer: &mut Trainer, pairs: &PairedFolder, run: &Path) -> Result<()> {
    let val = pairs.clone().head(1).unwrap();
    trainer.fit(pairs, Some(&val), run, |_| ControlFlow::Continue(()))
}

/// Reads the files that must not depend on earlier failures: results, samples, and the checkpoint of the last step.
fn outcome(run: &Path, last_step: u64) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for folder in ["", "samples", &format!("checkpoints/step-{last_step:09}")] {
        for entry in std::fs::read_dir(run.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            // The page differs, as it shows the speed.
            if path.is_file() && !path.ends_with("index.html") {
                found.push((path.strip_prefix(run).unwrap().to_owned(), std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.iter().any(|(path, _)| path.ends_with("generator-best.safetensors")));
    found
}
