//! Saves and trains on a disk that is full, fails, or writes half of the bytes, at each call in turn.

use std::path::Path;

use super::{config, fit, folder, outcome, pairs};
use crate::device;
use crate::error::Error;
use crate::files::fault::{self, Fault};
use crate::train::Trainer;

/// `Lost` is detected only in files that are written whole.
const FAULTS: [Fault; 4] = [Fault::Full, Fault::Broken, Fault::Short, Fault::Lost];

/// Asserts that the error names a file of the run and a remedy.
fn assert_is_clear(error: &Error, run: &Path, fault: Fault) {
    let error = match error {
        // The disk that failed is the one that the run is saved on.
        Error::Unsaved { cause, rescue } => {
            assert!(matches!(**rescue, Error::Io { .. }), "{rescue:?}");
            cause
        }
        error => error,
    };
    let Error::Io { path, .. } = error else { panic!("{error:?}") };
    let message = error.to_string();
    assert!(path.starts_with(run), "{message}");
    let remedy = match fault {
        Fault::Full => "free some space and resume",
        Fault::Broken => "the disk may be failing",
        _ => "the disk kept",
    };
    assert!(message.contains(remedy), "{fault:?}: {message}");
}

#[test]
fn a_save_that_fails_at_any_call_leaves_the_checkpoint_before() {
    let folder = folder();
    let pairs = pairs(folder.path());
    let run = folder.path().join("run");
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    trainer.save(&run).unwrap();
    let mut saved = trainer.steps();
    let batch = pairs.sequential(&device::cpu()).next().unwrap().unwrap();
    // A new checkpoint, and one that replaces a checkpoint of the same step.
    for is_new in [true, false] {
        let (mut failed, mut survived, mut call) = (0, 0, 0);
        loop {
            let mut calls = 0;
            for fault in FAULTS {
                if is_new {
                    trainer.step(batch.clone());
                }
                fault::plan(Some((call, fault)));
                let result = trainer.save(&run);
                calls = fault::calls();
                fault::plan(None);
                let context = format!("call {call} of {calls}, {fault:?}, new: {is_new}");
                let found = Trainer::resume(&run, &device::cpu()).unwrap();
                assert_eq!(found.skipped_checkpoints().count(), 0, "{context}");
                if let Err(error) = result {
                    failed += 1;
                    assert_is_clear(&error, &run, fault);
                    // The new checkpoint may have its name already, but it is complete then.
                    assert!([saved, trainer.steps()].contains(&found.steps()), "{context}");
                    assert!(fault != Fault::Short, "half at a time is not a failure; {context}");
                } else {
                    survived += 1;
                    assert!(found.steps() == trainer.steps(), "{context}");
                    // Only writes can be short or lost.
                    assert!(call >= calls || matches!(fault, Fault::Short | Fault::Lost), "{context}");
                }
                saved = found.steps();
            }
            if call >= calls {
                break;
            }
            call += 1;
        }
        assert!(call > 25 && failed > 2 * call && survived > call, "{call} {failed} {survived}");
    }
}

#[test]
fn a_run_that_fails_at_any_call_ends_like_one_that_does_not_fail() {
    let folder = folder();
    let pairs = pairs(folder.path());
    let whole = folder.path().join("whole");
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    fault::plan(None);
    fit(&mut trainer, &pairs, &whole).unwrap();
    let (calls, expected) = (fault::calls(), outcome(&whole, 20));

    let mut failed = 0;
    for call in 0..calls {
        // Without `Lost`: a lost line of the log is not detected.
        let fault = FAULTS[call % 3];
        let run = folder.path().join(format!("run-{call}"));
        let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
        fault::plan(Some((call, fault)));
        let result = fit(&mut trainer, &pairs, &run);
        fault::plan(None);
        if let Err(error) = result {
            failed += 1;
            assert_is_clear(&error, &run, fault);
        }
        let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
        fit(&mut trainer, &pairs, &run).unwrap();
        for (found, expected) in outcome(&run, 20).iter().zip(&expected) {
            assert!(found == expected, "call {call}, {fault:?}: {:?} {:?}", found.0, expected.0);
        }
        assert_eq!(outcome(&run, 20).len(), expected.len());
        std::fs::remove_dir_all(run).unwrap();
    }
    assert!(calls > 100 && failed > calls / 2, "{failed} of {calls}");
}

#[test]
fn save_refuses_weights_that_are_nan_or_infinite() {
    let folder = folder();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let mut diverging = config();
    diverging.training.learning_rate = 1e38;
    let mut trainer = Trainer::new(diverging, &device::cpu()).unwrap();
    trainer.save(&run).unwrap();
    pairs.sequential(&device::cpu()).take(3).for_each(|batch| drop(trainer.step(batch.unwrap())));
    let error = trainer.save(&run).unwrap_err();
    assert!(matches!(error, Error::Diverged { step: 3, .. }), "{error}");
    assert!(error.to_string().contains("step-000000000"), "{error}");
    assert_eq!(Trainer::resume(&run, &device::cpu()).unwrap().steps(), 0);
}

#[test]
fn the_estimated_bytes_of_a_save_are_those_of_a_first_best_checkpoint() {
    let folder = folder();
    let (pairs, run) = (pairs(folder.path()), folder.path().join("run"));
    let mut config = config();
    (config.generator.base_channels, config.discriminator.base_channels) = (16, 16);
    config.training.epochs = 1;
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let estimate = trainer.snapshot(None).bytes();
    fit(&mut trainer, &pairs, &run).unwrap();
    assert_eq!(trainer.best_step(), Some(10));
    let checkpoint = std::fs::read_dir(run.join("checkpoints/step-000000010")).unwrap();
    let weights = ["generator.safetensors", "generator-best.safetensors"].map(|name| run.join(name));
    let files = checkpoint.map(|entry| entry.unwrap().path()).chain(weights);
    let written: u64 = files.map(|path| path.metadata().unwrap().len()).sum();
    // The rest is names, shapes and settings.
    let ratio = written as f64 / estimate as f64;
    assert!((0.95..1.1).contains(&ratio), "{written} bytes were written, and {estimate} estimated");
}
