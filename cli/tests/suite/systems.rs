//! The systems that pix2pix builds on: `train --system`, and `sample` for a generator without an input image.

use std::path::Path;

use pix2pix::config::System;
use pix2pix::{Pix2PixConfig, image};

use crate::program::{fails, succeeds};
use crate::support::{names, picture};

const DCGAN: &str = "--system dcgan --data images --layout single --size 16 --base-channels 4 --batch-size 3 --workers 1 \
                     --out run";

fn arguments(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_dcgan_is_trained_on_single_images_resumed_and_sampled() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("images")).unwrap();
    for seed in 0..6u8 {
        picture(20, 24, seed).save(here.join(format!("images/{seed}.png"))).unwrap();
    }
    succeeds("train", here, &arguments(&format!("{DCGAN} --epochs 2")));
    let config = Pix2PixConfig::load(here.join("run/config.json")).unwrap();
    assert_eq!(
        (config.generator.noise(), config.discriminator.layers, config.data.batch_size),
        (Some(100), 2, 3)
    );
    // Without other flags, the run's own settings apply.
    succeeds("train", here, &arguments("--out run --resume --epochs 3"));
    let resumed = Pix2PixConfig::load(here.join("run/config.json")).unwrap();
    assert_eq!((resumed.training.epochs, &resumed.generator), (3, &config.generator));
    assert!(here.join("run/samples/epoch-0003.png").is_file());

    succeeds("sample", here, &arguments("--weights run --count 5 --seed 2 --output a"));
    let expected = [
        "grid.png",
        "sample-0000.png",
        "sample-0001.png",
        "sample-0002.png",
        "sample-0003.png",
        "sample-0004.png",
    ];
    assert_eq!(names(&here.join("a")), expected);
    assert_eq!(image::image_dimensions(here.join("a/grid.png")).unwrap(), (48, 32));
    let message = fails(1, "sample", here, &arguments("--weights run --count 2 --output a"));
    assert!(message.contains("a/sample-0000.png exists"), "{message}");
    succeeds("sample", here, &arguments("--weights run --count 3 --seed 2 --output b"));
    assert_eq!(read(&here.join("a/sample-0002.png")), read(&here.join("b/sample-0002.png")));
    succeeds(
        "sample",
        here,
        &arguments("--weights run/generator.safetensors --count 3 --seed 3 --output b --overwrite"),
    );
    assert_ne!(read(&here.join("a/sample-0002.png")), read(&here.join("b/sample-0002.png")));

    // An exported and imported generator makes the same images.
    succeeds("export", here, &arguments("--weights run --output g.pth --discriminator d.pth"));
    succeeds("import", here, &arguments("--input g.pth --discriminator d.pth --output imported"));
    for weights in ["g.pth", "imported"] {
        let line = format!("--weights {weights} --count 1 --seed 2 --output of-{weights}");
        succeeds("sample", here, &arguments(&line));
        let image = here.join(format!("of-{weights}/sample-0000.png"));
        assert_eq!(read(&image), read(&here.join("a/sample-0000.png")), "{weights}");
    }

    let message = fails(1, "translate", here, &arguments("--weights run --input images --output c"));
    assert!(message.contains("--weights: run") && message.contains("`pix2pix sample`"), "{message}");
}

#[test]
fn sample_refuses_a_generator_that_translates() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &arguments("--size 32 --base-channels 2 --steps 1 --out run"));
    let message = fails(1, "sample", here, &arguments("--weights run --count 1 --output a"));
    assert!(message.contains("--weights: run") && message.contains("`pix2pix translate`"), "{message}");
    assert!(!here.join("a").exists());
}

#[test]
fn parts_of_a_system_that_flags_contradict_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (line, expected) in [
        ("--system dcgan --l1-weight 10", "loss.l1_weight: 10 does not fit"),
        ("--system dcgan --size 48", "48 is not a square whose side is a power of two"),
        ("--system ebgan --gan hinge", "loss.gan: hinge does not fit"),
        ("--system ebgan --pulling-away 0.1", "needs several images"),
        ("--system ebgan --pulling-away 0.1 --batch-size 2 --accumulate 2", "compares all images"),
        ("--generator dcgan", "discriminator.condition: input does not fit"),
    ] {
        let message = fails(1, "train", folder.path(), &arguments(line));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_names_of_systems_are_those_of_the_library() {
    let folder = tempfile::tempdir().unwrap();
    for system in [System::Pix2pix, System::Gan, System::Dcgan, System::Ebgan] {
        let line = format!("--system {system} --data absent");
        let message = fails(1, "train", folder.path(), &arguments(&line));
        assert!(message.contains("--data: absent"), "{message}");
    }
}
