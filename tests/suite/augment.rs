//! Augmentation of pairs: what both images share, and what the options change.
#![cfg(feature = "flex")]

use std::path::Path;

use image::{DynamicImage, GrayImage, Luma, RgbImage, imageops};
use pix2pix::data::{
    Batch, DataConfig, EpochCursor, LabelKind, Labels, PairedFolder, Preprocess, ResizeFilter,
};
use pix2pix::{Tensor, device};

use crate::support::{crc32, picture, write_pairs};

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

fn augmented() -> DataConfig {
    let config = DataConfig::new().with_load_size(20).with_crop_size(16).with_rotate90(true);
    config.with_scale_range([0.6, 1.5]).with_warp(0.06)
}

/// Writes `count` pairs of `height`×`width` pixels whose halves are equal.
fn write_twins(folder: &Path, count: u8, [height, width]: [u32; 2]) {
    for index in 0..count {
        let half = picture(width, height, index);
        let mut both = RgbImage::new(2 * width, height);
        imageops::replace(&mut both, &half, 0, 0);
        imageops::replace(&mut both, &half, i64::from(width), 0);
        both.save(folder.join(format!("{index}.png"))).unwrap();
    }
}

#[test]
fn both_images_get_the_same_changes_with_values_in_range() {
    let folder = tempfile::tempdir().unwrap();
    write_twins(folder.path(), 6, [24, 30]);
    let configs = [
        augmented(),
        augmented().with_resize_filter(ResizeFilter::Bicubic),
        augmented().with_resize_filter(ResizeFilter::Nearest),
        augmented().with_load_size([20, 40]).with_crop_size([12, 32]),
        augmented().with_preprocess(Preprocess::Crop),
        augmented().with_preprocess(Preprocess::ScaleWidth),
        augmented().with_preprocess(Preprocess::None).with_batch_size(2),
    ];
    for config in configs {
        let pairs = PairedFolder::open(folder.path(), &config).unwrap();
        let batches = epoch(&pairs, EpochCursor::new(1, 0));
        assert!(batches.iter().any(|[input, _]| input.iter().any(|value| *value != input[0])));
        for [input, target] in batches {
            let size = match config.preprocess {
                Preprocess::None => 2 * 24 * 30,
                _ => config.crop_size.height * config.crop_size.width,
            };
            assert_eq!(input.len(), 3 * size, "{config:?}");
            assert!(input == target, "{config:?}");
            assert!(input.iter().all(|value| (-1.0..=1.0).contains(value)));
        }
    }
}

#[test]
fn augmentation_is_a_function_of_seed_epoch_and_pair_whatever_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    write_twins(folder.path(), 9, [24, 24]);
    let open = |workers| PairedFolder::open(folder.path(), &augmented().with_workers(workers)).unwrap();
    let reference = epoch(&open(0), EpochCursor::new(2, 5));
    for workers in [1, 3, 7] {
        assert!(epoch(&open(workers), EpochCursor::new(2, 5)) == reference, "{workers} workers");
    }
    assert!(epoch(&open(2), EpochCursor::new(2, 5).at_batch(4)) == reference[4..]);
    assert!(epoch(&open(2), EpochCursor::new(3, 5)) != reference);
    assert!(epoch(&open(2), EpochCursor::new(2, 6)) != reference);
}

#[test]
fn rotations_alone_permute_the_pixels() {
    let folder = tempfile::tempdir().unwrap();
    write_twins(folder.path(), 12, [16, 16]);
    let config = DataConfig::new().with_load_size(16).with_crop_size(16).with_mirror(false);
    let batches = |rotate| {
        let pairs = PairedFolder::open(folder.path(), &config.clone().with_rotate90(rotate)).unwrap();
        epoch(&pairs, EpochCursor::new(1, 0))
    };
    let sorted = |mut values: Vec<f32>| {
        values.sort_by(f32::total_cmp);
        values
    };
    let (plain, turned) = (batches(false), batches(true));
    let changed = plain.iter().zip(&turned).filter(|(plain, turned)| plain != turned).count();
    assert!((4..12).contains(&changed), "{changed} of 12 are turned");
    for ([plain, _], [turned, _]) in plain.into_iter().zip(turned) {
        assert_eq!(sorted(plain), sorted(turned));
    }
}

#[test]
fn classes_of_label_maps_are_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let ids = GrayImage::from_fn(20, 20, |x, y| Luma([((x / 5 + y / 4) % 3) as u8]));
    let mut both = RgbImage::new(40, 20);
    imageops::replace(&mut both, &DynamicImage::from(ids).to_rgb8(), 0, 0);
    imageops::replace(&mut both, &picture(20, 20, 1), 20, 0);
    for index in 0..8 {
        both.save(folder.path().join(format!("{index}.png"))).unwrap();
    }
    let labels = Labels::ids(3).unwrap();
    assert_eq!(labels.kind, LabelKind::Ids);
    let mut config = augmented().with_input_channels(3);
    config.labels = Some(labels);
    // At its own size, a map is one-hot. Where it is scaled, channels are fractions that add up to 1.
    for scale_range in [None, config.scale_range] {
        config.scale_range = scale_range;
        let pairs = PairedFolder::open(folder.path(), &config).unwrap();
        for [input, _] in epoch(&pairs, EpochCursor::new(1, 0)) {
            for at in 0..256 {
                let channels = [0, 1, 2].map(|class| (input[class * 256 + at] + 1.0) / 2.0);
                assert!((channels.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{channels:?}");
                if scale_range.is_none() {
                    assert!(channels.iter().all(|value| *value == 0.0 || *value == 1.0), "{channels:?}");
                }
            }
        }
    }
}
