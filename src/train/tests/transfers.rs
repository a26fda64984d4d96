//! Counts what a step moves to the device and back.

use burn::tensor::Tensor;

use super::config;
use crate::data::Batch;
use crate::device;
use crate::train::Trainer;
use crate::transfer::fault;

#[test]
fn a_step_uploads_its_dropout_masks_and_reads_nothing() {
    // On one thread, whose transfers are counted.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (uploads, reads, reads_of_losses) = pool.install(|| {
        let config = config().with_size(64).unwrap();
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        let image = || Tensor::<4>::ones([1, 3, 64, 64], &device::cpu());
        let batch = || Batch { input: image(), target: image() };
        trainer.step(batch());
        fault::plan(None);
        let losses = trainer.step(batch());
        let (uploads, reads) = (fault::uploads(), fault::reads());
        losses.read().unwrap();
        (uploads, reads, fault::reads() - reads)
    });
    // Three layers of the U-Net have dropout; one forward pass serves both updates.
    assert_eq!((uploads, reads, reads_of_losses), (3, 0, 1));
}
