//! Saving and going on: round trips, interrupted runs, and files that are not what they should be.
#![cfg(feature = "flex")]

mod support;

use std::ops::ControlFlow;
use std::path::Path;

use pix2pix::data::PairedFolder;
use pix2pix::{CheckpointProblem, Error, Event, Mode, Pix2PixConfig, Tensor, Trainer, Translator, device};
use support::{picture, small_config, write_pairs};

fn config() -> Pix2PixConfig {
    let mut config = small_config();
    (config.training.epochs, config.training.save_every) = (3, 1);
    config
}

fn pairs(folder: &Path) -> PairedFolder {
    if !folder.join("train").is_dir() {
        write_pairs(&folder.join("train"), 4, 32);
    }
    PairedFolder::open(folder.join("train"), &config().data).unwrap()
}

/// Trains until `stop` steps are done, or to the end.
fn train(trainer: &mut Trainer, pairs: &PairedFolder, run: &Path, stop: Option<u64>) {
    let mut steps = trainer.steps();
    let watch = |event: Event| {
        steps += u64::from(matches!(event, Event::Step { .. }));
        if stop == Some(steps) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    trainer.fit(pairs, None, run, watch).unwrap();
}

fn output(trainer: &Trainer) -> Vec<f32> {
    let device = device::cpu().autodiff();
    let ramp: Vec<f32> = (0..3 * 32 * 32).map(|i| (i as f32 * 0.013).sin()).collect();
    let input = Tensor::<1>::from_floats(ramp.as_slice(), &device).reshape([1, 3, 32, 32]);
    trainer.generator().forward_with(input, Mode::RUNNING).into_data().try_into_vec().unwrap()
}

#[test]
fn an_interrupted_run_ends_like_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = pairs(folder.path());
    let whole = folder.path().join("whole");
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, &whole, None);
    let expected = output(&trainer);

    for stop in [1, 4, 6] {
        let run = folder.path().join(format!("interrupted-{stop}"));
        let mut trainer = Trainer::resume_or_new(&run, config(), &device::cpu()).unwrap();
        train(&mut trainer, &pairs, &run, Some(stop));
        drop(trainer);
        let mut trainer = Trainer::resume(&run, &device::cpu()).unwrap();
        assert_eq!(trainer.steps(), stop);
        train(&mut trainer, &pairs, &run, None);
        assert_eq!(trainer.steps(), 12);
        assert!(output(&trainer) == expected, "stopped after step {stop}");
        let weights = |run: &Path| std::fs::read(run.join("generator.safetensors")).unwrap();
        assert!(weights(&run) == weights(&whole), "stopped after step {stop}");
    }
}

#[test]
fn the_weights_file_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(config(), &device::cpu()).unwrap();
    trainer.save(folder.path()).unwrap();
    let image = image::DynamicImage::ImageRgb8(picture(40, 23, 5));
    for path in [folder.path().to_owned(), folder.path().join("generator.safetensors")] {
        let translator = Translator::load(path, &device::cpu()).unwrap();
        let first = translator.translate(&image).unwrap();
        assert_eq!((first.width(), first.height()), (40, 23));
        assert_eq!(first, translator.translate(&image).unwrap(), "the same noise every time");
        let other = translator.with_mode(Mode::PAPER.with_noise(9)).translate(&image).unwrap();
        assert_ne!(first, other);
    }
}

#[test]
fn only_the_newest_checkpoints_stay() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = pairs(folder.path());
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    train(&mut trainer, &pairs, folder.path(), None);
    let mut names: Vec<String> = std::fs::read_dir(folder.path().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["step-000000008", "step-000000012"]);
}

fn saved() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let pairs = pairs(folder.path());
    let run = folder.path().join("run");
    train(&mut trainer, &pairs, &run, Some(1));
    (folder, run.join("checkpoints/step-000000001"))
}

#[test]
fn damaged_files_are_named() {
    for file in [
        "generator.bpk",
        "discriminator.bpk",
        "optimizer_g.bpk",
        "optimizer_d.bpk",
        "state.json",
        "config.json",
    ] {
        let (folder, checkpoint) = saved();
        let path = checkpoint.join(file);
        let bytes = std::fs::read(&path).unwrap();
        for damaged in [&bytes[..bytes.len() / 2], b"", b"not what it was"] {
            std::fs::write(&path, damaged).unwrap();
            let error = Trainer::resume(folder.path().join("run"), &device::cpu()).unwrap_err();
            assert!(matches!(error, Error::Checkpoint { .. }), "{file}: {error:?}");
            assert!(error.to_string().contains(file), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = Trainer::resume(folder.path().join("run"), &device::cpu()).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn other_versions_and_other_networks_are_refused() {
    let (folder, checkpoint) = saved();
    let run = folder.path().join("run");
    let mut other = config();
    other.generator.base_channels = 5;
    let error = Trainer::resume_or_new(&run, other, &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("generator differs"), "{error}");

    let mut longer = config();
    longer.training.epochs = 30;
    assert_eq!(Trainer::resume_or_new(&run, longer, &device::cpu()).unwrap().epochs(), 30);

    std::fs::write(checkpoint.join("state.json"), r#"{"format": 99, "new": true}"#).unwrap();
    let error = Trainer::resume(&run, &device::cpu()).unwrap_err();
    let problem =
        matches!(error, Error::Checkpoint { problem: CheckpointProblem::Version { found: 99, .. }, .. });
    assert!(problem && error.to_string().contains("format 99"), "{error}");

    let error = Trainer::resume(folder.path().join("train"), &device::cpu()).unwrap_err();
    assert!(matches!(error, Error::Checkpoint { problem: CheckpointProblem::Missing, .. }));
    assert!(error.to_string().contains("train: no checkpoint here"), "{error}");
}

#[test]
fn weights_that_do_not_fit_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("generator.safetensors");
    let error = Translator::load(&file, &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("generator.safetensors"), "{error}");
    for bytes in [&b""[..], b"12345678", &[255; 100]] {
        std::fs::write(&file, bytes).unwrap();
        let error = Translator::load(&file, &device::cpu()).unwrap_err();
        assert!(
            matches!(error, Error::Checkpoint { .. }) && error.to_string().contains("generator.safetensors")
        );
    }

    Trainer::new(config(), &device::cpu()).unwrap().save(folder.path()).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    // The configuration in the header now claims another width; the JSON keeps its length.
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert!(text[..header].contains(r#"\"base_channels\": 4"#));
    let changed = text[..header].replace(r#"\"base_channels\": 4"#, r#"\"base_channels\": 5"#);
    let forged = [&bytes[..8], changed.as_bytes(), &bytes[8 + header..]].concat();
    std::fs::write(&file, forged).unwrap();
    let error = Translator::load(&file, &device::cpu()).unwrap_err();
    assert!(matches!(&error, Error::Weights { mismatched, .. } if mismatched.len() > 10), "{error}");
    assert!(
        error.to_string().contains(
            "of another shape: network.encoder.0.conv.weight (network [5, 3, 4, 4], file [4, 3, 4, 4])"
        ),
        "{error}"
    );
}

#[test]
fn a_run_that_is_further_is_not_overwritten() {
    let (folder, checkpoint) = saved();
    let run = folder.path().join("run");
    let trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let message = trainer.save(&run).unwrap_err().to_string();
    assert!(message.contains("a run of 1 steps lies here"), "{message}");
    assert!(checkpoint.is_dir());

    let mut other = config();
    other.data.direction = pix2pix::data::Direction::BToA;
    let message = Trainer::resume_or_new(&run, other, &device::cpu()).unwrap_err().to_string();
    assert!(message.contains("data.direction differs"), "{message}");
}

#[test]
fn translating_leaves_a_trainer_as_it_was() {
    let trainer = Trainer::new(config(), &device::cpu()).unwrap();
    let before = output(&trainer);
    let translator = Translator::new(trainer.generator().clone(), trainer.config(), &device::cpu()).unwrap();
    translator.translate(&image::DynamicImage::ImageRgb8(picture(32, 32, 5))).unwrap();
    assert!(output(&trainer) == before, "its running statistics moved");
}
