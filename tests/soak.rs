//! Memory does not grow in a long run of small steps. Alone in its process, because it measures the process.
//!
//! `PIX2PIX_SOAK_STEPS` sets the number of steps; the default is 10 000.
#![cfg(feature = "flex")]

mod support;

use std::ops::ControlFlow;

use pix2pix::data::PairedFolder;
use pix2pix::{Event, Trainer, device};
use support::{small_config, write_pairs};

/// Returns the resident memory in MiB and the number of open files of this process.
fn held() -> (f64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    (kibibytes / 1024.0, std::fs::read_dir("/proc/self/fd").unwrap().count())
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc, which only Linux has")]
fn memory_and_open_files_do_not_grow() {
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
            samples.push(held());
        }
        ControlFlow::Continue(())
    };
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    trainer.fit(&pairs, Some(&val), folder.path().join("run"), watch).unwrap();
    assert_eq!(trainer.steps(), steps / 20 * 20);

    // The first third is warm-up; the maxima of the second and of the last third are compared.
    let third = samples.len() / 3;
    let maxima = |from: usize| {
        let some = &samples[from..from + third];
        some.iter().fold((0.0f64, 0), |most, sample| (most.0.max(sample.0), most.1.max(sample.1)))
    };
    let (before, after) = (maxima(third), maxima(samples.len() - third));
    println!(
        "{steps} steps: {:.1} MiB, then {:.1} MiB; {} files, then {}",
        before.0, after.0, before.1, after.1
    );
    let allowed = 2.0 + steps as f64 / 3000.0;
    assert!(after.0 - before.0 < allowed, "{before:?} grew to {after:?}, more than {allowed} MiB");
    assert!(after.1 <= before.1, "{before:?} open files, then {after:?}");
}
