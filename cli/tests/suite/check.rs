//! `pix2pix check`: every planted fault is found, and sound pairs have hardly any findings.

use std::path::Path;

use image::{DynamicImage, GrayImage, Luma, RgbImage, imageops};
use pix2pix::demo;
use serde_json::Value;

use crate::program::{run, succeeds, told};
use crate::support::picture;

/// Draws 24 pairs to train on and 6 to validate.
fn drawn(folder: &Path) {
    demo::draw_pairs(folder.join("data/train"), 0..24, 64, 0).unwrap();
    demo::draw_pairs(folder.join("data/val"), demo::HELD_OUT..demo::HELD_OUT + 6, 64, 0).unwrap();
}

/// Rewrites a pair.
fn change(folder: &Path, name: &str, with: impl Fn(&RgbImage) -> RgbImage) {
    let path = folder.join("data").join(name);
    with(&image::open(&path).unwrap().to_rgb8()).save(&path).unwrap();
}

/// Returns the report of `check data`.
fn report(folder: &Path) -> Value {
    succeeds("check", folder, &["data", "--json", "report.json", "--size", "64"]);
    serde_json::from_str(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap()
}

/// Returns the file names of a finding, sorted.
fn files(report: &Value, kind: &str) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let files = findings.iter().filter(|finding| finding["kind"] == kind);
    let files = files.flat_map(|finding| finding["files"].as_array().unwrap().clone());
    let mut files: Vec<String> =
        files.map(|file| file.as_str().unwrap().trim_start_matches("data/").to_owned()).collect();
    files.sort();
    files
}

#[test]
fn sound_pairs_have_no_findings_except_their_palette_and_rare_shifts() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    drawn(here);
    // The first 24 façades lack one of the walls' nine colours, which the held-out ones have.
    let new: Vec<Value> = report(here)["findings"].as_array().unwrap().clone();
    let new = new.iter().find(|finding| finding["kind"] == "new-classes").unwrap();
    assert!(
        new["advice"].as_str().unwrap().contains("val has classes in A that train lacks: [0, 70, 255];"),
        "{new}"
    );
    demo::draw_pairs(here.join("data/train"), 0..200, 64, 0).unwrap();
    let report = report(here);
    assert_eq!(report["pairs"], 206);
    // Of sound pairs, at most 2 % may seem shifted.
    assert!(files(&report, "shifted").len() * 50 <= 206, "{:?}", files(&report, "shifted"));
    for finding in report["findings"].as_array().unwrap() {
        assert!(["label-map", "shifted"].contains(&finding["kind"].as_str().unwrap()), "{finding}");
    }
    let command = report["command"].as_str().unwrap();
    assert!(command.starts_with("pix2pix train --data data --direction a-to-b --size 64"), "{command}");
}

#[test]
fn the_advised_command_works_for_class_ids() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for number in 0..6_u8 {
        let ids = GrayImage::from_fn(32, 32, |x, y| Luma([((x / 8 + y / 16 + u32::from(number)) % 4) as u8]));
        for (side, image) in [("A", DynamicImage::from(ids)), ("B", picture(32, 32, number).into())] {
            std::fs::create_dir_all(here.join("data").join(side)).unwrap();
            image.save(here.join("data").join(side).join(format!("{number}.png"))).unwrap();
        }
    }
    let (status, shown, message) = told(run("check", here, &["data", "--size", "32"]));
    assert_eq!((status, message.as_str()), (0, ""), "{shown}");
    let command = shown.lines().last().unwrap();
    assert!(command.contains(" --labels ids --classes 4 "), "{command}");
    let advised: Vec<&str> = command.split(' ').skip(2).collect();
    succeeds(
        "train",
        here,
        &[&advised[..], &["--steps", "1", "--base-channels", "2", "--out", "run"]].concat(),
    );
}

#[test]
fn every_planted_fault_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    drawn(here);
    let data = here.join("data");
    change(here, "train/0002.png", |pair| {
        let mut swapped = RgbImage::new(128, 64);
        imageops::replace(&mut swapped, &imageops::crop_imm(pair, 64, 0, 64, 64).to_image(), 0, 0);
        imageops::replace(&mut swapped, &imageops::crop_imm(pair, 0, 0, 64, 64).to_image(), 64, 0);
        swapped
    });
    // 4 of 64 pixels are 16 of 256.
    change(here, "train/0005.png", |pair| {
        RgbImage::from_fn(128, 64, |x, y| *pair.get_pixel(if x < 64 { x } else { (x - 4).max(64) }, y))
    });
    change(here, "train/0007.png", |pair| imageops::resize(pair, 160, 80, imageops::FilterType::Triangle));
    change(here, "train/0009.png", |pair| {
        RgbImage::from_fn(128, 64, |x, y| if x < 64 { image::Rgb([9; 3]) } else { *pair.get_pixel(x, y) })
    });
    std::fs::copy(data.join("train/0011.png"), data.join("train/0111.png")).unwrap();
    std::fs::copy(data.join("train/0012.png"), data.join("val/0112.png")).unwrap();
    std::fs::write(data.join("train/empty.png"), b"").unwrap();
    let whole = std::fs::read(data.join("train/0013.png")).unwrap();
    std::fs::write(data.join("train/cut.png"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(data.join("train/.hidden.png"), &whole).unwrap();
    let report = report(here);
    assert_eq!(report["pairs"], 32);
    assert_eq!(files(&report, "left-out"), ["train/.hidden.png", "train/cut.png", "train/empty.png"]);
    assert_eq!(files(&report, "swapped"), ["train/0002.png"]);
    assert_eq!(files(&report, "shifted"), ["train/0005.png"]);
    assert_eq!(files(&report, "size"), ["train/0007.png"]);
    assert_eq!(files(&report, "constant"), ["train/0009.png"]);
    assert_eq!(files(&report, "duplicate"), ["train/0011.png", "train/0111.png"]);
    assert_eq!(files(&report, "near-duplicate"), ["train/0012.png", "val/0112.png"]);
}

#[test]
fn strict_ends_with_status_1_and_the_page_needs_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    demo::draw_pairs(here.join("data"), 0..4, 32, 0).unwrap();
    std::fs::copy(here.join("data/0001.png"), here.join("data/same.png")).unwrap();
    let (status, shown, error) = told(run("check", here, &["data", "--html", "page.html"]));
    assert_eq!((status, error.as_str()), (0, ""), "{shown}");
    assert!(shown.contains("duplicate") && shown.contains("--val-fraction 0.1"), "{shown}");
    let page = std::fs::read_to_string(here.join("page.html")).unwrap();
    assert!(page.contains("data:image") && !page.contains("http"), "{page}");
    let (status, _, error) = told(run("check", here, &["data", "--strict"]));
    assert_eq!(status, 1);
    assert!(error.starts_with("error: data: ") && error.lines().count() == 1, "{error}");
    let (status, _, error) = told(run("check", here, &["nowhere"]));
    assert_eq!(status, 1);
    assert!(error.starts_with("error: nowhere: ") && error.lines().count() == 1, "{error}");
}
