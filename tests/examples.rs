//! The example programs, run as a user runs them: what they print, write, and answer to mistakes.
//!
//! `cargo test` builds the examples before the tests, in the same profile, next to them.
#![cfg(feature = "flex")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn example(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    let program = path.join("examples").join(name);
    Command::new(&program)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeds(name: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = example(name, folder, arguments);
    assert!(output.status.success(), "{name} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn fails(status: i32, name: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = example(name, folder, arguments);
    assert_eq!(output.status.code(), Some(status), "{name} {arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn hello_shows_the_published_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let shown = succeeds("hello", folder.path(), &[]);
    for expected in ["54 413 955", "2 768 705", "[1, 3, 256, 256]", "[1, 1, 30, 30]", "70x70"] {
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn train_then_translate_then_go_on() {
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

    // A run is never overwritten by accident, but goes on when asked to.
    let message = fails(1, "train", folder.path(), &[&small[..], &["--steps", "3"]].concat());
    assert!(message.starts_with("error: ") && message.contains("--resume"), "{message}");
    let shown = succeeds("train", folder.path(), &[&small[..], &["--steps", "5", "--resume"]].concat());
    assert!(shown.contains("2 steps"), "{shown}");
    let shown = succeeds("train", folder.path(), &[&small[..], &["--steps", "5", "--resume"]].concat());
    assert!(shown.contains("0 steps"), "{shown}");

    let pair = run.join("data/val/0000.png");
    let arguments = ["--weights", "run", "--input", pair.to_str().unwrap(), "--output", "out.png"];
    succeeds("translate", folder.path(), &arguments);
    assert_eq!(image::image_dimensions(folder.path().join("out.png")).unwrap(), (64, 32));
    let many = ["--weights", "run/generator.safetensors", "--input", "run/data/val", "--output", "out"];
    succeeds("translate", folder.path(), &[&many[..], &["--mode", "image"]].concat());
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
fn every_shape_and_objective_trains() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [&[&str]; 9] = [
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
fn mistakes_get_one_line_and_a_status() {
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
    assert!(message.contains("data.crop_size: 50 is not divisible by 4"), "{message}");
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
fn ctrl_c_finishes_the_step_and_saves() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--out", "run", "--epochs", "9999"];
    let program = std::env::current_exe().unwrap();
    let program = program.parent().unwrap().parent().unwrap().join("examples/train");
    let child = Command::new(program)
        .current_dir(folder.path())
        .args(small)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The validation of the untrained generator is written once training has begun.
    while !folder.path().join("run/samples/epoch-0001.png").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let output = child.wait_with_output().unwrap();
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
fn a_run_that_breaks_down_goes_back_and_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--out", "run", "--lr", "1e30", "--resume"];
    let message = fails(1, "train", folder.path(), &small);
    assert!(message.starts_with("error: step ") && message.contains("no checkpoint"), "{message}");
    let message = fails(1, "train", folder.path(), &[&small[..], &["--on-nan", "rollback"]].concat());
    assert!(message.contains("detour 3 of 3") && message.contains("error: step "), "{message}");
    assert!(!folder.path().join("run/generator.safetensors").exists(), "nothing unsound is saved");
}

#[test]
fn backends_compares_with_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let shown = succeeds("backends", folder.path(), &["--size", "32", "--base-channels", "2"]);
    assert!(shown.contains("flex") && shown.contains("gradients"), "{shown}");
}

#[test]
#[cfg(feature = "pytorch")]
fn a_generator_goes_to_pytorch_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"]);
    succeeds("import_pytorch", here, &["--export", "--input", "run", "--output", "net_G.safetensors"]);
    let shown =
        succeeds("import_pytorch", here, &["--input", "net_G.safetensors", "--output", "back.safetensors"]);
    assert!(shown.contains("Unet { depth: 5 }"), "{shown}");
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pixel.pth");
    let arguments = ["--input", "net_G.safetensors", "--output", "more", "--discriminator"];
    succeeds("import_pytorch", here, &[&arguments[..], &[judge.to_str().unwrap()]].concat());
    let trainer = pix2pix::Trainer::resume(here.join("more"), &pix2pix::device::cpu()).unwrap();
    assert_eq!(trainer.config().discriminator.layers, 0);

    let pair = here.join("run/data/val/0000.png");
    for (weights, output) in [("run", "a.png"), ("back.safetensors", "b.png")] {
        let arguments =
            ["--weights", weights, "--input", pair.to_str().unwrap(), "--output", output, "--mode", "image"];
        succeeds("translate", here, &arguments);
    }
    let [a, b] = ["a.png", "b.png"].map(|name| image::open(here.join(name)).unwrap());
    assert_eq!(a, b);
}
