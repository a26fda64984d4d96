//! Saving and resuming: round trips, interrupted runs, and damaged files.
#![cfg(feature = "flex")]

use std::ops::ControlFlow;
use std::path::Path;

use crate::support::{edit_settings, names, picture, small_config, write_pairs};
use pix2pix::data::{PairedFolder, ResizeFilter};
use pix2pix::error::CheckpointProblem;
use pix2pix::{Condition, Error, Event, Mode, Norm, Pix2PixConfig, Tensor, Trainer, Translator, device};

fn config() -> Pix2PixConfig {
    let mut config = small_config();
    (config.training.epochs, config.training.save_every) = (3, 1);
    config
}

fn pairs(folder: &Path) -> PairedFolder {
    if !folder.join("train").is_dir() {
        write_pairs(&folder.join("train"), 4, 32);
    }
    PairedFolder::open(folder.join("train"), &config().data).unwrap()
}

/// Trains until `stop` steps are done, or to the end.
fn train(trainer: &mut Trainer, pairs: &PairedFolder, run: &Path, stop: Option<u64>) {
    let mut steps = trainer.steps();
    let watch = |event: Event| {
        steps += u64::from(matches!(event, Event::Step { .. }));
        if stop == Some(steps) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer.fit(pairs, None, run, watch).unwrap();
}

fn output(trainer: &Trainer) -> Vec<f32> {
    let device = device::cpu().autodiff();
    let ramp: Vec<f32> = (0..3 * 32 * 32).map(|i| (i as f32 * 0.013).sin()).collect();
    let input = Tensor::<1>::from_floats(ramp.as_slice(), &device).reshape([1, 3, 32, 32]);
    trainer.generator().forward(input, Mode::RUNNING).into_data().try_into_vec().unwrap()
}

#[test]
fn an_interrupted_run_ends_like_an_uninterrupted_one() {
    check_interruptions(config(), &[1, 4, 6]);
}

#[test]
fn a_run_resumes_with_the_state_of_its_discriminator() {
    let mut config = config();
    let d = &mut config.discriminator;
    (d.layers, d.norm, d.spectral, d.scales) = (1, Norm::None, true, 2);
    d.condition = Condition::Projection;
    (config.loss.feature_weight, config.loss.lecam_weight) = (10.0, 0.3);
    config.training.discriminator_noise = 0.1;
    config.training.diff_augment.color = true;
    config.training.diff_augment.translation = true;
    config.training.diff_augment.cutout = true;
    check_interruptions(config, &[5]);
}

/// Checks that a run of 12 steps that stops after one of `stops` and resumes ends with the bits of one that does not.
fn check_interruptions(config: Pix2PixConfig, stops: &[u64]) {
    let folder = tempfile::tempdir().unwrap();
    let pairs = pairs(folder.path());
    let whole = folder.path().join("whole");
    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &whole, None);
    let expected = output(&trainer);

    for &stop in stops {
        let run = folder.path().join(format!("interrupted-{stop}"));
        let mut trainer = Trainer::resume_or_new(&run, config.clone(), &device::cpu()).unwrap();
        train(&mut trainer, &pairs, &run, Some(stop));
        drop(trainer);
        let mut trainer = Trainer::resume(&run, &device::cpu()).unwrap();
        assert_eq!(trainer.steps(), stop);
        train(&mut trainer, &pairs, &run, None);
        assert_eq!(trainer.steps(), 12);
        assert!(output(&trainer) == expected, "stopped after step {stop}");
        let weights = |run: &Path| std::fs::read(run.join("generator.safetensors")).unwrap();
        assert!(weights(&run) == weights(&whole), "stopped after step {stop}");
    }
}

#[test]
fn the_weights_file_suffices_to_translate() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(config(), &device::cpu()).unwrap();
    trainer.save(folder.path()).unwrap();
    let image = image::DynamicImage::ImageRgb8(picture(40, 23, 5));
    for path in [folder.path().to_owned(), folder.path().join("generator.safetensors")] {
        let translator = Translator::load(path, &device::cpu()).unwrap();
        let first = translator.translate(&image).unwrap();
        assert_eq!((first.width(), first.height()), (40, 23));
        assert_eq!(first, translator.translate(&image).unwrap(), "the noise differs between calls");
        let other = translator.with_mode(Mode::PAPER.with_noise(9)).translate(&image).unwrap();
        assert_ne!(first, other);
    }
}

#[test]
fn only_the_newest_checkpoints_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = pairs(folder.path());
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, folder.path(), None);
    let checkpoints = folder.path().join("checkpoints");
    assert_eq!(names(&checkpoints), ["step-000000008", "step-000000012"]);

    let kept = folder.path().join("one");
    let mut config = config();
    config.training.keep = 1;
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &kept, None);
    assert_eq!(names(&kept.join("checkpoints")), ["step-000000012"]);
}

fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.training.ema_decay = Some(0.9);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let pairs = pairs(folder.path());
    let run = folder.path().join("run");
    train(&mut trainer, &pairs, &run, Some(1));
    (folder, run.join("checkpoints/step-000000001"))
}

const FILES: [&str; 8] = [
    "average.bpk",
    "generator.bpk",
    "discriminator.bpk",
    "optimizer_g.bpk",
    "optimizer_d.bpk",
    "state.json",
    "config.json",
    "manifest.txt",
];

/// Asserts that resuming from `run` fails, and returns the message.
fn refusal(run: &Path) -> String {
    let error = Trainer::resume(run, &device::cpu()).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { .. }), "{error:?}");
    error.to_string()
}

/// The number of lengths that each file is truncated to, and of bits that are flipped in it: over 1000 in all files.
const POSITIONS: usize = 160;

#[test]
fn damaged_files_are_named() {
    let (folder, checkpoint) = saved();
    let run = folder.path().join("run");
    let whole = FILES.map(|file| std::fs::read(checkpoint.join(file)).unwrap());
    let (mut truncated, mut flipped) = (0, 0);
    for (file, bytes) in FILES.iter().zip(&whole) {
        let path = checkpoint.join(file);
        let refuse = |damaged: &[u8]| {
            std::fs::write(&path, damaged).unwrap();
            let message = refusal(&run);
            assert!(message.contains(file), "{file}: {message}");
        };
        let positions = POSITIONS.min(bytes.len());
        for position in (0..positions).map(|part| bytes.len() * part / positions) {
            refuse(&bytes[..position]);
            truncated += 1;
        }
        refuse(&bytes[..bytes.len() - 1]);
        for part in 0..POSITIONS {
            let mut damaged = bytes.clone();
            damaged[bytes.len() * part / POSITIONS] ^= 1 << (part % 8);
            refuse(&damaged);
            flipped += 1;
        }
        refuse(&[&bytes[..], b"\n"].concat());
        refuse(b"other contents");
        // Each file is replaced by each other file.
        whole.iter().filter(|other| *other != bytes).for_each(|other| refuse(other));
        std::fs::remove_file(&path).unwrap();
        let message = refusal(&run);
        assert!(message.contains(file), "{message}");
        std::fs::create_dir(&path).unwrap();
        let message = Trainer::resume(&run, &device::cpu()).unwrap_err().to_string();
        assert!(message.contains(file), "{message}");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(truncated >= 1000 && flipped >= 1000, "{truncated} {flipped}");
    assert_eq!(Trainer::resume(&run, &device::cpu()).unwrap().steps(), 1);
}

#[test]
fn the_checkpoint_before_a_damaged_one_is_used_and_the_damage_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let mut config = config();
    config.training.ema_decay = Some(0.9);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, None);
    let weights = std::fs::read(run.join("generator.safetensors")).unwrap();

    let checkpoints = run.join("checkpoints");
    for file in FILES {
        // The file is intact, but belongs to another step.
        std::fs::copy(
            checkpoints.join("step-000000008").join(if file == "config.json" { "state.json" } else { file }),
            checkpoints.join("step-000000012").join(file),
        )
        .unwrap();
        let trainer = Trainer::resume(&run, &device::cpu()).unwrap();
        let skipped: Vec<String> = trainer.skipped_checkpoints().map(ToString::to_string).collect();
        assert!(trainer.steps() == 8 && skipped.len() == 1, "{file}: {skipped:?}");
        assert!(skipped[0].contains("step-000000012") && skipped[0].contains("another copy"), "{skipped:?}");
        if file == "generator.bpk" {
            assert!(skipped[0].contains(file), "{skipped:?}");
        }
    }
    let mut trainer = Trainer::resume(&run, &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, None);
    assert!(std::fs::read(run.join("generator.safetensors")).unwrap() == weights);
    assert_eq!(names(&checkpoints), ["damaged-step-000000012", "step-000000008", "step-000000012"]);
    assert_eq!(Trainer::resume(&run, &device::cpu()).unwrap().skipped_checkpoints().count(), 0);
}

#[test]
fn intact_checkpoints_in_the_wrong_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    train(&mut Trainer::new(config(), &device::cpu()).unwrap(), &pairs, &run, None);
    let at = |step: u64| run.join(format!("checkpoints/step-{step:09}"));
    let resumed = || Trainer::resume(&run, &device::cpu());

    // A checkpoint with the name of another step.
    std::fs::rename(at(12), at(16)).unwrap();
    let trainer = resumed().unwrap();
    let skipped: Vec<String> = trainer.skipped_checkpoints().map(ToString::to_string).collect();
    assert!(trainer.steps() == 8 && skipped.len() == 1, "{skipped:?}");
    assert!(
        skipped[0].contains("step-000000016/state.json") && skipped[0].contains("it is of step 12"),
        "{skipped:?}"
    );
    // Two checkpoints whose names are exchanged.
    std::fs::rename(at(8), at(12)).unwrap();
    std::fs::rename(at(16), at(8)).unwrap();
    assert!(refusal(&run).contains("step-000000012/state.json"));
    std::fs::rename(at(8), at(16)).unwrap();
    std::fs::rename(at(12), at(8)).unwrap();
    std::fs::rename(at(16), at(12)).unwrap();
    assert_eq!(resumed().unwrap().skipped_checkpoints().count(), 0);

    // The checkpoint of another run, with another seed or other networks.
    let changes: [fn(&mut Pix2PixConfig); 2] =
        [|config| config.training.seed = 5, |config| config.generator.base_channels = 5];
    std::fs::rename(at(12), folder.path().join("aside")).unwrap();
    for change in changes {
        let (mut other, home) = (config(), folder.path().join("other"));
        change(&mut other);
        train(&mut Trainer::new(other, &device::cpu()).unwrap(), &pairs, &home, Some(10));
        std::fs::rename(home.join("checkpoints/step-000000010"), at(10)).unwrap();
        for trainer in [resumed().unwrap(), Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap()] {
            let skipped: Vec<String> = trainer.skipped_checkpoints().map(ToString::to_string).collect();
            assert!(trainer.steps() == 8 && skipped[0].contains("it belongs to another run"), "{skipped:?}");
        }
        std::fs::remove_dir_all(at(10)).unwrap();
        std::fs::remove_dir_all(home).unwrap();
    }
    std::fs::rename(folder.path().join("aside"), at(12)).unwrap();

    // Another run is not saved among the checkpoints of this one.
    let mut other = config();
    other.training.seed = 5;
    other.training.epochs = 4;
    let elsewhere = folder.path().join("elsewhere");
    let mut trainer = Trainer::new(other, &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &elsewhere, None);
    let error = trainer.save(&run).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { problem: CheckpointProblem::Foreign, .. }), "{error}");
}

#[test]
fn other_files_among_the_checkpoints_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let checkpoints = run.join("checkpoints");
    train(&mut Trainer::new(config(), &device::cpu()).unwrap(), &pairs, &run, Some(4));
    std::fs::rename(checkpoints.join("step-000000004"), checkpoints.join("step-000000004-backup")).unwrap();
    for file in ["step-x", "step-000000099", "notes"] {
        std::fs::write(checkpoints.join(file), "a user's file").unwrap();
    }
    assert!(Trainer::resume(&run, &device::cpu()).is_err(), "the backup was used as a checkpoint");
    let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, None);
    assert_eq!(
        names(&checkpoints),
        ["notes", "step-000000004-backup", "step-000000008", "step-000000012", "step-000000099", "step-x"]
    );
}

#[test]
fn a_newest_checkpoint_that_cannot_be_read_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    train(&mut Trainer::new(config(), &device::cpu()).unwrap(), &pairs, &run, None);
    for file in ["generator.bpk", "manifest.txt"] {
        // Reading a folder as a file fails with an error like that of a failing disk.
        let path = run.join("checkpoints/step-000000012").join(file);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let trainer = Trainer::resume(&run, &device::cpu()).unwrap();
        let skipped: Vec<String> = trainer.skipped_checkpoints().map(ToString::to_string).collect();
        assert!(trainer.steps() == 8 && skipped[0].contains(file), "{skipped:?}");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn exported_weights_with_a_flipped_bit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    Trainer::new(config(), &device::cpu()).unwrap().save(folder.path()).unwrap();
    let file = folder.path().join("generator.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let load = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Translator::load(&file, &device::cpu()).map(drop)
    };
    for part in 0..200 {
        let mut damaged = bytes.clone();
        damaged[start + (bytes.len() - start) * part / 200] ^= 1 << (part % 8);
        let message = load(&damaged).unwrap_err().to_string();
        assert!(
            message.contains("generator.safetensors: damaged") && message.contains("checksum"),
            "{message}"
        );
    }
    load(&bytes).unwrap();
    // A file without a checksum, for instance of another program, is read.
    edit_settings(&file, |fields| assert!(fields.as_object_mut().unwrap().remove("crc32c").is_some()));
    let bytes = std::fs::read(&file).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let damaged = bytes[start..].iter().map(|byte| byte ^ 1).collect::<Vec<_>>();
    load(&[&bytes[..start], &damaged].concat()).unwrap();
}

#[test]
fn a_run_resumes_from_checkpoints_within_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let mut config = config();
    (config.training.save_steps, config.training.save_every, config.training.keep) = (3, 9, 9);
    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, None);
    let checkpoints = run.join("checkpoints");
    assert_eq!(names(&checkpoints), ["step-000000003", "step-000000006", "step-000000009", "step-000000012"]);
    let files = |run: &Path| {
        let files = ["generator.safetensors", "metrics.jsonl", "checkpoints/step-000000012/state.json"];
        files.map(|file| std::fs::read(run.join(file)).unwrap())
    };
    let whole = files(&run);
    for step in [9, 6, 3] {
        for later in (step + 3..=12).step_by(3) {
            std::fs::remove_dir_all(checkpoints.join(format!("step-{later:09}"))).unwrap();
        }
        let mut trainer = Trainer::resume_or_new(&run, config.clone(), &device::cpu()).unwrap();
        assert_eq!(trainer.steps(), step);
        train(&mut trainer, &pairs, &run, None);
        assert!(files(&run) == whole, "from step {step}");
    }
}

#[test]
fn unfinished_saves_of_killed_processes_are_removed() {
    let (folder, checkpoint) = saved();
    let (run, checkpoints) = (folder.path().join("run"), checkpoint.parent().unwrap());
    std::fs::create_dir(checkpoints.join(".saving-abc")).unwrap();
    std::fs::write(checkpoints.join(".saving-abc/generator.bpk"), "half").unwrap();
    // A process was killed between the two renames that replace a checkpoint: the old one is found.
    std::fs::rename(&checkpoint, checkpoints.join("step-000000001-replaced")).unwrap();
    let trainer = Trainer::resume(&run, &device::cpu()).unwrap();
    assert_eq!(trainer.steps(), 1);
    trainer.save(&run).unwrap();
    assert_eq!(names(checkpoints), ["step-000000001"]);
    trainer.save(&run).unwrap();
    assert_eq!(names(checkpoints), ["step-000000001"]);
}

#[test]
fn two_runs_in_one_folder_are_refused() {
    let (folder, _) = saved();
    let run = folder.path().join("run");
    let trainer = Trainer::resume(&run, &device::cpu()).unwrap();
    let other = std::fs::File::open(run.join(".lock")).unwrap();
    other.lock().unwrap();
    let message = trainer.save(&run).unwrap_err().to_string();
    assert!(message.contains("another run is training in this folder"), "{message}");
    let error = Trainer::resume(&run, &device::cpu())
        .unwrap()
        .fit(&pairs(folder.path()), None, &run, |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(error, Error::Checkpoint { problem: CheckpointProblem::InUse, .. }), "{error}");
    drop(other);
    trainer.save(&run).unwrap();
}

#[test]
#[ignore = "root can write without permission: run it as another user"]
fn a_folder_without_permission_to_write_leaves_the_checkpoint_intact() {
    let (folder, checkpoint) = saved();
    let (run, checkpoints) = (folder.path().join("run"), checkpoint.parent().unwrap());
    let trainer = Trainer::resume(&run, &device::cpu()).unwrap();
    let set_readonly = |is_readonly| {
        let mut permissions = std::fs::metadata(checkpoints).unwrap().permissions();
        permissions.set_readonly(is_readonly);
        std::fs::set_permissions(checkpoints, permissions).unwrap();
    };
    set_readonly(true);
    let result = trainer.save(&run);
    set_readonly(false);
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(checkpoints)), "{error}");
    assert_eq!(Trainer::resume(&run, &device::cpu()).unwrap().steps(), 1);
}

#[test]
fn a_file_in_the_place_of_the_folder_of_checkpoints_is_named() {
    let (folder, _) = saved();
    let trainer = Trainer::resume(folder.path().join("run"), &device::cpu()).unwrap();
    let blocked = folder.path().join("blocked");
    std::fs::create_dir(&blocked).unwrap();
    std::fs::write(blocked.join("checkpoints"), "a file where a folder should be").unwrap();
    let error = trainer.save(&blocked).unwrap_err();
    assert!(error.to_string().contains("blocked/checkpoints"), "{error}");
}

#[test]
fn other_versions_and_other_networks_are_refused() {
    let (folder, checkpoint) = saved();
    let run = folder.path().join("run");
    let mut averaged = config();
    averaged.training.ema_decay = Some(0.9);
    let mut other = averaged.clone();
    other.generator.base_channels = 5;
    let error = Trainer::resume_or_new(&run, other, &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("generator.base_channels: 4 in the run, 5 given"), "{error}");

    // A missing setting does not drop the EMA.
    let error = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("training.ema_decay: 0.9 in the run, none given (the EMA"), "{error}");

    let mut longer = averaged.clone();
    (longer.training.epochs, longer.training.clip_norm) = (30, Some(1.0));
    longer.data.target_resize_filter = Some(ResizeFilter::Nearest);
    let trainer = Trainer::resume_or_new(&run, longer, &device::cpu()).unwrap();
    assert_eq!(trainer.epochs(), 30);
    assert_eq!(
        trainer.config_changes(),
        [
            "data.target_resize_filter: none in the run, nearest given",
            "training.clip_norm: none in the run, 1.0 given",
            "training.epochs: 3 in the run, 30 given"
        ]
    );
    assert!(Trainer::resume_or_new(&run, averaged, &device::cpu()).unwrap().config_changes().is_empty());

    let manifest = checkpoint.join("manifest.txt");
    let version = || match Trainer::resume(&run, &device::cpu()).unwrap_err() {
        Error::Checkpoint { problem: CheckpointProblem::Version { found, .. }, .. } => found,
        error => panic!("{error}"),
    };
    let newer = "format 99\nall.bin 3 00000000\n";
    let sealed = format!("{newer}crc32c {:08x}\n", crc32c::crc32c(newer.as_bytes()));
    std::fs::write(&manifest, sealed).unwrap();
    assert_eq!(version(), 99);
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(checkpoint.join("state.json"), r#"{"format": 1, "epoch": 1}"#).unwrap();
    assert_eq!(version(), 1);
    let message = Trainer::resume(&run, &device::cpu()).unwrap_err().to_string();
    assert!(message.contains("format 1"), "{message}");

    let error = Trainer::resume(folder.path().join("train"), &device::cpu()).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { problem: CheckpointProblem::Missing, .. }));
    assert!(error.to_string().contains("train: no checkpoint here"), "{error}");
}

#[test]
fn weights_that_do_not_fit_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("generator.safetensors");
    let error = Translator::load(&file, &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("generator.safetensors"), "{error}");
    for bytes in [&b""[..], b"12345678", &[255; 100]] {
        std::fs::write(&file, bytes).unwrap();
        let error = Translator::load(&file, &device::cpu()).unwrap_err();
        assert!(
            matches!(error, Error::Checkpoint { .. }) && error.to_string().contains("generator.safetensors")
        );
    }

    std::fs::remove_file(&file).unwrap();
    Trainer::new(config(), &device::cpu()).unwrap().save(folder.path()).unwrap();
    edit_settings(&file, |fields| fields["generator"]["base_channels"] = 5.into());
    let error = Translator::load(&file, &device::cpu()).unwrap_err();
    assert!(matches!(&error, Error::Weights { mismatched, .. } if mismatched.len() > 10), "{error}");
    assert!(
        error.to_string().contains("of another shape: network.decoder.0.norm.bias (network [40], file [32])"),
        "{error}"
    );
}

#[test]
fn a_later_checkpoint_is_not_overwritten() {
    let (folder, checkpoint) = saved();
    let run = folder.path().join("run");
    let trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let message = trainer.save(&run).unwrap_err().to_string();
    assert!(message.contains("holds a run of 1 steps"), "{message}");
    assert!(checkpoint.is_dir());

    let mut other = config();
    other.data.direction = pix2pix::data::Direction::BToA;
    let message = Trainer::resume_or_new(&run, other, &device::cpu()).unwrap_err().to_string();
    assert!(message.contains("data.direction: a-to-b in the run, b-to-a given"), "{message}");
}

#[test]
fn translating_does_not_change_the_trainer() {
    let trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let before = output(&trainer);
    let translator = Translator::new(trainer.generator().clone(), &device::cpu()).unwrap();
    translator.translate(&image::DynamicImage::ImageRgb8(picture(32, 32, 5))).unwrap();
    assert!(output(&trainer) == before, "its running statistics changed");
}
