//! Training on several devices equals training on one. The CPU, listed twice, stands for two devices.
#![cfg(feature = "flex")]

use std::ops::ControlFlow;
use std::path::Path;

use crate::support::{small_config, write_pairs};
use pix2pix::data::{Batch, PairedFolder};
use pix2pix::{Event, Norm, Pix2PixConfig, Tensor, Trainer, device};

fn config() -> Pix2PixConfig {
    let mut config = small_config();
    config.data.batch_size = 4;
    (config.training.epochs, config.training.save_every) = (3, 1);
    config
}

fn batch(pairs: usize) -> Batch {
    let ramp = |scale: f32| {
        let values: Vec<f32> = (0..pairs * 3 * 32 * 32).map(|i| (i as f32 * scale).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([pairs, 3, 32, 32])
    };
    Batch { input: ramp(0.011), target: ramp(0.017) }
}

fn trainer(config: Pix2PixConfig, devices: usize) -> Trainer {
    Trainer::new(config, &device::cpu()).unwrap().with_devices(&vec![device::cpu(); devices - 1]).unwrap()
}

/// Returns the exported weights and the last losses after some steps.
fn trained(config: Pix2PixConfig, devices: usize) -> (Vec<u8>, String) {
    let mut trainer = trainer(config, devices);
    let mut losses = String::new();
    for pairs in [4, 4, 3, 1, 4] {
        losses = format!("{:?}", trainer.step(batch(pairs)).read().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    trainer.save(folder.path()).unwrap();
    (std::fs::read(folder.path().join("generator.safetensors")).unwrap(), losses)
}

/// Returns the weights without the header, which holds the configuration.
fn weights(file: &[u8]) -> &[u8] {
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    &file[8 + header..]
}

#[test]
fn two_devices_equal_one_with_two_micro_batches() {
    // Instance normalisation has no running statistics, which would be those of the first device.
    let mut config = config();
    let norm = Norm::Instance { affine: true };
    (config.generator.norm, config.discriminator.norm) = (norm, norm);
    let mut parts = config.clone();
    parts.training.accumulate = 2;
    let (shared, apart) = (trained(config.clone(), 2), trained(parts, 1));
    assert!(weights(&shared.0) == weights(&apart.0) && shared.1 == apart.1, "the bits differ");
    assert!(weights(&trained(config, 1).0) != weights(&shared.0), "the dropout noise is the same");
}

#[test]
fn runs_on_the_same_number_of_devices_have_the_same_bits() {
    let first = trained(config(), 2);
    assert!((0..3).all(|_| trained(config(), 2) == first));
    assert!(trained(config(), 3) != first);
}

/// Trains until `stop` steps are done, or to the end.
fn fit(trainer: &mut Trainer, folder: &Path, run: &Path, stop: u64) {
    let pairs = PairedFolder::open(folder, &config().data).unwrap();
    let mut steps = trainer.steps();
    let watch = |event: Event| {
        steps += u64::from(matches!(event, Event::Step { .. }));
        if stop == steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer.fit(&pairs, None, run, watch).unwrap();
}

#[test]
fn an_interrupted_run_ends_like_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_pairs(&data, 10, 32);
    let whole = folder.path().join("whole");
    fit(&mut trainer(config(), 2), &data, &whole, 99);
    for stop in [1, 3, 5] {
        let run = folder.path().join(format!("run-{stop}"));
        fit(&mut trainer(config(), 2), &data, &run, stop);
        let mut trainer =
            Trainer::resume(&run, &device::cpu()).unwrap().with_devices(&[device::cpu()]).unwrap();
        fit(&mut trainer, &data, &run, 99);
        assert_eq!(trainer.steps(), 9);
        for file in ["generator.bpk", "discriminator.bpk", "optimizer_g.bpk", "optimizer_d.bpk"] {
            let [run, whole] = [&run, &whole].map(|run| run.join("checkpoints/step-000000009").join(file));
            assert!(std::fs::read(run).unwrap() == std::fs::read(whole).unwrap(), "{file}");
        }
    }
}
