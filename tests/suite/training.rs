//! The trainer: a step updates both networks, training lowers the losses, and the seed determines the result.
#![cfg(feature = "flex")]

use crate::support::{small_config, write_pairs};
use burn::module::Module;
use pix2pix::data::{Batch, BatchIterator, BatchSource, Direction, EpochCursor, PairedFolder};
use pix2pix::loss::FeatureMatching;
use pix2pix::{Condition, Device, GanMode, Norm, Pix2PixConfig, Tensor, Trainer, device};

fn batch(config: &Pix2PixConfig) -> Batch {
    scaled_batch(config, 1.0)
}

fn scaled_batch(config: &Pix2PixConfig, frequency: f32) -> Batch {
    let size = config.data.crop_size.height;
    let ramp = |scale: f32| {
        let scale = scale * frequency;
        let values: Vec<f32> = (0..3 * size * size).map(|i| (i as f32 * scale).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([1, 3, size, size])
    };
    Batch { input: ramp(0.01), target: ramp(0.02) }
}

/// Returns all parameters and running statistics of a network.
fn parameters(network: &impl Module) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl burn::module::ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().try_into_vec::<f32>().unwrap());
        }
    }
    let mut collect = Collect(vec![]);
    network.visit(&mut collect);
    collect.0
}

#[test]
fn it_overfits_one_pair() {
    let mut config = small_config();
    config.generator.base_channels = 8;
    config.generator.dropout = 0.0;
    config.training.learning_rate = 2e-3;
    let batch = batch(&config);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let first = trainer.step(batch.clone()).read().unwrap().g_l1.unwrap();
    for _ in 0..60 {
        trainer.step(batch.clone());
    }
    let last = trainer.step(batch).read().unwrap().g_l1.unwrap();
    assert!(last < first / 3.0, "G_L1 only fell from {first} to {last}");
}

#[test]
fn the_adversarial_loss_alone_trains_the_generator() {
    let mut config = small_config();
    (config.generator.dropout, config.loss.l1_weight) = (0.0, 0.0);
    // Only the first step updates the discriminator, so that the generator's loss can only fall through the generator.
    (config.training.discriminator_every, config.training.learning_rate) = (1000, 2e-3);
    let batch = batch(&config);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let first = trainer.step(batch.clone()).read().unwrap().g_gan.unwrap();
    for _ in 0..60 {
        trainer.step(batch.clone());
    }
    let last = trainer.step(batch).read().unwrap().g_gan.unwrap();
    assert!(last < first, "G_GAN went from {first} to {last}");
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let run = |seed| {
        let mut config = small_config();
        config.training.seed = seed;
        let batch = batch(&config);
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        for _ in 0..3 {
            trainer.step(batch.clone());
        }
        (parameters(trainer.generator()), parameters(trainer.discriminator()))
    };
    assert!(run(1) == run(1));
    assert!(run(1) != run(2));
}

#[test]
fn both_networks_are_updated_each_by_its_own_loss() {
    let config = small_config();
    let batch = batch(&config);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let (g, d) = (parameters(trainer.generator()), parameters(trainer.discriminator()));
    trainer.step(batch.clone());
    assert_ne!(parameters(trainer.generator()), g);
    assert_ne!(parameters(trainer.discriminator()), d);

    // The scale of the generator's loss must not affect the discriminator.
    let after = |l1_weight| {
        let mut config = small_config();
        config.loss.l1_weight = l1_weight;
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        trainer.step(batch.clone());
        parameters(trainer.discriminator())
    };
    assert_eq!(after(100.0), after(1.0));
}

#[test]
fn every_setting_of_loss_and_training_changes_the_result() {
    let run = |change: fn(&mut Pix2PixConfig)| {
        let mut config = small_config();
        change(&mut config);
        let batch = batch(&config);
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        trainer.next_epoch();
        for _ in 0..3 {
            trainer.step(batch.clone());
        }
        parameters(trainer.generator())
    };
    let reference = run(|_| ());
    assert!(run(|_| ()) == reference);
    type Change = (&'static str, fn(&mut Pix2PixConfig));
    let changes: [Change; 32] = [
        ("minimax", |config| config.loss.gan = GanMode::Minimax),
        ("two updates of the discriminator", |config| config.training.discriminator_steps = 2),
        ("least squares", |config| config.loss.gan = GanMode::LeastSquares),
        ("hinge", |config| config.loss.gan = GanMode::Hinge),
        ("no GAN", |config| config.loss.gan_weight = 0.0),
        ("GAN weight", |config| config.loss.gan_weight = 50.0),
        ("no L1", |config| config.loss.l1_weight = 0.0),
        ("label smoothing", |config| config.loss.real_label = 0.5),
        ("unconditional", |config| config.discriminator.condition = Condition::None),
        ("spectral normalisation", |config| {
            (config.discriminator.norm, config.discriminator.spectral) = (Norm::None, true);
        }),
        ("projection", |config| config.discriminator.condition = Condition::Projection),
        ("scales", |config| (config.discriminator.layers, config.discriminator.scales) = (1, 2)),
        ("narrow scales", |config| {
            let d = &mut config.discriminator;
            (d.layers, d.scales, d.narrow_scales) = (1, 2, true);
        }),
        ("feature matching", |config| config.loss.feature_weight = 10.0),
        ("statistics of features", |config| {
            config.loss.feature_weight = 10.0;
            config.loss.feature_matching = FeatureMatching::Statistics;
        }),
        ("LeCam", |config| config.loss.lecam_weight = 0.3),
        ("LeCam's decay", |config| (config.loss.lecam_weight, config.loss.lecam_decay) = (0.3, 0.5)),
        ("discriminator noise", |config| config.training.discriminator_noise = 0.1),
        ("augmented colour", |config| config.training.diff_augment.color = true),
        ("augmented place", |config| config.training.diff_augment.translation = true),
        ("cutout", |config| config.training.diff_augment.cutout = true),
        ("learning rate", |config| config.training.learning_rate = 1e-3),
        ("beta 1", |config| config.training.beta_1 = 0.9),
        ("beta 2", |config| config.training.beta_2 = 0.5),
        ("discriminator rate", |config| config.training.discriminator_rate = 0.5),
        ("discriminator every second step", |config| config.training.discriminator_every = 2),
        ("clipping", |config| config.training.clip_norm = Some(1e-6)),
        ("warm-up", |config| config.training.warmup_steps = 5),
        ("step schedule", |config| {
            config.training.schedule = pix2pix::config::Schedule::Step { every: 1, factor: 0.5 };
            config.training.warmup_steps = 2;
        }),
        ("cosine schedule", |config| {
            (config.training.epochs, config.training.decay_epochs) = (0, 9);
            config.training.schedule = pix2pix::config::Schedule::Cosine;
        }),
        ("decay to zero", |config| {
            (config.training.epochs, config.training.decay_epochs) = (0, 9);
            config.training.decay_to_zero = true;
        }),
        ("decay from the start", |config| (config.training.epochs, config.training.decay_epochs) = (0, 9)),
    ];
    let mut results = vec![("nothing", reference)];
    for (name, change) in changes {
        let result = run(change);
        if let Some((other, _)) = results.iter().find(|(_, other)| *other == result) {
            panic!("{name} changes as little as {other}");
        }
        results.push((name, result));
    }
}

#[test]
fn the_discriminator_is_updated_every_third_step() {
    let mut config = small_config();
    config.training.discriminator_every = 3;
    let batch = batch(&config);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let updated = (0..7).map(|_| {
        // Running statistics change in every pass; the first parameter is a convolution's.
        let before = parameters(trainer.discriminator())[0];
        trainer.step(batch.clone());
        parameters(trainer.discriminator())[0] != before
    });
    assert_eq!(updated.collect::<Vec<_>>(), [true, false, false, true, false, false, true]);
}

#[test]
fn the_ema_follows_the_generator() {
    let decay = 0.75;
    let mut config = small_config();
    (config.training.ema_decay, config.training.export_ema) = (Some(decay), true);
    let batch = batch(&config);
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    let mut expected = parameters(trainer.generator());
    assert!(parameters(trainer.export_generator()) == expected);
    for step in 0..3 {
        trainer.step(batch.clone());
        let newest = parameters(trainer.generator());
        for (ema, newest) in expected.iter_mut().zip(newest) {
            *ema = decay as f32 * *ema + (1.0 - decay as f32) * newest;
        }
        let ema = parameters(trainer.export_generator());
        let error = ema.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-6, "step {step}: {error}");
        // The checkpoint holds the EMA.
        trainer.save(folder.path()).unwrap();
        trainer = Trainer::resume(folder.path(), &device::cpu()).unwrap();
        assert!(parameters(trainer.export_generator()) == ema);
    }
    let weights = || std::fs::read(folder.path().join("generator.safetensors")).unwrap();
    let ema = weights();
    config.training.export_ema = false;
    let trainer = Trainer::resume_or_new(folder.path(), config, &device::cpu()).unwrap();
    trainer.save(folder.path()).unwrap();
    assert!(weights() != ema, "export_ema does not change the exported weights");
}

#[test]
fn the_decay_of_an_ema_with_a_ramp_follows_the_step_and_survives_a_checkpoint() {
    let mut config = small_config();
    let training = &mut config.training;
    (training.ema_decay, training.ema_ramp, training.export_ema) = (Some(0.25), true, true);
    let batch = batch(&config);
    let folder = tempfile::tempdir().unwrap();
    let mut whole = Trainer::new(config.clone(), &device::cpu()).unwrap();
    let mut resumed = Trainer::new(config.clone(), &device::cpu()).unwrap();
    let mut expected = parameters(whole.generator());
    // min(0.25, (1 + t)/(10 + t)): 1/10, 2/11, 3/12 and then the full decay, by hand
    for (step, decay) in [0.1, 2.0 / 11.0, 0.25, 0.25].into_iter().enumerate() {
        whole.step(batch.clone());
        resumed.step(batch.clone());
        for (ema, newest) in expected.iter_mut().zip(parameters(whole.generator())) {
            *ema = decay * *ema + (1.0 - decay) * newest;
        }
        let ema = parameters(whole.export_generator());
        let error = ema.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-6, "step {step}: {error}");
        resumed.save(folder.path()).unwrap();
        resumed = Trainer::resume(folder.path(), &device::cpu()).unwrap();
        assert!(parameters(resumed.export_generator()) == ema, "step {step} after a checkpoint");
    }
    config.training.ema_decay = None;
    config.training.export_ema = false;
    let message = config.validate().unwrap_err().to_string();
    assert!(message.contains("training.ema_ramp: true needs an EMA"), "{message}");
}

#[test]
fn without_an_adversarial_term_the_discriminator_is_not_updated() {
    let mut config = small_config();
    config.loss.gan_weight = 0.0;
    let batch = batch(&config);
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let before = parameters(trainer.discriminator());
    let losses = trainer.step(batch).read().unwrap();
    assert_eq!((losses.g_gan, losses.d_real, losses.d_fake), (None, None, None));
    assert!(losses.g_l1.unwrap() > 0.0);
    assert_eq!(parameters(trainer.discriminator()), before);
}

#[test]
fn the_first_losses_are_near_those_of_an_undecided_discriminator() {
    let config = small_config();
    let batch = batch(&config);
    let losses = Trainer::new(config, &device::cpu()).unwrap().step(batch).read().unwrap();
    for loss in [losses.g_gan, losses.d_real, losses.d_fake] {
        assert!((loss.unwrap() - std::f32::consts::LN_2).abs() < 0.3, "{losses}");
    }
}

#[test]
fn fit_writes_a_complete_run_folder_and_evaluate_is_repeatable() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(&folder.path().join("train"), 6, 32);
    write_pairs(&folder.path().join("val"), 2, 32);
    let mut config = small_config();
    config.data.direction = Direction::BToA;
    config.data.batch_size = 2;
    (config.training.epochs, config.training.decay_epochs) = (2, 1);
    let [train, val] =
        ["train", "val"].map(|split| PairedFolder::open(folder.path().join(split), &config.data).unwrap());
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let run = folder.path().join("run");
    let (mut steps, mut epochs) = (0, 0);
    trainer
        .fit(&train, Some(&val), &run, |event| {
            match event {
                pix2pix::Event::Step { batches, .. } => {
                    assert_eq!(batches, 3);
                    steps += 1;
                }
                pix2pix::Event::Epoch { metrics, .. } => {
                    assert!(metrics.unwrap().l1 > 0.0);
                    epochs += 1;
                }
                _ => {}
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((steps, epochs, trainer.steps()), (9, 3, 9));
    assert!(trainer.next_epoch().is_none());
    for file in
        ["config.json", "metrics.jsonl", "index.html", "generator.safetensors", "samples/epoch-0003.png"]
    {
        assert!(run.join(file).is_file(), "{file}");
    }
    let scores = trainer.evaluate(&val).unwrap();
    assert_eq!(scores, trainer.evaluate(&val).unwrap(), "the metrics differ between calls");
    assert!(scores.psnr > 0.0 && scores.ssim_unit < 1.0);

    let grid = image::open(run.join("samples/epoch-0003.png")).unwrap();
    assert_eq!((grid.width(), grid.height()), (3 * 32, 2 * 32));
}

/// A user's data set: batches in memory.
struct Memory(Vec<Batch>);

impl BatchSource for Memory {
    fn pairs(&self) -> usize {
        self.0.len()
    }

    fn batches<'a>(&'a self, epoch: EpochCursor, _: &Device) -> BatchIterator<'a> {
        // Each epoch starts with a different batch.
        let count = self.0.len();
        let order = (0..count).map(move |index| (index + epoch.number) % count).skip(epoch.first_batch);
        Box::new(order.map(|index| Ok(self.0[index].clone())))
    }

    fn sequential<'a>(&'a self, _: &Device) -> BatchIterator<'a> {
        Box::new(self.0.iter().cloned().map(Ok))
    }
}

#[test]
fn a_users_loop_writes_the_same_files_as_fit() {
    let mut config = small_config();
    (config.training.epochs, config.training.save_every, config.training.learning_rate) = (4, 2, 2e-3);
    let data = Memory((1..=6).map(|seed| scaled_batch(&config, seed as f32)).collect());
    let folder = tempfile::tempdir().unwrap();
    let [fitted, own] = ["fitted", "own"].map(|name| folder.path().join(name));

    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    trainer.fit(&data, Some(&data), &fitted, |_| std::ops::ControlFlow::Continue(())).unwrap();

    // In two parts, of which the first stops within an epoch.
    for stop in [8, 99] {
        let mut trainer = Trainer::resume_or_new(&own, config.clone(), &device::cpu()).unwrap();
        let mut run = trainer.open_run(&own).unwrap();
        if trainer.steps() == 0 {
            run.close_epoch(&mut trainer, Some(&data)).unwrap();
        }
        'training: while let Some(epoch) = trainer.next_epoch() {
            for batch in data.batches(epoch, &device::cpu()) {
                let losses = trainer.step(batch.unwrap());
                run.record_step(&mut trainer, &losses).unwrap();
                if trainer.steps() == stop {
                    break 'training;
                }
            }
            let scores = run.close_epoch(&mut trainer, Some(&data)).unwrap();
            assert_eq!(scores, Some(trainer.evaluate(&data).unwrap()));
        }
        run.save(&mut trainer).unwrap();
        assert_eq!(run.saved_step(), Some(trainer.steps()));
        run.finish().unwrap();
    }
    for file in
        ["metrics.jsonl", "generator.safetensors", "generator-best.safetensors", "samples/epoch-0004.png"]
    {
        let [fitted, own] = [&fitted, &own].map(|run| std::fs::read(run.join(file)).unwrap());
        assert!(fitted == own, "{file}");
    }
}
