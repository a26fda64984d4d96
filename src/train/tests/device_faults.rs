//! Trains, evaluates and saves on a device that fails to return values, at each read in turn.

use burn::tensor::Tensor;

use super::{config, fit, folder, outcome, pairs};
use crate::data::{Batch, to_images};
use crate::device;
use crate::error::Error;
use crate::metrics::{LabHistogram, Palette};
use crate::train::Trainer;
use crate::transfer::fault::{self, Fault};

/// Does `work` while reads fail as planned. Returns the number of reads, and the result.
fn attempt<R>(plan: Option<Fault>, work: impl FnOnce() -> R) -> (usize, R) {
    fault::plan(plan);
    let done = work();
    let reads = fault::reads();
    fault::plan(None);
    (reads, done)
}

/// Asserts that the error is that of the device, with its remedy.
fn assert_is_clear(error: &Error, context: &str) {
    assert!(matches!(error, Error::Device { .. }), "{context}: {error:?}");
    let message = error.to_string();
    assert!(message.contains("the GPU was lost") && message.contains("--resume"), "{context}: {message}");
}

/// Asserts that `work` returns the device's error, whichever of its reads fails.
fn assert_fails_at_each_read<R>(mut work: impl FnMut() -> Result<R, Error>) {
    let (reads, done) = attempt(None, &mut work);
    assert!(reads > 0 && done.is_ok());
    for read in 0..reads {
        let error = attempt(Some(Fault::Once(read)), &mut work).1.err().expect("the error is lost");
        assert_is_clear(&error, &format!("read {read} of {reads}"));
    }
}

#[test]
fn a_run_whose_device_fails_at_any_read_ends_like_one_that_does_not_fail() {
    let folder = folder();
    let pairs = pairs(folder.path());
    let mut config = config();
    (config.training.epochs, config.training.save_steps) = (1, 5);
    let new = || Trainer::new(config.clone(), &device::cpu()).unwrap();
    let whole = folder.path().join("whole");
    let (reads, done) = attempt(None, || fit(&mut new(), &pairs, &whole));
    done.unwrap();
    let expected = outcome(&whole, 10);
    // Losses, metrics, samples and all weights.
    assert!(reads > 100, "{reads}");

    for read in 0..reads {
        let is_lost = !read.is_multiple_of(2);
        let fault = if is_lost { Fault::From(read) } else { Fault::Once(read) };
        let (context, run) = (format!("{fault:?} of {reads}"), folder.path().join("run"));
        let mut trainer = new();
        // A lost device is neither ignored nor taken for a divergence, and does not panic.
        let error = attempt(Some(fault), || fit(&mut trainer, &pairs, &run)).1.unwrap_err();
        assert_is_clear(&error, &context);

        let mut resumed = Trainer::resume_or_new(&run, config.clone(), &device::cpu()).unwrap();
        assert_eq!(resumed.skipped_checkpoints().count(), 0, "{context}");
        if is_lost {
            // The newest checkpoint before the failure.
            assert!([0, 5, 10].contains(&resumed.steps()), "{context}: {}", resumed.steps());
            assert!(resumed.steps() + 5 >= trainer.steps(), "{context}: {}", resumed.steps());
        } else {
            // A device that works again returns the weights of the step at which it failed.
            assert_eq!(resumed.steps(), trainer.steps(), "{context}");
        }
        fit(&mut resumed, &pairs, &run).unwrap();
        for (found, expected) in outcome(&run, 10).iter().zip(&expected) {
            assert!(found == expected, "{context}: {:?} {:?}", found.0, expected.0);
        }
        assert_eq!(outcome(&run, 10).len(), expected.len());
        std::fs::remove_dir_all(run).unwrap();
    }
}

#[test]
fn functions_that_read_return_the_error_of_the_device() {
    let folder = folder();
    let pairs = pairs(folder.path());
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let Batch { input, target } = pairs.sequential(&device::cpu()).next().unwrap().unwrap();
    let losses = trainer.step(Batch { input: input.clone(), target });
    assert_fails_at_each_read(|| losses.read());
    assert_fails_at_each_read(|| trainer.evaluate(&pairs));
    assert_fails_at_each_read(|| trainer.sample_grid(&pairs, 2));
    assert_fails_at_each_read(|| to_images(input.clone()));
    let palette = Palette::new([vec![[0, 0, 0]], vec![[255, 255, 255]]]);
    assert_fails_at_each_read(|| palette.classify(input.clone()));
    assert_fails_at_each_read(|| palette.classify_squares(input.clone(), 2));
    assert_fails_at_each_read(|| trainer.save(folder.path().join("run")));
}

#[test]
fn a_read_that_failed_adds_nothing_to_a_histogram() {
    let mut histogram = LabHistogram::new();
    let image = Tensor::<4>::zeros([1, 3, 8, 8], &device::cpu());
    assert_fails_at_each_read(|| histogram.clone().add(image.clone()));
    attempt(Some(Fault::Once(0)), || histogram.add(image.clone())).1.unwrap_err();
    assert!(histogram.intersection(&histogram).iter().all(|overlap| overlap.is_nan()));
}
