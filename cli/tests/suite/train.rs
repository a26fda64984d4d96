//! `train`: run folders, resuming, signals, divergence, closed pipes, and errors.

use std::process::{Command, Stdio};

use pix2pix::Pix2PixConfig;

use crate::program::{self, fails, finish, pix2pix, succeeds, text, wait_until};

#[test]
fn every_network_and_objective_trains() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 13] = [
        &["--system", "gan", "--discriminator-steps", "2"],
        &["--system", "ebgan", "--batch-size", "2", "--pulling-away", "0.1", "--margin", "0.2"],
        &["--system", "dcgan", "--batch-size", "4", "--size", "16"],
        &[
            "--discriminator",
            "auto-encoder",
            "--discriminator-layers",
            "2",
            "--gan",
            "energy",
            "--gan-weight",
            "9",
        ],
        &["--generator", "encoder-decoder", "--gan", "lsgan", "--patch", "16"],
        &["--generator", "resnet6", "--norm", "instance", "--gan", "hinge", "--patch", "1"],
        &["--generator", "resnet9", "--norm", "none", "--unconditional", "--patch", "34"],
        &["--gan", "none", "--preset", "pytorch"],
        &["--l1-weight", "0", "--lr", "0.001", "--load-size", "32", "--workers", "0"],
        &["--batch-size", "4", "--epochs", "1", "--decay-epochs", "1", "--save-every", "1"],
        &["--size", "64", "--direction", "b-to-a", "--seed", "7"],
        &["--batch-size", "4", "--accumulate", "2", "--clip-norm", "1", "--ema-decay", "0.9"],
        &["--schedule", "cosine", "--warmup-steps", "3", "--keep", "1", "--tensorboard"],
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let out = format!("run{number}");
        let mut arguments = vec!["--base-channels", "2", "--steps", "2", "--out", &out];
        if !case.contains(&"--size") {
            arguments.extend(["--size", "32"]);
        }
        arguments.extend(case);
        succeeds("train", folder.path(), &arguments);
    }
}

#[test]
fn an_error_gives_one_line_and_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("data/train")).unwrap();
    let message = fails(1, "train", here, &["--data", "data"]);
    assert!(message.starts_with("error: ") && message.contains("data/train: no pairs here"), "{message}");
    let message = fails(1, "train", here, &["--data", "nowhere"]);
    assert!(message.contains("nowhere"), "{message}");
    let message = fails(1, "train", here, &["--size", "50", "--generator", "resnet6"]);
    assert!(message.contains("data.crop_size: 50 is not divisible by 4"), "{message}");
    let message = fails(1, "train", here, &["--size", "50"]);
    assert!(message.contains("data.crop_size: 50 would make the U-Net too shallow"), "{message}");
    let message = fails(1, "train", here, &["--backend", "abacus"]);
    assert!(message.contains("`abacus`: unknown"), "{message}");
    let message = fails(1, "translate", here, &["--weights", "none", "--input", "a", "--output", "b"]);
    assert!(message.contains("none"), "{message}");
    std::fs::write(here.join("file"), "").unwrap();
    let message = fails(1, "train", here, &["--out", "file/run"]);
    assert!(message.contains("file/run"), "{message}");
    for wrong in [&["--patch", "71"][..], &["--gan", "w"], &["--colour", "red"], &["--steps", "many"]] {
        fails(2, "train", here, wrong);
    }
}

#[test]
#[cfg(unix)]
fn a_signal_finishes_the_step_and_saves_the_run() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        a_signal_finishes_the_step_and_saves(signal);
    }
}

#[cfg(unix)]
fn a_signal_finishes_the_step_and_saves(signal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--out", "run", "--epochs", "9999"];
    let mut child = pix2pix("train", folder.path(), &small).spawn().unwrap();
    wait_until("the end of the first epoch", || {
        assert!(child.try_wait().unwrap().is_none(), "training ended before the signal");
        folder.path().join("run/samples/epoch-0001.png").exists()
    });
    let interrupt = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = finish(child);
    let shown = text(&output.stdout);
    assert!(output.status.success() && shown.contains("stopped and saved after step"), "{shown}");
    assert!(shown.contains("--resume"), "{shown}");
    let words = shown.split("after step ").nth(1).unwrap();
    let step: u64 = words.split(';').next().unwrap().parse().unwrap();
    assert!(folder.path().join(format!("run/checkpoints/step-{step:09}")).is_dir());
    let (step, stop) = (step.to_string(), (step + 2).to_string());
    let more = succeeds("train", folder.path(), &[&small[..], &["--resume", "--steps", &stop]].concat());
    assert!(more.contains("2 steps"), "from {step}: {more}");
}

#[test]
fn a_diverging_run_rolls_back_three_times_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--out", "run", "--lr", "1e30", "--resume"];
    let message = fails(1, "train", folder.path(), &small);
    assert!(
        message.starts_with("error: ") && message.contains("step ") && message.contains("no checkpoint"),
        "{message}"
    );
    let message = fails(1, "train", folder.path(), &[&small[..], &["--on-nan", "rollback"]].concat());
    assert!(message.contains("rollback 3 of 3") && message.contains("\nerror: "), "{message}");
    assert!(!folder.path().join("run/generator.safetensors").exists(), "no diverged weights are saved");
}

#[test]
fn results_without_checkpoints_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"];
    succeeds("train", folder.path(), &small);
    let run = folder.path().join("run");
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let weights = std::fs::read(run.join("generator.safetensors")).unwrap();
    let message = fails(1, "train", folder.path(), &small);
    assert!(
        message.contains("results without checkpoints") && message.contains("another folder"),
        "{message}"
    );
    assert!(std::fs::read(run.join("generator.safetensors")).unwrap() == weights);
    let shown = succeeds("train", folder.path(), &[&small[..], &["--resume"]].concat());
    assert!(shown.contains("nothing is saved in run yet; starting a new run"), "{shown}");
}

#[test]
fn a_run_is_trained_resumed_and_used_for_translation() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "4", "--out", "run"];
    let shown = succeeds("train", folder.path(), &[&small[..], &["--steps", "3"]].concat());
    assert!(shown.contains("3 steps") && shown.contains("index.html"), "{shown}");
    let run = folder.path().join("run");
    for file in
        ["generator.safetensors", "metrics.jsonl", "index.html", "config.json", "samples/epoch-0000.png"]
    {
        assert!(run.join(file).is_file(), "{file}");
    }
    let page = std::fs::read_to_string(run.join("index.html")).unwrap();
    assert!(page.contains("data:image/") && !page.contains("src=\"http"));

    // A run is not overwritten; with --resume it is resumed.
    let message = fails(1, "train", folder.path(), &[&small[..], &["--steps", "3"]].concat());
    assert!(message.starts_with("error: ") && message.contains("--resume"), "{message}");
    let shown = succeeds("train", folder.path(), &[&small[..], &["--steps", "5", "--resume"]].concat());
    assert!(shown.contains("2 steps"), "{shown}");
    let shown = succeeds("train", folder.path(), &[&small[..], &["--steps", "5", "--resume"]].concat());
    assert!(shown.contains("0 steps"), "{shown}");
    // A changed setting is reported.
    let changed = [&small[..], &["--steps", "6", "--resume", "--clip-norm", "2"]].concat();
    let output = program::run("train", folder.path(), &changed);
    assert!(
        output.status.success()
            && text(&output.stderr).contains("training.clip_norm: none in the run, 2.0 given")
    );

    let pair = run.join("data/val/0000.png");
    let arguments = ["--weights", "run", "--input", pair.to_str().unwrap(), "--output", "out.png"];
    succeeds("translate", folder.path(), &arguments);
    assert_eq!(image::image_dimensions(folder.path().join("out.png")).unwrap(), (64, 32));
    let many = ["--weights", "run/generator.safetensors", "--input", "run/data/val", "--output", "out"];
    succeeds("translate", folder.path(), &[&many[..], &["--mode", "image", "--half", "none"]].concat());
    assert_eq!(std::fs::read_dir(folder.path().join("out")).unwrap().count(), 24);
    let onto_itself = ["--weights", "run", "--input", "run/data/val", "--output", "run/data/val"];
    let message = fails(1, "translate", folder.path(), &onto_itself);
    assert!(message.contains("is the input folder"), "{message}");
    succeeds("translate", folder.path(), &[&arguments[..], &["--samples", "2"]].concat());
    let [first, second] =
        ["out-1.png", "out-2.png"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert_ne!(first, second, "each sample has its own noise");
}

#[test]
#[cfg(target_os = "linux")]
fn a_closed_or_full_stdout_does_not_stop_training() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--steps", "900", "--epochs", "2"];
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    for (out, stdout) in [("full", Stdio::from(full)), ("closed", Stdio::piped())] {
        let arguments = [&small[..], &["--out", out]].concat();
        let mut child = pix2pix("train", folder.path(), &arguments).stdout(stdout).spawn().unwrap();
        drop(child.stdout.take()); // the reader of the pipe is gone
        let output = finish(child);
        assert!(output.status.success(), "{out}: {}", text(&output.stderr));
        assert!(folder.path().join(out).join("checkpoints/step-000000900").is_dir(), "{out}");
    }
    // For other commands a full stdout is an error; a closed pipe is not.
    let weights = ["--weights", "full", "--data", "full/data"];
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = finish(pix2pix("evaluate", folder.path(), &weights).stdout(full).spawn().unwrap());
    assert_eq!((output.status.code(), text(&output.stderr).starts_with("error: stdout: ")), (Some(1), true));
    let mut child = pix2pix("evaluate", folder.path(), &weights).spawn().unwrap();
    drop(child.stdout.take());
    assert!(finish(child).status.success());
}

#[test]
fn flags_override_the_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "loss.l1_weight = 7.0\ngenerator.base_channels = 2\ntraining = { clip_norm = 1.5, seed = 3 }\n";
    std::fs::write(folder.path().join("mine.toml"), text).unwrap();
    let flags = ["--config", "mine.toml", "--size", "32", "--seed", "4", "--steps", "1", "--out", "run"];
    succeeds("train", folder.path(), &flags);
    let config = Pix2PixConfig::load(folder.path().join("run/config.json")).unwrap();
    assert_eq!((config.loss.l1_weight, config.training.clip_norm, config.training.seed), (7.0, Some(1.5), 4));
    assert_eq!((config.generator.base_channels, config.discriminator.base_channels), (2, 32));
    assert_eq!(config.data.crop_size, 32.into());
}

#[test]
fn version_lists_the_features_and_help_the_commands() {
    let shown = |argument: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_pix2pix")).arg(argument).output().unwrap();
        assert!(output.status.success());
        text(&output.stdout)
    };
    let version = shown("--version");
    assert!(version.starts_with("pix2pix 0.1.0 (flex"), "{version}");
    assert_eq!(version.contains("pth"), cfg!(feature = "pth"), "{version}");
    let help = shown("--help");
    for command in
        ["train", "translate", "evaluate", "import", "export", "pairs", "colorize", "study", "backends"]
    {
        assert!(help.contains(&format!("  {command} ")), "{command}: {help}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pix2pix")).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a missing command is a wrong argument");
}
