//! The data folder of a run: what is found, what is recorded, and what is refused.

use std::path::Path;

use image::{RgbImage, imageops};

use crate::program::{fails, run, succeeds, told};
use crate::support::{picture, write_pairs};

const SMALL: [&str; 8] = ["--size", "16", "--base-channels", "2", "--patch", "16", "--workers", "0"];

fn train(here: &Path, arguments: &[&str]) -> String {
    succeeds("train", here, &[&SMALL[..], arguments].concat())
}

/// Writes images of equal names to `trainA/` and `trainB/`, and to `testA/` and `testB/`.
fn write_cyclegan(root: &Path) {
    for (folder, count) in [("trainA", 4), ("trainB", 4), ("testA", 2), ("testB", 2)] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
        for index in 0..count {
            let mut image = picture(24, 24, index);
            if folder.ends_with('B') {
                imageops::invert(&mut image);
            }
            image.save(root.join(folder).join(format!("{index:04}.png"))).unwrap();
        }
    }
}

#[test]
fn a_cyclegan_data_set_is_trained_on_and_its_test_pairs_are_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_cyclegan(&here.join("data"));
    let shown = train(here, &["--data", "data", "--out", "run", "--steps", "2"]);
    assert!(shown.contains("data: A and B in folders, trainA/ 4"), "{shown}");
    let message = fails(1, "evaluate", here, &["--weights", "run", "--data", "data"]);
    assert!(
        message.contains("--split: `val` is not a folder in data, which has trainA/, testA/"),
        "{message}"
    );
    let shown = succeeds("evaluate", here, &["--weights", "run", "--data", "data", "--split", "test"]);
    assert!(shown.contains("mean of 2"), "{shown}");
    let held_out = ["--data", "data", "--out", "held", "--steps", "1", "--val-fraction", "0.3"];
    assert!(train(here, &held_out).contains("held out"));
}

#[test]
fn a_resumed_run_finds_its_data_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_pairs(&here.join("pairs"), 6, 24);
    let first = [
        "--data",
        "pairs",
        "--out",
        "run",
        "--val-fraction",
        "0.4",
        "--direction",
        "b-to-a",
        "--epochs",
        "3",
    ];
    let shown = train(here, &[&first[..], &["--steps", "2"]].concat());
    let found = |shown: &str| shown.lines().find(|line| line.starts_with("pairs: ")).map(str::to_owned);
    assert!(found(&shown).is_some(), "{shown}");
    // From another folder, without a flag of the run.
    std::fs::create_dir(here.join("elsewhere")).unwrap();
    let resume = ["--out", "../run", "--resume"];
    let output = run("train", &here.join("elsewhere"), &[&resume[..], &["--steps", "4"]].concat());
    let (status, resumed, message) = told(output);
    assert_eq!((status, message.as_str()), (0, ""), "{resumed}");
    assert_eq!(found(&resumed), found(&shown));
    assert!(resumed.contains("\n2 steps"), "{resumed}");
    let config = std::fs::read_to_string(here.join("run/config.json")).unwrap();
    assert!(config.contains("b-to-a"), "{config}");

    std::fs::rename(here.join("pairs"), here.join("moved")).unwrap();
    let message = fails(1, "train", here, &["--out", "run", "--resume"]);
    assert!(
        message.contains("--data: ") && message.contains("pairs, which this run was trained on"),
        "{message}"
    );
    let moved = ["--out", "run", "--resume", "--steps", "5", "--data", "moved", "--val-fraction", "0.4"];
    assert!(succeeds("train", here, &moved).contains("\n1 steps"));
    // An earlier version recorded nothing: the demo's pairs are not drawn instead.
    std::fs::remove_file(here.join("run/data.json")).unwrap();
    let message = fails(1, "train", here, &["--out", "run", "--resume"]);
    assert!(message.contains("does not record it; name the folder"), "{message}");
    assert!(!here.join("run/data").exists());
}

#[test]
fn single_images_are_refused_and_stacked_pairs_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for name in ["single", "stacked"] {
        std::fs::create_dir_all(here.join(name)).unwrap();
    }
    for index in 0..4 {
        picture(96, 64, index).save(here.join(format!("single/{index}.png"))).unwrap();
        let mut below = picture(40, 40, index);
        let mut both = RgbImage::new(40, 80);
        imageops::replace(&mut both, &below, 0, 0);
        imageops::invert(&mut below);
        imageops::replace(&mut both, &below, 0, 40);
        both.save(here.join(format!("stacked/{index}.png"))).unwrap();
    }
    let message = fails(1, "train", here, &["--data", "single", "--out", "run"]);
    assert!(message.contains("not side-by-side pairs") && message.contains("3.png"), "{message}");
    let message = fails(1, "train", here, &["--data", "stacked", "--out", "run"]);
    assert!(message.contains("--layout stacked"), "{message}");
    assert!(!here.join("run").exists());
    let shown = train(here, &["--data", "stacked", "--layout", "stacked", "--out", "run", "--steps", "2"]);
    assert!(shown.contains("stacked: A above B, pairs 4"), "{shown}");
    // The layout is part of the run.
    let shown = succeeds("evaluate", here, &["--weights", "run", "--data", "stacked"]);
    assert!(shown.contains("mean of 4"), "{shown}");
    let shown = succeeds("check", here, &["stacked", "--layout", "stacked"]);
    assert!(shown.contains("stacked: 4 pairs"), "{shown}");
}
