//! Augmentation of pairs: what both images share, and what the options change.
#![cfg(feature = "flex")]

use pix2pix::data::{Batch, DataConfig, EpochCursor, PairedFolder};
use pix2pix::{Tensor, device};

use crate::support::{crc32, write_pairs};

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Returns the inputs and the targets of an epoch.
fn epoch(pairs: &PairedFolder, epoch: EpochCursor) -> Vec<[Vec<f32>; 2]> {
    let batches = pairs.batches(epoch, &device::cpu());
    batches.map(Result::unwrap).map(|Batch { input, target }| [values(input), values(target)]).collect()
}

#[test]
fn without_options_the_batches_are_those_of_earlier_versions() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 5, 20);
    // Images of the load size are not resized, so the values are the same on every machine.
    let config = DataConfig::new().with_load_size(20).with_crop_size([16, 12]).with_batch_size(2);
    let pairs = PairedFolder::open(folder.path(), &config).unwrap();
    let all: Vec<f32> = [EpochCursor::new(1, 7), EpochCursor::new(3, 8)]
        .into_iter()
        .flat_map(|cursor| epoch(&pairs, cursor))
        .flat_map(|batch| batch.concat())
        .collect();
    let bytes: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(format!("{:#010x}", crc32(&bytes)), "0x9503eedf");
}
