//! The systems that pix2pix builds on: their networks against PyTorch, and their training as whole systems.
#![cfg(feature = "flex")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::support::{small_config, write_pairs};
use pix2pix::config::DiscriminatorKind;
use pix2pix::config::System;
use pix2pix::data::{Batch, Layout, PairedFolder};
use pix2pix::pytorch::{self, Import};
use pix2pix::{
    Backbone, Condition, Discriminator, DiscriminatorConfig, DropoutMode, Event, GanMode, GeneratorConfig,
    Mode, Norm, Pix2PixConfig, Pix2PixLossConfig, Sampler, Statistics, Tensor, Trainer, Translator, device,
};

const SYSTEMS: [System; 3] = [System::Gan, System::Dcgan, System::Ebgan];

/// The modes of the fixture.
const MODES: [(&str, Statistics); 2] = [("batch", Statistics::Batch), ("running", Statistics::Running)];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn fixture() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    pytorch::read(golden("systems.safetensors")).unwrap()
}

/// Returns sin(i · scale) in row-major order, as the fixture has it.
fn wave(shape: [usize; 4], scale: f64) -> Tensor<4> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f64 * scale).sin() as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Compares values with expected ones, of which there may be fewer, at a stride.
fn close(what: &str, found: &[f32], expected: &[f32], stride: usize) {
    let found: Vec<f32> = found.iter().copied().step_by(stride).collect();
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().map(|value| value.abs()).sum::<f32>() / expected.len() as f32;
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 1e-5 * scale, "{what}: {worst:e} of {scale:e}");
}

fn mode(statistics: Statistics) -> Mode {
    Mode { statistics, dropout: DropoutMode::Off }
}

#[test]
#[cfg(feature = "pth")]
fn networks_of_pytorchs_dcgan_example_are_imported_and_compute_the_same() {
    let (fixture, device) = (fixture(), device::cpu());
    let generator = Import::open(golden("dcgan_g.pth")).unwrap().generator(&device).unwrap();
    assert_eq!(generator.config().backbone, Backbone::Dcgan { depth: 6, noise: 5 });
    assert_eq!((generator.config().base_channels, generator.config().norm), (1, Norm::Batch));
    let import = Import::open(golden("dcgan_d.pth")).unwrap();
    let discriminator = import.discriminator_for(generator.config(), &device).unwrap();
    let config = discriminator.config();
    assert_eq!(
        (config.kind, config.layers, config.condition),
        (DiscriminatorKind::Dcgan, 4, Condition::None)
    );
    assert_eq!(
        *Import::open(golden("dcgan_d.pth")).unwrap().discriminator(&device).unwrap().config(),
        *config
    );
    for (name, statistics) in MODES {
        let mode = mode(statistics);
        let images = generator.forward(wave([3, 5, 1, 1], 0.7), mode);
        assert_eq!(images.dims(), [3, 3, 64, 64]);
        close(name, &values(images), &fixture[&format!("{name}.images")].1, 29);
        let image = wave([2, 3, 64, 64], 0.011);
        let logits = discriminator.forward(image.clone(), image, mode);
        assert_eq!(logits.dims(), [2, 1, 1, 1]);
        close(name, &values(logits), &fixture[&format!("{name}.logits")].1, 1);
    }

    // The export has the example's names and values.
    let folder = tempfile::tempdir().unwrap();
    let [g, d] = ["g.pth", "d.safetensors"].map(|name| folder.path().join(name));
    pytorch::save_generator(&generator, &g).unwrap();
    pytorch::save_discriminator(&discriminator, &d).unwrap();
    for (found, expected) in [(g, "dcgan_g.pth"), (d, "dcgan_d.pth")] {
        assert!(pytorch::read(found).unwrap() == pytorch::read(golden(expected)).unwrap(), "{expected}");
    }
}

#[test]
fn dcgan_has_the_parameters_of_pytorchs_example() {
    let config = Pix2PixConfig::paper().with_system(System::Dcgan);
    let device = device::cpu();
    assert_eq!(config.generator.init(&device).parameter_count(), 3_576_704);
    assert_eq!(config.discriminator.init(&device).parameter_count(), 2_765_568);
}

/// Returns the auto-encoder of the fixture.
fn auto_encoder(device: &pix2pix::Device) -> Discriminator {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auto_encoder.safetensors");
    let all = fixture();
    let own = all.iter().filter_map(|(name, value)| Some((name.strip_prefix("auto_encoder.")?, value)));
    pytorch::save(&own.map(|(name, value)| (name.to_owned(), value.clone())).collect(), &file).unwrap();
    let config =
        DiscriminatorConfig::new(3, 3).with_kind(DiscriminatorKind::AutoEncoder).with_base_channels(2);
    Import::open(&file).unwrap().discriminator_as(&config, device).unwrap()
}

/// Returns the logits and the codes of an auto-encoder.
fn judged(network: &Discriminator, input: Tensor<4>, image: Tensor<4>, mode: Mode) -> [Tensor<4>; 2] {
    let [scale] = <[_; 1]>::try_from(network.forward_scales(input, image, mode).scales).unwrap();
    [scale.logits, scale.codes.unwrap()]
}

#[test]
fn energies_codes_and_the_gradient_of_the_image_are_those_of_pytorch() {
    let fixture = fixture();
    let [input, image] = [0.013, 0.029].map(|scale| wave([2, 3, 16, 24], scale));
    for (name, statistics) in MODES {
        let network = auto_encoder(&device::cpu());
        let [logits, codes] = judged(&network, input.clone(), image.clone(), mode(statistics));
        assert_eq!((logits.dims(), codes.dims()), ([2, 1, 2, 3], [2, 8, 2, 3]));
        close(name, &values(-logits), &fixture[&format!("{name}.energies")].1, 1);
        close(name, &values(codes), &fixture[&format!("{name}.codes")].1, 1);
    }
    // The gradient reaches the image as the input and as the target of the auto-encoder.
    let network = auto_encoder(&device::cpu().autodiff());
    let leaf = image.clone().autodiff().require_grad();
    let [logits, codes] = judged(&network, input.autodiff(), leaf.clone(), mode(Statistics::Batch));
    let loss = Pix2PixLossConfig::new().with_gan(GanMode::Energy).with_l1_weight(0.0).with_pulling_away(0.1);
    let loss = loss.init();
    let g = loss.generator(Some(logits.into()), leaf.clone(), image.autodiff());
    let grads = loss.with_pulling_away(g, Some(codes)).total().backward();
    close("gradient", &values(leaf.grad(&grads).unwrap()), &fixture["energy_gradient"].1, 7);
}

/// Returns a small configuration of a system.
fn config(system: System) -> Pix2PixConfig {
    let mut config = small_config().with_system(system).with_size(32).unwrap();
    config.data.batch_size = 2;
    (config.training.epochs, config.training.save_every) = (3, 1);
    config.training.discriminator_steps = if system == System::Gan { 2 } else { 1 };
    if system == System::Ebgan {
        config.loss.pulling_away = 0.1;
    }
    config
}

fn batch(pairs: usize) -> Batch {
    let [input, target] = [0.011, 0.017].map(|scale| wave([pairs, 3, 32, 32], scale));
    Batch { input, target }
}

/// Trains until `stop` steps are done, or to the end.
fn train(trainer: &mut Trainer, pairs: &PairedFolder, run: &Path, stop: Option<u64>) {
    let mut steps = trainer.steps();
    let watch = |event: Event| {
        steps += u64::from(matches!(event, Event::Step { .. }));
        if stop == Some(steps) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer.fit(pairs, Some(pairs), run, watch).unwrap();
}

#[test]
fn an_interrupted_run_of_every_system_ends_like_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_pairs(&data, 5, 32); // the last batch has one pair
    for system in SYSTEMS {
        let config = config(system);
        let pairs = PairedFolder::open(&data, &config.data).unwrap();
        let [whole, run] = ["whole", "run"].map(|name| folder.path().join(format!("{system}-{name}")));
        train(&mut Trainer::new(config.clone(), &device::cpu()).unwrap(), &pairs, &whole, None);
        for stop in [Some(4), None] {
            let mut trainer = Trainer::resume_or_new(&run, config.clone(), &device::cpu()).unwrap();
            train(&mut trainer, &pairs, &run, stop);
        }
        let step = "checkpoints/step-000000009";
        for file in ["generator.bpk", "discriminator.bpk", "optimizer_g.bpk", "optimizer_d.bpk"] {
            let [run, whole] = [&run, &whole].map(|run| std::fs::read(run.join(step).join(file)).unwrap());
            assert!(run == whole, "{system} {file}");
        }
        let samples = ["samples/epoch-0003.png", "generator.safetensors"];
        for file in samples {
            let [run, whole] = [&run, &whole].map(|run| std::fs::read(run.join(file)).unwrap());
            assert!(run == whole, "{system} {file}");
        }
    }
}

#[test]
fn every_system_is_used_by_the_command_for_it_after_training() {
    let folder = tempfile::tempdir().unwrap();
    for system in SYSTEMS {
        let mut trainer = Trainer::new(config(system), &device::cpu()).unwrap();
        for _ in 0..2 {
            assert!(trainer.step(batch(2)).read().unwrap().is_finite(), "{system}");
        }
        let run = folder.path().join(system.to_string());
        trainer.save(&run).unwrap();
        let translator = Translator::load(&run, &device::cpu()).unwrap();
        let translated = translator.translate(&image::DynamicImage::new_rgb8(40, 20));
        let sampled = Sampler::load(&run, &device::cpu()).map(|sampler| sampler.sample(0, 0..2).unwrap());
        match system {
            System::Dcgan => {
                assert!(translated.unwrap_err().to_string().contains("pix2pix sample"));
                assert_eq!(sampled.unwrap()[1].width(), 32);
            }
            _ => {
                assert_eq!(translated.unwrap().width(), 40);
                assert!(sampled.unwrap_err().to_string().contains("pix2pix translate"));
            }
        }
    }
}

/// Returns the exported weights and the last losses after some steps on several devices.
fn trained(config: Pix2PixConfig, devices: usize) -> (Vec<f32>, String) {
    let others = vec![device::cpu(); devices - 1];
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap().with_devices(&others).unwrap();
    let mut losses = String::new();
    for pairs in [4, 4, 2] {
        losses = format!("{:?}", trainer.step(batch(pairs)).read().unwrap());
    }
    let generator = trainer.into_generator();
    let input = match generator.config().noise() {
        Some(values) => wave([2, values, 1, 1], 0.3),
        None => wave([2, 3, 32, 32], 0.3),
    };
    (values(generator.forward(input, mode(Statistics::Batch))), losses)
}

#[test]
fn two_devices_equal_two_micro_batches_and_the_whole_batch() {
    for system in SYSTEMS {
        // Instance normalisation: the statistics of a batch are those of each part. No dropout, whose noise is of a part.
        let mut config = config(system);
        let norm = Norm::Instance { affine: true };
        (config.generator.norm, config.discriminator.norm, config.generator.dropout) = (norm, norm, 0.0);
        config.loss.pulling_away = 0.0;
        // Adam's first updates are signs, which rounding flips where a gradient is nearly zero.
        config.training.learning_rate = 1e-5;
        let mut parts = config.clone();
        parts.training.accumulate = 2;
        let [whole, apart, shared] =
            [(config.clone(), 1), (parts, 1), (config, 2)].map(|(c, n)| trained(c, n));
        assert!(apart == shared, "{system}: devices");
        let worst = whole.0.iter().zip(&apart.0).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{system}: {worst}");
    }
}

#[test]
fn the_discriminator_is_updated_k_times_each_time_against_new_noise() {
    let run = |k: usize, change: fn(&mut Pix2PixConfig)| {
        let mut config = config(System::Gan);
        config.training.discriminator_steps = k;
        change(&mut config);
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        let losses = trainer.step(batch(2)).read().unwrap();
        let step = trainer.discriminator().forward(
            batch(2).input.autodiff(),
            batch(2).target.autodiff(),
            Mode::RUNNING,
        );
        (losses.d_fake.unwrap(), values(step.inner()))
    };
    let [one, two] = [1, 2].map(|k| run(k, |_| ()));
    assert!(one.1 != two.1 && run(2, |_| ()) == two);
    // Without a change of D, the mean of the losses over both updates is that of one only if their noise is equal.
    let still = |config: &mut Pix2PixConfig| config.training.learning_rate = 1e-30;
    assert!(run(1, still).0 != run(2, still).0);
    let still = |config: &mut Pix2PixConfig| {
        (config.training.learning_rate, config.generator.dropout) = (1e-30, 0.0);
    };
    assert!((run(1, still).0 - run(2, still).0).abs() < 1e-6);
}

#[test]
fn parts_that_do_not_belong_together_are_refused_with_the_remedy() {
    let message = |system: System, change: fn(&mut Pix2PixConfig)| {
        let mut config = config(system);
        change(&mut config);
        match Trainer::new(config, &device::cpu()) {
            Ok(_) => panic!("{system} was not refused"),
            Err(error) => error.to_string(),
        }
    };
    for (system, change, expected) in [
        (
            System::Dcgan,
            (|c| c.discriminator.condition = Condition::Input) as fn(&mut Pix2PixConfig),
            "discriminator.condition: input does not fit the generator dcgan:5",
        ),
        (System::Dcgan, |c| c.loss.l1_weight = 1.0, "loss.l1_weight: 1 does not fit"),
        (System::Dcgan, |c| c.data.crop_size = [32, 64].into(), "data."),
        (System::Dcgan, |c| c.generator.backbone = Backbone::Dcgan { depth: 2, noise: 9 }, "use 3 to 12"),
        (System::Dcgan, |c| c.generator.backbone = Backbone::Dcgan { depth: 5, noise: 0 }, "use 1 to 4096"),
        (System::Ebgan, |c| c.loss.gan = GanMode::Vanilla, "loss.pulling_away: 0.1 needs"),
        (
            System::Ebgan,
            |c| (c.loss.gan, c.loss.pulling_away) = (GanMode::Hinge, 0.0),
            "loss.gan: hinge does not fit discriminator.kind auto_encoder",
        ),
        (
            System::Gan,
            |c| c.loss.gan = GanMode::Energy,
            "loss.gan: energy does not fit discriminator.kind patch",
        ),
        (System::Ebgan, |c| c.discriminator.layers = 0, "discriminator.layers: 0 is out of range"),
        (System::Ebgan, |c| c.discriminator.layers = 6, "cells of 64 pixels"),
        (System::Ebgan, |c| c.loss.margin = 0.0, "loss.margin: 0 is not a number above 0"),
        (System::Ebgan, |c| c.data.batch_size = 1, "loss.pulling_away: 0.1 needs several images"),
        (System::Ebgan, |c| c.training.accumulate = 2, "loss.pulling_away: 0.1 compares all images"),
        (
            System::Gan,
            |c| c.training.discriminator_steps = 0,
            "training.discriminator_steps: 0 is out of range",
        ),
        (System::Gan, |c| c.training.discriminator_steps = 5000, "use 1 to 1024"),
    ] {
        let message = message(system, change);
        assert!(message.contains(expected), "{message}");
    }
    let trainer = Trainer::new(config(System::Ebgan), &device::cpu()).unwrap();
    let message = trainer.with_devices(&[device::cpu()]).unwrap_err().to_string();
    assert!(message.contains("loss.pulling_away: 0.1 compares all images"), "{message}");
    let message =
        Pix2PixConfig::paper().with_system(System::Dcgan).with_size([64, 128]).unwrap_err().to_string();
    assert!(message.contains("64x128 is not a square"), "{message}");
}

#[test]
fn a_dcgan_learns_from_single_images_and_has_no_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    for seed in 0..4u8 {
        crate::support::picture(33, 47, seed).save(data.join(format!("{seed}.png"))).unwrap();
    }
    let mut config = config(System::Dcgan);
    config.data.layout = Some(Layout::Single);
    let images = PairedFolder::open(&data, &config.data).unwrap();
    assert_eq!((images.len(), images.layout()), (4, Some(Layout::Single)));
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let run = folder.path().join("run");
    train(&mut trainer, &images, &run, None);
    assert_eq!((trainer.steps(), trainer.best_step()), (6, None));
    let message = trainer.evaluate(&images).unwrap_err().to_string();
    assert!(message.contains("belong to no target"), "{message}");
    // The grid of the report has rows of eight images of noise, the same for the same weights.
    let grid = image::open(run.join("samples/epoch-0003.png")).unwrap().to_rgb8();
    assert_eq!((grid.dimensions(), grid), ((256, 128), trainer.sample_grid(&images, 4).unwrap()));
}

#[test]
fn images_of_noise_have_the_size_of_the_depth() {
    for depth in [3, 5, 7] {
        let config = GeneratorConfig::new(3, 1).with_base_channels(1);
        let generator = config.with_backbone(Backbone::Dcgan { depth, noise: 3 }).init(&device::cpu());
        let images = Sampler::new(generator, &device::cpu()).unwrap().sample(0, 0..1).unwrap();
        assert_eq!((images[0].width(), images[0].height()), (1 << depth, 1 << depth));
        assert_eq!(images[0].color().channel_count(), 1);
    }
}
