//! Trains and evaluates on a device that fails to return values, at each read in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Tensor;

use super::{config, fit, folder, pairs};
use crate::data::to_images;
use crate::device;
use crate::error::Result;
use crate::metrics::LabHistogram;
use crate::train::Trainer;
use crate::transfer::fault;

/// Does `work` while the device fails at the read `plan`. Returns the number of reads, and the result or the message of
/// the panic.
fn attempt<R>(plan: Option<usize>, work: impl FnOnce() -> R) -> (usize, std::result::Result<R, String>) {
    fault::plan(plan);
    let done = catch_unwind(AssertUnwindSafe(work));
    let reads = fault::reads();
    fault::plan(None);
    (reads, done.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default()))
}

#[test]
fn a_device_that_fails_at_any_read_stops_the_run_with_its_error() {
    let folder = folder();
    let pairs = pairs(folder.path());
    let train = |name: &str| -> Result<()> {
        let mut config = config();
        config.training.epochs = 1;
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        fit(&mut trainer, &pairs, &folder.path().join(name))
    };
    let (reads, whole) = attempt(None, || train("whole"));
    whole.unwrap().unwrap();
    // Losses, metrics, samples and all weights.
    assert!(reads > 50, "{reads}");
    for read in 0..reads {
        // A lost device is neither ignored nor taken for a divergence.
        let name = format!("run-{read}");
        let message = attempt(Some(read), || train(&name)).1.unwrap_err();
        assert!(message.contains("the GPU was lost"), "read {read} of {reads}: {message}");
        std::fs::remove_dir_all(folder.path().join(name)).unwrap();
    }
}

#[test]
fn a_device_that_fails_leaves_no_empty_histogram_or_image() {
    let image = || Tensor::<4>::zeros([1, 3, 8, 8], &device::cpu());
    let (_, histogram) = attempt(Some(0), || LabHistogram::new().add(image()));
    let (_, images) = attempt(Some(0), || drop(to_images(image())));
    for failed in [histogram, images] {
        assert!(failed.unwrap_err().contains("the GPU was lost"));
    }
}
