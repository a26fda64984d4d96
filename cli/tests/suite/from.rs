//! `train --from`: runs that start from existing weights.

use std::path::Path;

use pix2pix::{Backbone, GanMode, Norm, Trainer, device, pytorch};

use crate::program::{fails, succeeds};

/// Returns the state dict of the generator in a run's newest checkpoint.
fn generator(run: &Path) -> pytorch::StateDict {
    pytorch::generator_state(Trainer::resume(run, &device::cpu()).unwrap().generator()).unwrap()
}

#[test]
#[cfg(feature = "pth")]
fn a_run_starts_from_weights_with_other_settings_and_is_resumed_without_flags() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"]);
    let exports = ["--weights", "run", "--output", "G.pth", "--discriminator", "D.pth"];
    succeeds("export", here, &exports);
    for (out, from, discriminator) in
        [("a", "G.pth", "D.pth"), ("b", "run", "run"), ("c", "run/generator.safetensors", "D.pth")]
    {
        let start = ["--from", from, "--from-discriminator", discriminator, "--size", "32", "--out", out];
        let other =
            ["--seed", "5", "--gan", "lsgan", "--lr", "0.001", "--direction", "b-to-a", "--steps", "0"];
        succeeds("train", here, &[&start[..], &other].concat());
        let trainer = Trainer::resume(here.join(out), &device::cpu()).unwrap();
        assert_eq!(trainer.config().generator.backbone, Backbone::Unet { depth: 5 });
        assert_eq!((trainer.config().loss.gan, trainer.config().training.seed), (GanMode::LeastSquares, 5));
        assert!(generator(&here.join(out)) == generator(&here.join("run")), "{out}");
        let state = pytorch::discriminator_state(trainer.discriminator()).unwrap();
        assert!(state == pytorch::read(here.join("D.pth")).unwrap(), "{out}");
    }
    // The run goes on without any of these flags.
    succeeds("train", here, &["--out", "a", "--resume", "--steps", "2"]);
    let trainer = Trainer::resume(here.join("a"), &device::cpu()).unwrap();
    assert_eq!((trainer.steps(), trainer.config().training.learning_rate), (2, 0.001));
    assert!(generator(&here.join("a")) != generator(&here.join("run")));
    let message = fails(2, "train", here, &["--from", "run", "--base-channels", "4"]);
    assert!(message.contains("--base-channels") && message.contains("--from"), "{message}");
}

#[test]
fn other_channels_are_named_and_adapted_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"]);
    let gray = r#"{ "data": { "input_channels": 1 }, "generator": { "input_channels": 1 },
                    "discriminator": { "input_channels": 1 } }"#;
    std::fs::write(here.join("gray.json"), gray).unwrap();
    let flags = ["--from", "run", "--config", "gray.json", "--size", "32", "--out", "gray", "--steps", "0"];
    let message = fails(1, "train", here, &flags);
    assert!(message.contains("first layer is for an input of 3 channels"), "{message}");
    assert!(message.contains("has 1") && message.contains("--adapt-channels"), "{message}");
    let shown = succeeds("train", here, &[&flags[..], &["--adapt-channels"]].concat());
    assert!(shown.contains("initialised anew in the generator: encoder.0.conv"), "{shown}");
    let (before, after) = (generator(&here.join("run")), generator(&here.join("gray")));
    let differing: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(differing, ["model.model.0.weight"]);
    assert_eq!(after["model.model.0.weight"].0, [2, 1, 4, 4]);
}

#[test]
#[cfg(feature = "pth")]
fn a_key_chooses_the_networks_of_a_file_with_several() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let small = ["--size", "32", "--base-channels", "2", "--steps", "1"];
    for (run, seed) in [("first", "1"), ("second", "2")] {
        succeeds("train", here, &[&small[..], &["--out", run, "--seed", seed]].concat());
    }
    let mut several = pytorch::StateDict::new();
    for (name, run) in [("a", "first"), ("b", "second")] {
        let trainer = Trainer::resume(here.join(run), &device::cpu()).unwrap();
        let networks = [
            ("netG", pytorch::generator_state(trainer.generator()).unwrap()),
            ("netD", pytorch::discriminator_state(trainer.discriminator()).unwrap()),
        ];
        for (network, state) in networks {
            several.extend(state.into_iter().map(|(key, value)| (format!("{network}_{name}.{key}"), value)));
        }
    }
    pytorch::save(&several, here.join("all.safetensors")).unwrap();
    let start = ["--from", "all.safetensors", "--from-discriminator", "all.safetensors", "--size", "32"];
    let message = fails(1, "train", here, &[&start[..], &["--out", "run"]].concat());
    assert!(message.contains("--key") && message.contains("`netG_a`, `netG_b`"), "{message}");
    let message = fails(1, "train", here, &[&start[..], &["--out", "run", "--key", "netG_b"]].concat());
    assert!(message.contains("--discriminator-key") && message.contains("`netD_a`, `netD_b`"), "{message}");
    let keys = ["--key", "netG_b", "--discriminator-key", "netD_a", "--no-dropout"];
    succeeds("train", here, &[&start[..], &keys, &["--out", "run", "--steps", "0"]].concat());
    let trainer = Trainer::resume(here.join("run"), &device::cpu()).unwrap();
    let state = |network| {
        let part = several.iter().filter_map(|(name, value)| Some((name.strip_prefix(network)?, value)));
        part.map(|(name, value)| (name.to_owned(), value.clone())).collect::<pytorch::StateDict>()
    };
    assert!(pytorch::generator_state(trainer.generator()).unwrap() == state("netG_b."));
    assert!(pytorch::discriminator_state(trainer.discriminator()).unwrap() == state("netD_a."));
    assert_eq!(trainer.config().generator.dropout, 0.0);
    let import = ["--input", "all.safetensors", "--discriminator", "all.safetensors", "--output", "imported"];
    succeeds("import", here, &[&import[..], &keys].concat());
    let trainer = Trainer::resume(here.join("imported"), &device::cpu()).unwrap();
    assert!(pytorch::discriminator_state(trainer.discriminator()).unwrap() == state("netD_a."));
    let message = fails(1, "train", here, &["--key", "netG_b", "--out", "other"]);
    assert!(message.contains("--key") && message.contains("--from"), "{message}");
}

#[test]
fn a_new_discriminator_is_that_of_the_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"]);
    let config =
        r#"{ "discriminator": { "base_channels": 3, "norm": "none" }, "training": { "beta_1": 0.3 } }"#;
    std::fs::write(here.join("c.json"), config).unwrap();
    for (out, flags, channels) in [("a", &[][..], 2), ("b", &["--config", "c.json"], 3)] {
        let start = ["--from", "run", "--size", "32", "--out", out, "--steps", "0"];
        succeeds("train", here, &[&start[..], flags].concat());
        let trainer = Trainer::resume(here.join(out), &device::cpu()).unwrap();
        assert_eq!(trainer.config().discriminator.base_channels, channels);
        assert_eq!(trainer.config().discriminator.norm == Norm::None, channels == 3);
        assert_eq!(trainer.config().generator.base_channels, 2);
    }
}
