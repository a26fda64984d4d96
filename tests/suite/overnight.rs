//! An unattended run: it stops when it diverges, keeps its best checkpoint, and records everything once.
#![cfg(feature = "flex")]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use crate::support::{picture, small_config, split_weights, write_pairs};
use pix2pix::data::{PairedFolder, encode_pair};
use pix2pix::error::CheckpointProblem;
use pix2pix::metrics::Metric;
use pix2pix::report::Record;
use pix2pix::{Error, Event, Pix2PixConfig, Trainer, device};

fn config() -> Pix2PixConfig {
    let mut config = small_config();
    (config.training.epochs, config.training.save_every) = (4, 1);
    config
}

fn pairs(folder: &Path, split: &str) -> PairedFolder {
    if !folder.join(split).is_dir() {
        write_pairs(&folder.join(split), 7, 32);
    }
    PairedFolder::open(folder.join(split), &config().data).unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_run_that_diverges_stops_and_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (train, run) = (pairs(folder.path(), "train"), folder.path().join("run"));
    let watch = |_: Event| ControlFlow::Continue(());
    let mut first = config();
    first.training.epochs = 1;
    Trainer::new(first, &device::cpu()).unwrap().fit(&train, None, &run, watch).unwrap();

    let mut broken = config();
    broken.training.learning_rate = 1e30;
    // The same steps without `fit`, up to the first whose losses are not finite.
    let mut by_hand = Trainer::resume_or_new(&run, broken.clone(), &device::cpu()).unwrap();
    let epoch = by_hand.next_epoch().unwrap();
    let is_finite = |batch: pix2pix::Result<_>| by_hand.step(batch.unwrap()).read().unwrap().is_finite();
    let finite =
        train.batches(epoch, &device::cpu()).map(is_finite).take_while(|is_finite| *is_finite).count();
    let expected = 7 + finite as u64 + 1;

    let mut trainer = Trainer::resume_or_new(&run, broken, &device::cpu()).unwrap();
    let error = trainer.fit(&train, None, &run, watch).unwrap_err();
    let message = error.to_string();
    let Error::Diverged { step, checkpoint, .. } = error else { panic!("{message}") };
    assert_eq!(checkpoint, Some(run.join("checkpoints/step-000000007")));
    assert!(step == expected && expected < 14, "{message}");
    assert!(finite == 0 || message.contains("last finite losses: G_GAN"), "{message}");
    assert!(message.contains("step-000000007") && message.contains("lower learning rate"), "{message}");

    // Nothing was saved. The run can be resumed with other settings, with the same or with another random stream.
    let end = |salt| {
        let copied = tempfile::tempdir().unwrap();
        let run = copied.path().join("run");
        copy(&folder.path().join("run"), &run);
        let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
        trainer.reseed(salt);
        trainer.fit(&train, None, &run, watch).unwrap();
        std::fs::read(run.join("generator.safetensors")).unwrap()
    };
    let ends = [end(0), end(1), end(2)];
    assert!(ends[0] != ends[1] && ends[1] != ends[2]);
    assert!(end(1) == ends[1]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn an_interrupted_run_records_the_same_lines() {
    let folder = tempfile::tempdir().unwrap();
    let [train, val] = ["train", "val"].map(|split| pairs(folder.path(), split));
    let whole = folder.path().join("whole");
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    trainer.fit(&train, Some(&val), &whole, |_| ControlFlow::Continue(())).unwrap();

    let run = folder.path().join("run");
    for stop in [3, 7, 11, 20, 21, 99] {
        let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
        let mut steps = trainer.steps();
        let watch = |event: Event| {
            steps += u64::from(matches!(event, Event::Step { .. }));
            if steps == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        trainer.fit(&train, Some(&val), &run, watch).unwrap();
    }
    let [whole, run] = [whole, run].map(|run| read(run.join("metrics.jsonl")));
    assert_eq!(whole, run);
    assert_eq!((whole.lines().count(), whole.matches("validation").count()), (2 + 4 + 5, 5));
    assert!(whole.contains("d_fake_accuracy"), "{whole}");
}

#[test]
fn the_best_checkpoint_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let [train, val] = ["train", "val"].map(|split| pairs(folder.path(), split));
    for (metric, is_lower_better) in [(Metric::L1, true), (Metric::SsimUnit, false)] {
        let run = folder.path().join(format!("{metric:?}"));
        let mut config = config();
        (config.training.epochs, config.training.keep, config.training.best_by) = (6, 1, metric);
        // A rate so high that the last epoch is not the best.
        config.training.learning_rate = 0.02;
        let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
        let mut scores = vec![];
        let watch = |event: Event| {
            if let Event::Epoch { epoch, metrics: Some(score), .. } = event {
                scores.push((7 * epoch as u64, if is_lower_better { -score.l1 } else { score.ssim_unit }));
            }
            ControlFlow::Continue(())
        };
        trainer.fit(&train, Some(&val), &run, watch).unwrap();
        let best =
            scores.iter().fold(scores[0], |best, score| if score.1 > best.1 { *score } else { best }).0;
        assert_eq!(trainer.best_step(), Some(best), "{scores:?}");
        assert!(run.join(format!("checkpoints/step-{best:09}")).is_dir());
        assert!(run.join("checkpoints/step-000000042").is_dir());
        let count = std::fs::read_dir(run.join("checkpoints")).unwrap().count();
        assert_eq!(count, if best == 42 { 1 } else { 2 });
        assert!(run.join("generator-best.safetensors").is_file());
        assert_eq!(Trainer::resume(&run, &device::cpu()).unwrap().best_step(), Some(best));
    }
}

#[test]
fn the_best_is_that_of_all_epochs_however_often_the_run_is_saved_or_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let train = pairs(folder.path(), "train");
    // The validation targets equal their inputs, while training inverts them: metrics get worse with training.
    let mut config = config();
    std::fs::create_dir(folder.path().join("val")).unwrap();
    for seed in 0..3 {
        let half = picture(32, 32, seed);
        let png = encode_pair([&half, &half]).unwrap();
        std::fs::write(folder.path().join(format!("val/{seed}.png")), png).unwrap();
    }
    let val = pairs(folder.path(), "val");
    (config.training.epochs, config.training.keep, config.training.learning_rate) = (6, 1, 0.002);
    let fit = |run: &Path, save_every, stops: &[u64]| {
        let mut config = config.clone();
        config.training.save_every = save_every;
        for stop in stops {
            let mut trainer = Trainer::resume_or_new(run, config.clone(), &device::cpu()).unwrap();
            let mut steps = trainer.steps();
            let watch = |event: Event| {
                steps += u64::from(matches!(event, Event::Step { .. }));
                if steps == *stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            trainer.fit(&train, Some(&val), run, watch).unwrap();
        }
        let best = Trainer::resume(run, &device::cpu()).unwrap().best_step();
        (best, split_weights(&run.join("generator-best.safetensors")).1)
    };
    let expected = fit(&folder.path().join("often"), 1, &[99]);
    assert_ne!(expected.0, Some(42), "the test needs a best epoch before the last");
    for (name, save_every, stops) in
        [("seldom", 5, &[99][..]), ("never", 99, &[99]), ("stopped", 5, &[3, 7, 16, 28, 30, 99])]
    {
        assert!(fit(&folder.path().join(name), save_every, stops) == expected, "{name}");
    }
}

#[test]
fn each_line_has_the_rate_of_its_step_and_each_epoch_the_means_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let train = pairs(folder.path(), "train");
    let mut config = config();
    (config.training.warmup_steps, config.training.learning_rate) = (40, 1e-3);
    let run = folder.path().join("run");
    let mut losses_of = std::collections::BTreeMap::<usize, Vec<f32>>::new();
    let watch = |event: Event| {
        if let Event::Step { epoch, losses, .. } = event {
            losses_of.entry(epoch).or_default().push(losses.read().unwrap().g_l1.unwrap());
        }
        ControlFlow::Continue(())
    };
    Trainer::new(config, &device::cpu()).unwrap().fit(&train, None, &run, watch).unwrap();
    let metrics = read(run.join("metrics.jsonl"));
    let (mut rates, mut means) = (vec![], vec![]);
    for line in metrics.lines().map(|line| serde_json::from_str(line).unwrap()) {
        match line {
            Record::Step { step, learning_rate, .. } => rates.push((step, learning_rate)),
            Record::Epoch { epoch, step, losses, .. } => means.push((epoch, step, losses.g_l1.unwrap())),
            _ => panic!("{metrics}"),
        }
    }
    assert_eq!(rates, [(10, 0.25e-3), (20, 0.5e-3)]);
    assert_eq!(means.len(), 4);
    for (epoch, step, mean) in means {
        let all = &losses_of[&epoch];
        assert_eq!((all.len(), step), (7, 7 * epoch as u64));
        assert!((all.iter().sum::<f32>() / 7.0 - mean).abs() < 1e-4 * mean, "{epoch}: {mean} of {all:?}");
    }
}

#[test]
fn damaged_metrics_are_reported_and_samples_stay() {
    let folder = tempfile::tempdir().unwrap();
    let [train, val] = ["train", "val"].map(|split| pairs(folder.path(), split));
    let run = folder.path().join("run");
    let watch = |_: Event| ControlFlow::Continue(());
    Trainer::new(config(), &device::cpu()).unwrap().fit(&train, Some(&val), &run, watch).unwrap();
    let trainer = Trainer::resume(&run, &device::cpu()).unwrap();
    assert_eq!(trainer.skipped_checkpoints().count(), 0);
    // A checkpoint in another folder has no log, and needs none.
    let copy = folder.path().join("copy");
    trainer.save(&copy).unwrap();
    assert_eq!(Trainer::resume(&copy, &device::cpu()).unwrap().skipped_checkpoints().count(), 0);

    // All but the first lines are lost.
    let metrics = read(run.join("metrics.jsonl"));
    std::fs::write(run.join("metrics.jsonl"), &metrics[..metrics.len() / 3]).unwrap();
    let mut longer = config();
    longer.training.epochs = 5;
    let mut trainer = Trainer::resume_or_new(&run, longer.clone(), &device::cpu()).unwrap();
    let skipped: Vec<String> = trainer.skipped_checkpoints().map(ToString::to_string).collect();
    assert!(
        trainer.steps() == 28 && skipped.len() == 1 && skipped[0].contains("metrics.jsonl"),
        "{skipped:?}"
    );
    trainer.fit(&train, Some(&val), &run, watch).unwrap();
    for epoch in 0..=5 {
        assert!(run.join(format!("samples/epoch-{epoch:04}.png")).is_file(), "{epoch}");
    }
    assert_eq!(read(run.join("damaged-metrics.jsonl")), metrics[..metrics.len() / 3]);
    assert_eq!(
        Trainer::resume_or_new(&run, longer, &device::cpu()).unwrap().skipped_checkpoints().count(),
        0
    );
}

#[test]
fn a_run_that_cannot_be_saved_reports_both_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (train, run) = (pairs(folder.path(), "train"), folder.path().join("run"));
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let watch = |event: Event| {
        if let Event::Step { epoch: 2, batch: 1, .. } = event {
            // Damages the images, and prevents writing checkpoints.
            for index in 0..7 {
                std::fs::write(folder.path().join(format!("train/{index}.png")), "not an image").unwrap();
            }
            std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
            std::fs::write(run.join("checkpoints"), "a file").unwrap();
        }
        ControlFlow::Continue(())
    };
    let error = trainer.fit(&train, None, &run, watch).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Unsaved { .. }), "{message}");
    assert!(message.contains(".png") && message.contains("could not be saved"), "{message}");
    assert!(message.contains("run/checkpoints"), "{message}");
}

#[test]
fn results_without_checkpoints_are_not_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (train, run) = (pairs(folder.path(), "train"), folder.path().join("run"));
    let watch = |_: Event| ControlFlow::Continue(());
    Trainer::new(config(), &device::cpu()).unwrap().fit(&train, Some(&train), &run, watch).unwrap();
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let results = || {
        let files = ["metrics.jsonl", "generator.safetensors", "samples/epoch-0002.png"];
        files.map(|file| std::fs::read(run.join(file)).unwrap())
    };
    let before = results();

    let mut other = config();
    other.training.seed = 5;
    let refused = [
        Trainer::new(config(), &device::cpu()).unwrap(),
        Trainer::new(other.clone(), &device::cpu()).unwrap(),
        Trainer::resume_or_new(&run, other, &device::cpu()).unwrap(),
    ];
    for mut trainer in refused {
        for error in [trainer.save(&run), trainer.fit(&train, None, &run, watch)].map(Result::unwrap_err) {
            assert!(
                matches!(error, Error::Checkpoint { problem: CheckpointProblem::Results { .. }, .. }),
                "{error}"
            );
            let message = error.to_string();
            assert!(message.contains("run: results without checkpoints"), "{message}");
            assert!(message.contains("another folder") && message.contains("move them away"), "{message}");
        }
        assert!(results() == before);
    }
    // The same run may start over, and writes the same results.
    let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
    trainer.fit(&train, Some(&train), &run, watch).unwrap();
    assert!(results() == before);
}

#[test]
fn accuracies_are_shares_of_patches_and_agree_with_the_losses() {
    let folder = tempfile::tempdir().unwrap();
    let train = pairs(folder.path(), "train");
    let [rows, columns] = config().discriminator.patch_map_size([32, 32]).unwrap();
    let patches = (rows * columns) as f32;
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let mut seen = vec![];
    let watch = |event: Event| {
        if let Event::Step { losses, .. } = event {
            let values = losses.read().unwrap();
            seen.push((values.d_real_accuracy.unwrap(), values.d_real.unwrap()));
            seen.push((values.d_fake_accuracy.unwrap(), values.d_fake.unwrap()));
        }
        ControlFlow::Continue(())
    };
    trainer.fit(&train, None, folder.path().join("run"), watch).unwrap();
    // The loss of a patch is below ln 2 exactly if the discriminator classifies it correctly.
    let undecided = std::f32::consts::LN_2;
    for (accuracy, loss) in seen.iter().copied() {
        assert!((0.0..=1.0).contains(&accuracy) && (accuracy * patches).fract() == 0.0, "{seen:?}");
        assert!(accuracy < 1.0 || loss < undecided + 1e-6, "{accuracy} and {loss}");
        assert!(accuracy > 0.0 || loss > undecided - 1e-6, "{accuracy} and {loss}");
    }
    let accuracies = || seen.iter().map(|(accuracy, _)| *accuracy);
    assert!(accuracies().any(|share| share > 0.5) && accuracies().any(|share| share < 1.0), "{seen:?}");
}

/// A file system of 20 MB in a folder, mounted until it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=20m", "pix2pix"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mount.success(), "mount: {mount}");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
#[ignore = "mounts a file system: run it as root on Linux"]
fn a_file_system_that_fills_leaves_the_last_checkpoint() {
    let disk = SmallDisk::mount();
    let folder = tempfile::tempdir().unwrap();
    let [train, val] = ["train", "val"].map(|split| pairs(folder.path(), split));
    let watch = |_: Event| ControlFlow::Continue(());
    let mut config = config();
    (config.generator.base_channels, config.discriminator.base_channels) = (8, 8);
    (config.training.epochs, config.training.keep) = (8, 99);
    let run = disk.0.path().join("run");

    let mut large = config.clone();
    (large.generator.base_channels, large.discriminator.base_channels) = (64, 64);
    let mut trainer = Trainer::new(large, &device::cpu()).unwrap();
    let message = trainer.fit(&train, Some(&val), &run, watch).unwrap_err().to_string();
    assert!(message.contains("MiB are free; free some space"), "{message}");
    assert_eq!(trainer.steps(), 0, "steps were trained before the refusal");

    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    let error = trainer.fit(&train, Some(&val), &run, watch).unwrap_err();
    let message = error.to_string();
    assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(&run)), "{message}");
    assert!(message.contains("free some space and resume"), "{message}");
    let saved = std::fs::read_dir(run.join("checkpoints")).unwrap().count() as u64;
    assert!((2..8).contains(&saved), "{saved}");

    // The run can be resumed once there is room, here because it keeps fewer checkpoints.
    config.training.keep = 1;
    let mut trainer = Trainer::resume_or_new(&run, config.clone(), &device::cpu()).unwrap();
    assert_eq!((trainer.steps(), trainer.skipped_checkpoints().count()), (7 * saved, 0));
    trainer.fit(&train, Some(&val), &run, watch).unwrap();
    let whole = folder.path().join("whole");
    Trainer::new(config, &device::cpu()).unwrap().fit(&train, Some(&val), &whole, watch).unwrap();
    for file in ["generator.safetensors", "metrics.jsonl"] {
        assert!(std::fs::read(run.join(file)).unwrap() == std::fs::read(whole.join(file)).unwrap(), "{file}");
    }
}
