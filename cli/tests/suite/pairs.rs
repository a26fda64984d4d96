//! `pairs`: the outputs for each task, and its errors.

use std::path::Path;
use std::process::Output;

use image::{Rgb, RgbImage, Rgba, RgbaImage};
use pix2pix::data::{DataConfig, PairedFolder};

use crate::program::run;

fn make(folder: &Path, arguments: &[&str]) -> Output {
    run("pairs", folder, &[&["--input", "in"], arguments].concat())
}

/// Returns the halves of the pair that a task makes from an image of 32 × 24 pixels.
fn pair(task: &str, photograph: &image::DynamicImage) -> [RgbImage; 2] {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    photograph.save(folder.path().join("in/a.b.png")).unwrap();
    std::fs::write(folder.path().join("in/notes.txt"), "not an image").unwrap();
    let output = make(folder.path(), &["--task", task, "--output", "out"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let both = image::open(folder.path().join("out/train/a_b_png.png")).unwrap().to_rgb8();
    assert_eq!(both.dimensions(), (64, 24));
    [0, 32].map(|x| image::imageops::crop_imm(&both, x, 0, 32, 24).to_image())
}

/// Returns an image that is red on the left and blue on the right.
fn photograph() -> RgbImage {
    RgbImage::from_fn(32, 24, |x, _| if x < 16 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 90]) })
}

#[test]
fn the_left_half_is_computed_from_the_right() {
    let [edges, right] = pair("edges", &photograph().into());
    assert_eq!(right, photograph());
    let black = |x: u32| (4..20).all(|y| edges.get_pixel(x, y).0 == [0; 3]);
    assert!(black(15) || black(16), "an edge where the colours meet");
    assert!((4..20).all(|y| edges.get_pixel(5, y).0 == [255; 3] && edges.get_pixel(26, y).0 == [255; 3]));

    let [grey, right] = pair("grey", &photograph().into());
    assert_eq!(right, photograph());
    let [r, g, b] = grey.get_pixel(2, 2).0;
    assert!(r == g && g == b && (40..90).contains(&r), "{r} {g} {b}");

    let [hole, right] = pair("inpaint", &photograph().into());
    assert_eq!(right, photograph());
    for (x, y, is_hole) in [(8, 6, true), (23, 17, true), (7, 6, false), (24, 17, false), (16, 5, false)] {
        assert_eq!(hole.get_pixel(x, y).0 == [255; 3], is_hole, "{x} {y}");
    }

    let cut = RgbaImage::from_fn(32, 24, |x, _| Rgba([10, 20, 30, if x < 8 { 255 } else { 0 }]));
    let [opaque, white] = pair("background", &cut.into());
    assert_eq!([opaque.get_pixel(2, 2).0, opaque.get_pixel(20, 2).0], [[10, 20, 30]; 2]);
    assert_eq!([white.get_pixel(2, 2).0, white.get_pixel(20, 2).0], [[10, 20, 30], [255; 3]]);
}

#[test]
fn edges_are_detected_at_the_size_of_training() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in/more")).unwrap();
    let large = image::imageops::resize(&photograph(), 320, 240, image::imageops::FilterType::Nearest);
    large.save(folder.path().join("in/more/a.png")).unwrap();
    large.save(folder.path().join("in/more_a.png")).unwrap();
    let arguments = ["--task", "edges", "--size", "60", "--output", "in/out", "--val-every", "0"];
    for _ in 0..2 {
        let output = make(folder.path(), &arguments); // the second time, the first output exists already
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("2 pairs to train on"), "{shown}");
    }
    for name in ["more_a_png.png", "more_a_png_.png"] {
        let both = image::open(folder.path().join("in/out/train").join(name)).unwrap().to_rgb8();
        assert_eq!(both.dimensions(), (160, 60));
        let line = (0..80).filter(|x| both.get_pixel(*x, 30).0 == [0; 3]).count();
        assert!((1..=2).contains(&line), "a line of {line} pixels");
    }
}

#[test]
fn every_second_photograph_is_held_out_and_both_splits_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    for index in 0..5 {
        photograph().save(folder.path().join(format!("in/{index}.png"))).unwrap();
    }
    let output = make(folder.path(), &["--task", "inpaint", "--output", "out", "--val-every", "2"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("3 pairs to train on, 2 to validate"), "{shown}");
    let config = DataConfig::default().with_crop_size(16).with_load_size(16);
    for (split, count) in [("train", 3), ("val", 2)] {
        assert_eq!(PairedFolder::open(folder.path().join("out").join(split), &config).unwrap().len(), count);
    }
}

#[test]
fn errors_name_the_file_or_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let message = |arguments: &[&str]| {
        let output = make(folder.path(), &[&["--output", "out"], arguments].concat());
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(message(&["--task", "grey"]).starts_with("error: in: "));
    std::fs::create_dir(folder.path().join("in")).unwrap();
    assert!(message(&["--task", "grey"]).contains("no photographs in this folder"));
    photograph().save(folder.path().join("in/a.png")).unwrap();
    assert!(message(&["--task", "background"]).contains("a.png: the image has no transparency"));
    assert!(message(&["--task", "edges", "--low", "90"]).contains("--low: 90"));
    std::fs::write(folder.path().join("in/b.jpg"), "not an image").unwrap();
    assert!(message(&["--task", "grey"]).contains("b.jpg"));
}
