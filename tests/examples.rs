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
    // What has changed is told.
    let changed = [&small[..], &["--steps", "6", "--resume", "--clip-norm", "2"]].concat();
    let output = example("train", folder.path(), &changed);
    assert!(output.status.success() && text(&output.stderr).contains("training.clip_norm is 2.0, was none"));

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
fn a_folder_is_translated_whatever_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"]);
    let input = here.join("input");
    std::fs::create_dir_all(input.join("a/b")).unwrap();
    for (index, name) in ["0.png", "a/1.jpg", "a/b/2.webp", "a/b/2.bmp", "3.tif"].into_iter().enumerate() {
        image::RgbImage::from_pixel(20 + index as u32, 9, image::Rgb([9, 80, 200]))
            .save(input.join(name))
            .unwrap();
    }
    std::fs::write(input.join("a/broken.png"), b"no picture").unwrap();
    std::fs::write(input.join("empty.jpg"), b"").unwrap();
    std::fs::write(input.join("notes.txt"), b"no picture, and no picture's name").unwrap();
    let arguments = ["--weights", "run", "--input", "input", "--output", "input/out"];
    let output = example("translate", here, &arguments);
    let (shown, message) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(shown.contains("5 translated"), "{shown}");
    assert!(
        message.contains("a/broken.png") && message.contains("empty.jpg: the file is empty"),
        "{message}"
    );
    assert!(message.contains("error: input: 2 of 7 pictures could not be translated"), "{message}");
    for (index, name) in ["0.png", "a/1.jpg", "a/b/2.webp", "a/b/2.bmp", "3.tif"].into_iter().enumerate() {
        let size = image::image_dimensions(input.join("out").join(name)).unwrap();
        assert_eq!(size, (20 + index as u32, 9), "{name}");
    }

    // What is there stays, unless it is to be done again; results inside of the input are no input.
    let kept = input.join("out/0.png");
    std::fs::write(&kept, b"mine").unwrap();
    let output = example("translate", here, &arguments);
    let (shown, message) = (text(&output.stdout), text(&output.stderr));
    assert!(shown.contains("0 translated") && shown.contains("5 were there already"), "{shown} {message}");
    assert_eq!(std::fs::read(&kept).unwrap(), b"mine");
    let output = example("translate", here, &[&arguments[..], &["--overwrite"]].concat());
    assert!(text(&output.stdout).contains("5 translated"), "{}", text(&output.stderr));
    assert!(image::open(&kept).is_ok());
    let one = ["--weights", "run", "--input", "input/0.png", "--output", "input/out/0.png"];
    assert!(fails(1, "translate", here, &one).contains("--overwrite"));
    succeeds("translate", here, &[&one[..], &["--overwrite", "--mode", "running"]].concat());

    // Another type, under names that do not meet.
    std::fs::remove_file(input.join("a/broken.png")).unwrap();
    std::fs::remove_file(input.join("empty.jpg")).unwrap();
    let arguments = ["--weights", "run", "--input", "input/a", "--output", "jpeg", "--format", "jpg"];
    succeeds("translate", here, &arguments);
    for name in ["1.jpg", "b/2-bmp.jpg", "b/2-webp.jpg"] {
        assert!(image::open(here.join("jpeg").join(name)).is_ok(), "{name}");
    }
    let arguments = ["--weights", "run", "--input", "input/a", "--output", "x", "--format", "svg"];
    assert!(fails(1, "translate", here, &arguments).contains("`svg` is no type"));
}

#[test]
fn evaluate_gives_the_scores_of_the_training() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "2"]);
    let arguments = ["--weights", "run", "--data", "run/data", "--json", "scores.json"];
    let shown = succeeds("evaluate", here, &arguments);
    assert!(shown.contains("0000.png") && shown.contains("mean of 24"), "{shown}");
    let scores = std::fs::read_to_string(here.join("scores.json")).unwrap();
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(scores["pairs"].as_array().unwrap().len(), 24);
    let trainer = pix2pix::Trainer::resume(here.join("run"), &pix2pix::device::cpu()).unwrap();
    let pairs = pix2pix::data::PairedFolder::open(here.join("run/data/val"), &trainer.config().data).unwrap();
    let expected = trainer.evaluate(&pairs).unwrap();
    for (name, expected) in [("l1", expected.l1), ("psnr", expected.psnr), ("ssim", expected.ssim)] {
        let found = scores["mean"][name].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-5 * expected.abs(), "{name}: {found} is not {expected}");
    }
}

#[test]
fn colorize_learns_from_photographs_and_colours_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("photographs/more")).unwrap();
    for (index, name) in ["0.png", "1.jpg", "more/2.png"].into_iter().enumerate() {
        let picture = image::RgbImage::from_fn(50 + index as u32, 40, |x, y| {
            image::Rgb([x as u8 * 4, 90, y as u8 * 6])
        });
        picture.save(here.join("photographs").join(name)).unwrap();
    }
    let small = ["--size", "32", "--base-channels", "2", "--data", "photographs", "--out", "run"];
    let shown = succeeds("colorize", here, &[&small[..], &["--steps", "2"]].concat());
    assert!(shown.contains("3 photographs") && shown.contains("2 steps"), "{shown}");
    let shown = succeeds("colorize", here, &[&small[..], &["--steps", "4", "--batch-size", "1"]].concat());
    assert!(shown.contains("4 steps"), "{shown}");
    image::GrayImage::from_fn(37, 21, |x, y| image::Luma([(x * 5 + y) as u8]))
        .save(here.join("grey.png"))
        .unwrap();
    succeeds("colorize", here, &["--out", "run", "--input", "grey.png", "--output", "coloured.png"]);
    let coloured = image::open(here.join("coloured.png")).unwrap();
    assert_eq!((coloured.width(), coloured.height(), coloured.color()), (37, 21, image::ColorType::Rgb8));
    std::fs::create_dir(here.join("nothing")).unwrap();
    assert!(fails(1, "colorize", here, &["--data", "nothing"]).contains("no photographs in this folder"));
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
fn ctrl_c_and_the_end_of_the_system_finish_the_step_and_save() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        a_signal_finishes_the_step_and_saves(signal);
    }
}

#[cfg(unix)]
fn a_signal_finishes_the_step_and_saves(signal: &str) {
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
    let interrupt = Command::new("kill").args([signal, &child.id().to_string()]).status();
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
fn results_without_checkpoints_are_not_trained_over_by_accident() {
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
    assert!(shown.contains("nothing is saved in run yet; starting anew"), "{shown}");
}

#[test]
fn backends_compares_with_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let shown = succeeds("backends", folder.path(), &["--size", "32", "--base-channels", "2"]);
    assert!(shown.contains("flex") && shown.contains("gradients"), "{shown}");
}

#[test]
#[cfg(feature = "pth")]
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

    // The run's own discriminator there and back.
    let judge =
        ["--export", "--input", "run", "--output", "G.safetensors", "--discriminator", "D.safetensors"];
    succeeds("import_pytorch", here, &judge);
    let both = ["--input", "G.safetensors", "--output", "again", "--discriminator", "D.safetensors"];
    succeeds("import_pytorch", here, &both);
    let state = |run: &str| {
        let trainer = pix2pix::Trainer::resume(here.join(run), &pix2pix::device::cpu()).unwrap();
        pix2pix::pytorch::discriminator_state(trainer.discriminator())
    };
    assert!(state("run") == state("again"));

    let pair = here.join("run/data/val/0000.png");
    for (weights, output) in [("run", "a.png"), ("back.safetensors", "b.png")] {
        let arguments =
            ["--weights", weights, "--input", pair.to_str().unwrap(), "--output", output, "--mode", "image"];
        succeeds("translate", here, &arguments);
    }
    let [a, b] = ["a.png", "b.png"].map(|name| image::open(here.join(name)).unwrap());
    assert_eq!(a, b);
}
