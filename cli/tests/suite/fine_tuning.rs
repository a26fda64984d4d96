//! `train --from` takes the same steps as the PyTorch original, from the same weights on the same pairs.
//! `tests/golden/fine_tuning.py` has computed what the original's algorithm does.

use std::collections::BTreeMap;
use std::path::Path;

use image::{DynamicImage, GrayImage, RgbImage};
use pix2pix::pytorch::{self, StateDict};
use pix2pix::{Trainer, device};
use serde_json::json;

use crate::program::succeeds;

const SIZE: u32 = 32;
/// The largest difference from a change that PyTorch computed, relative to the mean absolute change of the tensor.
const TOLERANCE: f32 = 2e-3;

#[derive(serde::Deserialize)]
struct Case {
    discriminator: Channels,
    flags: Vec<String>,
    gan: String,
    l1_weight: f64,
    lr: f64,
    beta1: f64,
    batch: u32,
    direction: String,
    g: BTreeMap<String, Vec<usize>>,
    d: BTreeMap<String, Vec<usize>>,
    changed_g: BTreeMap<String, Vec<f32>>,
    changed_d: BTreeMap<String, Vec<f32>>,
}

#[derive(serde::Deserialize)]
struct Channels {
    input_channels: usize,
    output_channels: usize,
}

/// Returns `count` values of tensor `number` in [-1, 1), as `make.py` draws them, by splitmix64.
fn hashed(number: u64, count: usize) -> impl Iterator<Item = f32> {
    (0..count as u64).map(move |index| {
        let x = (number << 32 | index).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) >> 40) as f32 / (1 << 24) as f32 * 2.0 - 1.0
    })
}

/// Returns the initial weights of a network, as `fine_tuning.py` draws them.
fn weights(shapes: &BTreeMap<String, Vec<usize>>, first: u64) -> StateDict {
    let tensor = |(number, (name, shape)): (u64, (&String, &Vec<usize>))| {
        let drawn = hashed(number, shape.iter().product());
        let values: Vec<f32> = if name.contains("running") {
            drawn.map(|_| if name.contains("mean") { 0.0 } else { 1.0 }).collect()
        } else if let [_, _, _, side] = shape.as_slice() {
            drawn.map(|value| value * (1.4 / *side as f64) as f32).collect()
        } else if name.ends_with("weight") {
            drawn.map(|value| value * 0.3 + 1.0).collect()
        } else {
            drawn.map(|value| value * 0.2).collect()
        };
        (name.clone(), (shape.clone(), values))
    };
    (first..).zip(shapes).map(tensor).collect()
}

/// Writes the images of one side.
fn write_images(folder: &Path, first: u64, channels: usize, batch: u32) {
    std::fs::create_dir_all(folder).unwrap();
    let pixels = (SIZE * SIZE) as usize * channels;
    let bytes: Vec<u8> = hashed(first, pixels * batch as usize).map(|v| ((v + 1.0) * 128.0) as u8).collect();
    for (index, bytes) in bytes.chunks(pixels).enumerate() {
        let image: DynamicImage = match channels {
            1 => GrayImage::from_raw(SIZE, SIZE, bytes.to_vec()).unwrap().into(),
            _ => RgbImage::from_raw(SIZE, SIZE, bytes.to_vec()).unwrap().into(),
        };
        image.save(folder.join(format!("{index}.png"))).unwrap();
    }
}

/// Returns the digest of a tensor, as `make.py` computes it.
fn digest(values: &[f32]) -> Vec<f32> {
    let count = values.len();
    let mean = |value: fn(f32) -> f64| (values.iter().map(|v| value(*v)).sum::<f64>() / count as f64) as f32;
    let samples = count.min(6);
    let sample = |i: usize| if samples == 1 { values[0] } else { values[i * (count - 1) / (samples - 1)] };
    let mut row = vec![mean(f64::from), mean(|v| f64::from(v).abs())];
    row.extend((0..samples).map(sample));
    row.resize(8, 0.0);
    row
}

/// Compares the changes of a network with those that PyTorch computed.
fn compare(name: &str, start: &StateDict, end: &StateDict, expected: &BTreeMap<String, Vec<f32>>) -> f32 {
    let mut worst = 0_f32;
    // Without dropout, the original's ResNet has other names.
    let is_shifted = name == "resnet_of_dropout";
    let shift = |key: &str| key.replace("block.6", "block.5").replace("block.7", "block.6");
    let named = |key: &str| if is_shifted { shift(key) } else { key.to_owned() };
    assert!(end.keys().cloned().eq(expected.keys().map(|key| named(key))), "{name}");
    for (key, row) in expected.iter().filter(|(_, row)| row[1] != 0.0) {
        let end = &end[&named(key)];
        let change: Vec<f32> = end.1.iter().zip(&start[key].1).map(|(new, old)| new - old).collect();
        let found = digest(&change);
        let differs = found.iter().zip(row).map(|(a, b)| (a - b).abs() / row[1]).fold(0.0, f32::max);
        assert!(differs <= TOLERANCE, "{name} {key}: {differs:e}\n{found:?}\n{row:?}");
        worst = worst.max(differs);
    }
    worst
}

#[test]
fn fine_tuning_takes_the_steps_of_the_original() {
    let cases: BTreeMap<String, Case> =
        serde_json::from_str(include_str!("../../../tests/golden/fine_tuning.json")).unwrap();
    assert_eq!(cases.len(), 12);
    for (name, case) in &cases {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let (g, d) = (weights(&case.g, 0), weights(&case.d, 1000));
        pytorch::save(&g, here.join("G.safetensors")).unwrap();
        pytorch::save(&d, here.join("D.safetensors")).unwrap();
        let Channels { input_channels, output_channels } = case.discriminator;
        let sides = if case.direction == "a-to-b" { ["A", "B"] } else { ["B", "A"] };
        write_images(&here.join("pairs").join(sides[0]), 2000, input_channels, case.batch);
        write_images(&here.join("pairs").join(sides[1]), 2001, output_channels, case.batch);
        let config = json!({
            "data": { "input_channels": input_channels, "target_channels": output_channels },
            "generator": { "input_channels": input_channels, "output_channels": output_channels },
            "discriminator": { "input_channels": input_channels, "output_channels": output_channels },
        });
        std::fs::write(here.join("c.json"), config.to_string()).unwrap();
        let [l1_weight, lr, beta1] = [case.l1_weight, case.lr, case.beta1].map(|value| value.to_string());
        let batch = case.batch.to_string();
        let from = "--from G.safetensors --from-discriminator D.safetensors --data pairs --config c.json --out run \
                    --size 32 --load-size 32 --no-mirror --steps 3 --direction";
        let mut flags: Vec<&str> = from.split_whitespace().collect();
        flags.extend([case.direction.as_str(), "--gan", &case.gan, "--l1-weight", &l1_weight]);
        flags.extend(["--lr", &lr, "--beta1", &beta1, "--batch-size", &batch]);
        flags.extend(case.flags.iter().map(String::as_str));
        succeeds("train", here, &flags);
        let trainer = Trainer::resume(here.join("run"), &device::cpu()).unwrap();
        assert_eq!(trainer.steps(), 3, "{name}");
        let end_g = pytorch::generator_state(trainer.generator()).unwrap();
        let end_d = pytorch::discriminator_state(trainer.discriminator()).unwrap();
        let worst =
            compare(name, &g, &end_g, &case.changed_g).max(compare(name, &d, &end_d, &case.changed_d));
        println!("{name}: {worst:e}");
    }
}
