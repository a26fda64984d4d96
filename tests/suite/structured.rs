//! The structured distances in the objective: finite differences of their definitions in double precision, and training
//! with and without them.
#![cfg(feature = "flex")]

use std::f64::consts::TAU;

use crate::gradients::{check_values, image, values};
use crate::support::{small_config, write_pairs};
use pix2pix::data::{Batch, PairedFolder};
use pix2pix::report::Record;
use pix2pix::{Pix2PixLossConfig, Tensor, Trainer, device};

const SIDE: usize = 16;

/// Returns a single image.
fn single(channels: usize, size: usize, phase: f32) -> Tensor<4> {
    image(channels, size, phase).narrow(0, 0, 1)
}

/// Returns the mean absolute differences of neighbours of the difference, down plus across.
fn gradient(output: &[f64], target: &[f64]) -> f64 {
    let at = |y: usize, x: usize| output[y * SIDE + x] - target[y * SIDE + x];
    let mut sum = 0.0;
    for a in 0..SIDE {
        for b in 1..SIDE {
            sum += (at(b, a) - at(b - 1, a)).abs() + (at(a, b) - at(a, b - 1)).abs();
        }
    }
    sum / (SIDE * (SIDE - 1)) as f64
}

/// Returns 1 − SSIM with a window of 11×11 pixels.
fn dissimilarity(output: &[f64], target: &[f64]) -> f64 {
    let unit = |values: &[f64]| values.iter().map(|value| (value + 1.0) / 2.0).collect::<Vec<_>>();
    let (output, target) = (unit(output), unit(target));
    let weight = |i: usize| (-(i as f64 - 5.0).powi(2) / (2.0 * 1.5 * 1.5)).exp();
    let total: f64 = (0..11).map(weight).sum();
    let blurred = |top: usize, left: usize, value: &dyn Fn(usize) -> f64| {
        let mut sum = 0.0;
        for (y, x) in (0..11).flat_map(|y| (0..11).map(move |x| (y, x))) {
            sum += weight(y) * weight(x) / (total * total) * value((top + y) * SIDE + left + x);
        }
        sum
    };
    let places = SIDE - 10;
    let mut sum = 0.0;
    for (y, x) in (0..places).flat_map(|y| (0..places).map(move |x| (y, x))) {
        let mean = |values: &[f64]| blurred(y, x, &|i| values[i]);
        let (a, b) = (mean(&output), mean(&target));
        let product = |one: &[f64], other: &[f64]| blurred(y, x, &|i| one[i] * other[i]);
        let (aa, bb) = (product(&output, &output) - a * a, product(&target, &target) - b * b);
        let ab = product(&output, &target) - a * b;
        let [c1, c2] = [0.0001, 0.0009];
        sum += (2.0 * a * b + c1) * (2.0 * ab + c2) / ((a * a + b * b + c1) * (aa + bb + c2));
    }
    1.0 - sum / (places * places) as f64
}

/// Returns the sum of the mean absolute values of the bands of the difference.
fn pyramid(output: &[f64], target: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().map(|value| value.abs()).sum::<f64>() / values.len() as f64;
    let mut finest: Vec<f64> = output.iter().zip(target).map(|(a, b)| a - b).collect();
    let (mut side, mut sum) = (SIDE, 0.0);
    while side > 1 {
        let half = side / 2;
        let block = |y: usize, x: usize| {
            let at = |dy: usize, dx: usize| finest[(2 * y + dy) * side + 2 * x + dx];
            (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0
        };
        let coarse: Vec<f64> = (0..half * half).map(|i| block(i / half, i % half)).collect();
        let band = |i: usize| finest[i] - coarse[i / side / 2 * half + i % side / 2];
        sum += mean(&(0..side * side).map(band).collect::<Vec<_>>());
        (finest, side) = (coarse, half);
    }
    sum + mean(&finest)
}

/// Returns the squared magnitudes of the orthonormal Fourier transform of the difference.
fn power(output: &[f64], target: &[f64]) -> Vec<f64> {
    let wave = |index: usize| (TAU * index as f64 / SIDE as f64).sin_cos();
    let square = |v: usize, u: usize| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            let value = output[y * SIDE + x] - target[y * SIDE + x];
            let (sin, cos) = wave((u * x + v * y) % SIDE);
            real += value * cos;
            imaginary += value * sin;
        }
        (real * real + imaginary * imaginary) / (SIDE * SIDE) as f64
    };
    (0..SIDE * SIDE).map(|i| square(i / SIDE, i % SIDE)).collect()
}

#[test]
fn gradients_of_structured_distances_equal_finite_differences() {
    let target = single(1, SIDE, 3.0);
    let t = values(target.clone());
    let at = values(single(1, SIDE, 0.5));
    let found = |change: fn(Pix2PixLossConfig) -> Pix2PixLossConfig| {
        let loss = change(Pix2PixLossConfig::new().with_gan_weight(0.0).with_l1_weight(0.0)).init();
        let output = single(1, SIDE, 0.5).autodiff().require_grad();
        let total = loss.generator(None, output.clone(), target.clone().autodiff()).total();
        let value = values(total.clone().inner())[0];
        (value, values(output.grad(&total.backward()).unwrap()))
    };
    let check = |name: &str, (value, grad): (f64, Vec<f64>), reference: &dyn Fn(&[f64]) -> f64| {
        assert!((value / reference(&at) - 1.0).abs() < 1e-5, "{name}: {value} is not {}", reference(&at));
        check_values(name, &at, &grad, reference);
    };
    let with = found(|config| config.with_gradient_weight(3.0));
    check("gradient", with, &|o| 3.0 * gradient(o, &t));
    let with = found(|config| config.with_pyramid_weight(4.0));
    check("pyramid", with, &|o| 4.0 * pyramid(o, &t));
    // The weights of the frequencies have no gradient.
    let magnitudes: Vec<f64> = power(&at, &t).into_iter().map(f64::sqrt).collect();
    let largest = magnitudes.iter().copied().fold(0.0, f64::max);
    let focal = |o: &[f64]| {
        let weighted = power(o, &t).into_iter().zip(&magnitudes).map(|(power, m)| power * m / largest);
        5.0 * weighted.sum::<f64>() / (SIDE * SIDE) as f64
    };
    check("frequency", found(|config| config.with_frequency_weight(5.0)), &focal);
    let with = found(|config| config.with_ssim_weight(2.0));
    check("SSIM", with, &|o| 2.0 * dissimilarity(o, &t));
}

/// Trains three steps and returns the losses of the last one, and the weights.
fn trained(change: impl Fn(&mut Pix2PixLossConfig)) -> (pix2pix::report::LossValues, Vec<f64>) {
    let mut config = small_config();
    change(&mut config.loss);
    let size = config.data.crop_size.height;
    let batch = || Batch { input: single(3, size, 0.5), target: single(3, size, 2.0) };
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    trainer.step(batch());
    trainer.step(batch());
    let losses = trainer.step(batch()).read().unwrap();
    let generator = trainer.into_generator();
    (losses, values(generator.forward(single(3, size, 0.5), pix2pix::Mode::PAPER)))
}

#[test]
fn each_structured_distance_changes_the_training_and_is_in_the_losses() {
    let (losses, plain) = trained(|_| ());
    assert_eq!(losses.g_structured, None);
    for (name, change) in [
        ("gradient", (|loss| loss.gradient_weight = 50.0) as fn(&mut Pix2PixLossConfig)),
        ("SSIM", |loss| loss.ssim_weight = 50.0),
        ("pyramid", |loss| loss.pyramid_weight = 50.0),
        ("frequency", |loss| loss.frequency_weight = 50.0),
    ] {
        let (losses, output) = trained(change);
        assert!(losses.g_structured.unwrap() > 0.0, "{name}");
        assert!(output != plain, "{name} changes nothing");
        let (losses, alone) = trained(|loss| {
            change(loss);
            (loss.l1_weight, loss.gan_weight) = (0.0, 0.0);
        });
        assert!(losses.g_l1 == Some(0.0) && losses.g_gan.is_none() && alone != output, "{name} alone");
    }
}

#[test]
fn structured_weights_out_of_range_are_refused_by_name() {
    type Set = fn(&mut Pix2PixLossConfig, f64);
    let weights: [(&str, Set); 4] = [
        ("gradient_weight", |loss, weight| loss.gradient_weight = weight),
        ("ssim_weight", |loss, weight| loss.ssim_weight = weight),
        ("pyramid_weight", |loss, weight| loss.pyramid_weight = weight),
        ("frequency_weight", |loss, weight| loss.frequency_weight = weight),
    ];
    for (field, set) in weights {
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let mut loss = Pix2PixLossConfig::new();
            set(&mut loss, weight);
            let message = loss.validate().unwrap_err().to_string();
            let expected = format!("loss.{field}: {weight} is not a number of at least 0");
            assert!(message.contains(&expected), "{message}");
        }
        let mut alone = Pix2PixLossConfig::new().with_gan_weight(0.0).with_l1_weight(0.0);
        alone.validate().unwrap_err();
        set(&mut alone, 1.0);
        alone.validate().unwrap();
    }
}

#[test]
fn the_log_holds_every_measured_gan_share_and_the_mean_of_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(&folder.path().join("train"), 7, 32);
    let mut config = small_config();
    (config.training.gan_share_every, config.training.epochs) = (3, 1);
    (config.data.batch_size, config.training.tensorboard) = (1, true);
    let train = PairedFolder::open(folder.path().join("train"), &config.data).unwrap();
    let run = folder.path().join("run");
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    trainer.fit(&train, None, &run, |_| std::ops::ControlFlow::Continue(())).unwrap();
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<Record>(line).unwrap());
    let (mut steps, mut shares, mut means) = (vec![], vec![], vec![]);
    for record in records {
        match record {
            Record::Step { step, losses, .. } => {
                steps.push(step);
                shares.push(f64::from(losses.gan_share.unwrap()));
            }
            Record::Epoch { losses, .. } => means.push(f64::from(losses.gan_share.unwrap())),
            _ => {}
        }
    }
    assert_eq!((steps, means.len()), (vec![3, 6], 1));
    assert!((shares.iter().sum::<f64>() / 2.0 - means[0]).abs() < 1e-6, "{shares:?} {means:?}");
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains("Share of the adversary"));
    let events = std::fs::read_dir(run.join("tensorboard")).unwrap().next().unwrap().unwrap().path();
    let events = std::fs::read(events).unwrap();
    assert!(events.windows(18).any(|part| part == b"gradient/GAN_share"));
}

#[test]
fn a_gan_share_measured_in_some_steps_changes_nothing_else() {
    let run = |every: u64, accumulate: usize| {
        let mut config = small_config();
        (config.training.gan_share_every, config.training.accumulate) = (every, accumulate);
        let size = config.data.crop_size.height;
        let images = |phase| Tensor::cat((0..3).map(|i| single(3, size, phase + i as f32)).collect(), 0);
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        let mut losses = vec![];
        for _ in 0..5 {
            let batch = Batch { input: images(0.5), target: images(2.0) };
            losses.push(trainer.step(batch).read().unwrap());
        }
        let folder = tempfile::tempdir().unwrap();
        trainer.save(folder.path()).unwrap();
        let step = folder.path().join("checkpoints/step-000000005");
        let mut files: Vec<_> = std::fs::read_dir(step).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        // Weights, running statistics and moments of both networks. The settings differ, and name the run.
        files.retain(|path| path.extension().is_some_and(|extension| extension == "bpk"));
        assert!(files.len() >= 4, "{files:?}");
        (losses, files.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>())
    };
    for accumulate in [1, 2] {
        let (losses, files) = run(0, accumulate);
        let (measured, same) = run(2, accumulate);
        assert!(files == same, "the measurement changes the training");
        for (step, (plain, mut measured)) in losses.into_iter().zip(measured).enumerate() {
            let share = measured.gan_share.take();
            assert_eq!(share.is_some(), step % 2 == 1, "step {step}");
            assert!(share.is_none_or(|share| share > 0.0 && share < 1.0), "{share:?}");
            assert_eq!(plain, measured);
        }
    }
}
