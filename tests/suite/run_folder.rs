//! Run folders that change while nobody looks, or that hold something else than a run expects.
#![cfg(feature = "flex")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::support::{names, small_config, write_pairs};
use pix2pix::data::PairedFolder;
use pix2pix::error::CheckpointProblem;
use pix2pix::{Checkpoint, Error, Event, Pix2PixConfig, Result, Trainer, Translator, device};

fn config() -> Pix2PixConfig {
    let mut config = small_config();
    config.generator.base_channels = 2;
    config.discriminator.base_channels = 2;
    (config.training.epochs, config.training.save_every) = (3, 1);
    config
}

fn pairs(folder: &Path) -> PairedFolder {
    write_pairs(&folder.join("train"), 4, 32);
    PairedFolder::open(folder.join("train"), &config().data).unwrap()
}

/// Trains for `steps`, or to the end, and calls `meanwhile` before the first step. Returns the warnings.
fn train(
    trainer: &mut Trainer,
    pairs: &PairedFolder,
    run: &Path,
    steps: u64,
    meanwhile: impl FnOnce(),
) -> Result<Vec<String>> {
    let (mut warnings, mut meanwhile, mut done) = (vec![], Some(meanwhile), 0);
    trainer.fit(pairs, None, run, |event| {
        match event {
            Event::Warning(warning) => warnings.push(warning.to_owned()),
            Event::Step { .. } => {
                done += 1;
                if let Some(change) = meanwhile.take() {
                    change();
                }
            }
            _ => {}
        }
        if done == steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(warnings)
}

/// A finished run of three epochs of four steps, in `run` of the folder.
fn finished() -> (tempfile::TempDir, PairedFolder, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    train(&mut Trainer::new(config(), &device::cpu()).unwrap(), &pairs, &run, u64::MAX, || ()).unwrap();
    (folder, pairs, run)
}

fn resumed(run: &Path) -> Trainer {
    Trainer::resume(run, &device::cpu()).unwrap()
}

#[test]
fn the_batch_size_changes_between_epochs_and_not_within_one() {
    let (folder, pairs, run) = finished();
    let mut larger = config();
    (larger.data.batch_size, larger.training.epochs) = (2, 4);
    let mut trainer = Trainer::resume_or_new(&run, larger.clone(), &device::cpu()).unwrap();
    assert_eq!(
        trainer.config_changes(),
        ["data.batch_size: 1 in the run, 2 given", "training.epochs: 3 in the run, 4 given"]
    );
    train(&mut trainer, &pairs.with_config(&larger.data).unwrap(), &run, u64::MAX, || ()).unwrap();
    assert_eq!(trainer.steps(), 12 + 2);

    let (other, pairs) =
        (folder.path().join("other"), PairedFolder::open(folder.path().join("train"), &config().data));
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs.unwrap(), &other, 6, || ()).unwrap();
    let error = Trainer::resume_or_new(&other, larger, &device::cpu()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("data.batch_size: 1 in the run, 2 given (the position within the epoch"),
        "{message}"
    );
}

#[test]
fn every_checkpoint_is_opened_by_its_name() {
    let (_folder, pairs, run) = finished();
    let mut longer = config();
    (longer.training.epochs, longer.training.keep) = (4, 9);
    let mut trainer = Trainer::resume_or_new(&run, longer, &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, u64::MAX, || ()).unwrap();
    let open = |name: &str| Checkpoint::open(&run, name);
    for (name, step) in [("latest", 16), ("step-8", 8), ("step-000000012", 12)] {
        assert_eq!(open(name).unwrap().step(), step);
    }
    let device = device::cpu();
    let state = |generator| pix2pix::pytorch::generator_state(generator).unwrap();
    let latest = Translator::from_checkpoint(&open("latest").unwrap(), &device).unwrap();
    let exported = Translator::load(&run, &device).unwrap();
    assert!(state(latest.generator()) == state(exported.generator()));
    assert!(state(&open("step-8").unwrap().generator(&device).unwrap()) != state(exported.generator()));
    for name in ["best", "step-9", "newest", "step-x", ""] {
        let message = open(name).unwrap_err().to_string();
        assert!(message.contains("which has latest, step-8, step-12, step-16"), "{message}");
    }
    std::fs::write(run.join("checkpoints/step-000000008/generator.bpk"), "damaged").unwrap();
    let message = open("step-8").unwrap_err().to_string();
    assert!(message.contains("step-000000008/generator.bpk: damaged"), "{message}");
    std::fs::remove_file(run.join("checkpoints/step-000000016/state.json")).unwrap();
    let latest = open("latest").unwrap();
    let skipped: Vec<String> = latest.skipped().map(ToString::to_string).collect();
    assert!(latest.step() == 12 && skipped.len() == 1, "{skipped:?}");
    assert!(skipped[0].contains("step-000000016/state.json"), "{skipped:?}");
    assert!(matches!(
        Checkpoint::open(run.join("samples"), "latest").unwrap_err(),
        Error::Checkpoint { problem: CheckpointProblem::Missing, .. }
    ));
}

#[test]
fn a_missing_or_damaged_run_id_is_written_anew_and_no_checkpoint_is_called_damaged() {
    let (_folder, pairs, run) = finished();
    let id = std::fs::read(run.join(".run")).unwrap();
    for damaged in [Some(&b""[..]), Some(b"\xff\xfe"), Some(b"not an id"), None] {
        match damaged {
            Some(bytes) => std::fs::write(run.join(".run"), bytes).unwrap(),
            None => std::fs::remove_file(run.join(".run")).unwrap(),
        }
        let mut trainer = resumed(&run);
        assert_eq!((trainer.steps(), trainer.skipped_checkpoints().count()), (12, 0));
        let warnings = train(&mut trainer, &pairs, &run, u64::MAX, || ()).unwrap();
        assert!(
            warnings.len() == 1 && warnings[0].contains("run/.run: it was missing or damaged"),
            "{warnings:?}"
        );
        assert_eq!(std::fs::read(run.join(".run")).unwrap(), id);
    }
    std::fs::write(run.join(".run"), "00000000\n").unwrap();
    let message = Trainer::resume(&run, &device::cpu()).unwrap_err().to_string();
    assert!(
        message.contains("the file .run names the run 00000000") && message.contains("remove .run"),
        "{message}"
    );
    assert!(!message.contains("damaged"), "{message}");
}

#[test]
fn missing_and_damaged_exports_of_a_finished_run_are_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    trainer.fit(&pairs, Some(&pairs), &run, |_| ControlFlow::Continue(())).unwrap();
    assert!(trainer.best_step().is_some());
    let files = ["generator.safetensors", "generator-best.safetensors"].map(|name| run.join(name));
    let whole = files.clone().map(|file| std::fs::read(file).unwrap());
    let damages: [fn(&Path, &[u8]); 3] = [
        |file, whole| std::fs::write(file, &whole[..whole.len() - 1]).unwrap(),
        |file, _| std::fs::write(file, "damaged").unwrap(),
        |file, _| std::fs::remove_file(file).unwrap(),
    ];
    for damage in damages {
        files.iter().zip(&whole).for_each(|(file, whole)| damage(file, whole));
        let warnings = train(&mut resumed(&run), &pairs, &run, u64::MAX, || ()).unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        for (warning, name) in warnings.iter().zip(["generator.safetensors", "generator-best.safetensors"]) {
            assert!(warning.contains(name) && warning.contains("written anew"), "{warning}");
        }
        assert!(files.clone().map(|file| std::fs::read(file).unwrap()) == whole);
    }
    assert!(train(&mut resumed(&run), &pairs, &run, u64::MAX, || ()).unwrap().is_empty());
}

#[test]
fn a_replaced_checkpoint_that_was_not_removed_is_removed_and_does_not_count() {
    let (_folder, pairs, run) = finished();
    let checkpoints = run.join("checkpoints");
    let [newest, replaced] = ["step-000000012", "step-000000012-replaced"].map(|name| checkpoints.join(name));
    let copy = || {
        std::fs::create_dir(&replaced).unwrap();
        for name in names(&newest) {
            std::fs::copy(newest.join(&name), replaced.join(&name)).unwrap();
        }
    };
    copy();
    train(&mut resumed(&run), &pairs, &run, u64::MAX, || ()).unwrap();
    assert_eq!(names(&checkpoints), ["step-000000008", "step-000000012"]);
    // The replaced one is kept while the newer one is damaged, which resuming renames.
    copy();
    std::fs::write(newest.join("generator.bpk"), "damaged").unwrap();
    let mut trainer = resumed(&run);
    assert_eq!(trainer.steps(), 12);
    train(&mut trainer, &pairs, &run, u64::MAX, || ()).unwrap();
    assert_eq!(names(&checkpoints), ["damaged-step-000000012", "step-000000008", "step-000000012-replaced"]);
}

#[test]
fn checkpoints_that_cannot_be_looked_at_do_not_start_a_new_run() {
    let (folder, pairs, run) = finished();
    let metrics = || std::fs::read(run.join("metrics.jsonl")).unwrap();
    let (before, checkpoints) = (metrics(), run.join("checkpoints"));
    std::fs::rename(&checkpoints, folder.path().join("aside")).unwrap();
    let refused = || {
        for error in [
            Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap_err(),
            Trainer::new(config(), &device::cpu())
                .unwrap()
                .fit(&pairs, None, &run, |_| ControlFlow::Continue(()))
                .unwrap_err(),
        ] {
            assert!(error.to_string().contains("run/checkpoints: "), "{error}");
        }
        assert!(metrics() == before);
    };
    std::fs::write(&checkpoints, "a file").unwrap();
    refused();
    std::fs::remove_file(&checkpoints).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("not mounted"), &checkpoints).unwrap();
        refused();
        // A link that leads to the checkpoints is followed.
        std::fs::rename(folder.path().join("aside"), folder.path().join("not mounted")).unwrap();
        assert_eq!(resumed(&run).steps(), 12);
    }
}

#[test]
fn a_folder_with_files_that_a_run_would_replace_is_refused() {
    for name in [
        "metrics.jsonl",
        "index.html",
        "config.json",
        "generator.safetensors",
        "generator-best.safetensors",
        "samples/epoch-0007.png",
        "tensorboard/events.out.tfevents.0.pix2pix",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
        let file = run.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "somebody's").unwrap();
        let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
        let error = train(&mut trainer, &pairs, &run, u64::MAX, || ()).unwrap_err();
        let first = name.split('/').next().unwrap();
        assert!(
            error.to_string().contains(&format!("results without checkpoints are here ({first})")),
            "{error}"
        );
        assert_eq!(std::fs::read(&file).unwrap(), b"somebody's");
    }
}

#[test]
#[cfg(unix)]
fn no_sample_is_written_or_removed_through_a_link() {
    let (folder, pairs, run) = finished();
    for name in ["samples", "tensorboard"] {
        let elsewhere = folder.path().join(format!("{name} elsewhere"));
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("epoch-9999.png"), "somebody's").unwrap();
        let _ = std::fs::remove_dir_all(run.join(name));
        std::os::unix::fs::symlink(&elsewhere, run.join(name)).unwrap();
        let mut config = config();
        (config.training.epochs, config.training.tensorboard) = (4, true);
        let mut trainer = Trainer::resume_or_new(&run, config, &device::cpu()).unwrap();
        let error = train(&mut trainer, &pairs, &run, u64::MAX, || ()).unwrap_err();
        assert!(error.to_string().contains(&format!("run/{name}: this is a link")), "{error}");
        assert_eq!(names(&elsewhere), ["epoch-9999.png"]);
        std::fs::remove_file(run.join(name)).unwrap();
    }
}

#[test]
fn a_deleted_lock_is_created_again_and_a_replaced_one_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let lock = run.join(".lock");
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, u64::MAX, || std::fs::remove_file(&lock).unwrap()).unwrap();
    assert!(lock.is_file());
    assert_eq!(resumed(&run).steps(), 12);

    // Another run takes the folder after its lock was deleted.
    let mut longer = config();
    longer.training.epochs = 9;
    let mut trainer = Trainer::resume_or_new(&run, longer, &device::cpu()).unwrap();
    let mut others = None;
    let error = train(&mut trainer, &pairs, &run, u64::MAX, || {
        std::fs::remove_file(&lock).unwrap();
        others = Some(std::fs::File::create(&lock).unwrap());
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Checkpoint { problem: CheckpointProblem::LockLost, .. }), "{error}");
    assert_eq!(resumed(&run).steps(), 12, "nothing was saved");
}

#[test]
#[cfg(unix)]
fn a_renamed_folder_stops_the_run_and_nothing_is_written_under_the_old_name() {
    let folder = tempfile::tempdir().unwrap();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &run, 4, || ()).unwrap();
    let moved = folder.path().join("moved");
    let error =
        train(&mut trainer, &pairs, &run, u64::MAX, || std::fs::rename(&run, &moved).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { problem: CheckpointProblem::Moved, .. }), "{error}");
    assert!(error.to_string().contains("run: this folder was renamed"), "{error}");
    assert!(!run.exists());
    let mut trainer = resumed(&moved);
    assert_eq!(trainer.steps(), 4);
    train(&mut trainer, &pairs, &moved, u64::MAX, || ()).unwrap();
    assert_eq!(trainer.steps(), 12);
}

#[test]
#[cfg(unix)]
fn a_lock_that_is_not_a_file_is_named() {
    let (_folder, pairs, run) = finished();
    let lock = run.join(".lock");
    std::fs::remove_file(&lock).unwrap();
    let refused = || {
        let error = train(&mut resumed(&run), &pairs, &run, u64::MAX, || ()).unwrap_err();
        assert!(error.to_string().contains("run/.lock: this is not a regular file"), "{error}");
    };
    std::fs::create_dir(&lock).unwrap();
    refused();
    std::fs::remove_dir(&lock).unwrap();
    std::os::unix::fs::symlink("elsewhere", &lock).unwrap();
    refused();
    std::fs::remove_file(&lock).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    refused();
}
