//! Memory does not grow in a long run of small steps. Alone in its process, because it measures the process.
//!
//! `PIX2PIX_SOAK_STEPS` sets the number of steps; the default is 10 000.
#![cfg(feature = "flex")]

mod support;

use std::ops::ControlFlow;

use pix2pix::data::PairedFolder;
use pix2pix::{Event, Trainer, device};
use support::{small_config, write_pairs};

/// Returns resident memory in MB and the number of open files of this process; `None` without `/proc`.
fn held() -> Option<(f64, usize)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some((kilobytes / 1024.0, std::fs::read_dir("/proc/self/fd").ok()?.count()))
}

#[test]
fn memory_does_not_grow() {
    if held().is_none() {
        println!("skipped: this system has no /proc");
        return;
    }
    let steps = std::env::var("PIX2PIX_SOAK_STEPS").map_or(10_000, |steps| steps.parse::<u64>().unwrap());
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 20, 16);
    let mut config = small_config().with_size(16).unwrap();
    config.discriminator.layers = 1;
    config.training.epochs = (steps / 20) as usize;
    (config.training.save_every, config.training.tensorboard) = (5, true);
    let pairs = PairedFolder::open(folder.path(), &config.data).unwrap();
    let val = pairs.clone().head(2).unwrap();

    // Memory and open files at the end of each epoch.
    let mut samples = vec![];
    let watch = |event: Event| {
        if let Event::Epoch { .. } = event {
            samples.extend(held());
        }
        ControlFlow::Continue(())
    };
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    trainer.fit(&pairs, Some(&val), folder.path().join("run"), watch).unwrap();
    assert_eq!(trainer.steps(), steps / 20 * 20);

    // After a first third of warm-up, the maxima of the second and of the last third are compared.
    let third = samples.len() / 3;
    let maxima = |from: usize| {
        let some = &samples[from..from + third];
        some.iter().fold((0.0f64, 0), |most, sample| (most.0.max(sample.0), most.1.max(sample.1)))
    };
    let (before, after) = (maxima(third), maxima(samples.len() - third));
    println!(
        "{steps} steps: {:.1} MB, then {:.1} MB; {} files, then {}",
        before.0, after.0, before.1, after.1
    );
    let allowed = 2.0 + steps as f64 / 3000.0;
    assert!(after.0 - before.0 < allowed, "{before:?} grew to {after:?}, more than {allowed} MB");
    assert!(after.1 <= before.1, "{before:?} open files, then {after:?}");
}
