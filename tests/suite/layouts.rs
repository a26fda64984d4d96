//! Data folders in the layouts that people have, and folders that hold something else than pairs.
#![cfg(feature = "flex")]

use std::path::Path;

use image::{DynamicImage, RgbImage, imageops};
use pix2pix::Error;
use pix2pix::data::{
    DataConfig, DataFolder, Layout, Pair, PairedFolder, Reason, encode_pair, looks_like_pair,
};

use crate::support::{picture, write_pairs};

fn config() -> DataConfig {
    DataConfig::new().with_load_size(40).with_crop_size(40).with_workers(0)
}

fn pairs(folder: &PairedFolder) -> Vec<Pair> {
    (0..folder.len()).map(|index| folder.pair(index).unwrap()).collect()
}

/// Saves the halves of each pair in `from` as two files. `place` returns the files of A and B for a name.
fn separate(from: &Path, place: impl Fn(&str) -> [String; 2], root: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let both = image::open(&path).unwrap();
        let half = both.width() / 2;
        let files = place(path.file_name().unwrap().to_str().unwrap());
        for (side, file) in [0, 1].into_iter().zip(files) {
            let file = root.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            both.crop_imm(side * half, 0, half, both.height()).save(file).unwrap();
        }
    }
}

#[test]
fn every_layout_gives_the_same_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_pairs(&root.join("one/train"), 5, 40);
    write_pairs(&root.join("one/valid"), 2, 40);
    write_pairs(&root.join("one/test"), 1, 40);
    let open = |name: &str, layout| {
        let data = DataFolder::open(root.join(name)).unwrap();
        let (train, val) = data.train_and_val(&config().with_layout(layout), None).unwrap();
        let val = val.unwrap();
        let line = data.describe(&train, Some(&val));
        assert_eq!(data.outside().unwrap(), [], "{name}");
        assert_eq!((train.left_out(), val.left_out()), (&[][..], &[][..]), "{name}");
        (pairs(&train), pairs(&val), line)
    };
    let (train, val, line) = open("one", None);
    assert_eq!((train.len(), val.len()), (5, 2));
    assert_eq!(line, "one: side by side, train/ 5, valid/ 2");
    for [name, train_a, train_b, val_a, val_b] in [
        ["inside", "train/A", "train/B", "val/A", "val/B"],
        ["lower", "train/a", "train/b", "val/a", "val/b"],
        ["words", "train/input", "train/target", "val/input", "val/target"],
        ["cyclegan", "trainA", "trainB", "valA", "valB"],
        ["underscores", "train_A", "train_B", "val_A", "val_B"],
        ["sides", "A/train", "B/train", "A/val", "B/val"],
    ] {
        let place =
            |a: &'static str, b: &'static str| move |file: &str| [a, b].map(|side| format!("{side}/{file}"));
        separate(&root.join("one/train"), place(train_a, train_b), &root.join(name));
        separate(&root.join("one/valid"), place(val_a, val_b), &root.join(name));
        let (of_train, of_val, line) = open(name, None);
        assert!(of_train == train && of_val == val, "{name}");
        assert!(line.starts_with(&format!("{name}: A and B in folders, ")), "{line}");
    }
    for split in ["train", "valid"] {
        std::fs::create_dir_all(root.join("stacked").join(split)).unwrap();
        for entry in std::fs::read_dir(root.join("one").join(split)).unwrap() {
            let path = entry.unwrap().path();
            let both = image::open(&path).unwrap().into_rgb8();
            let mut stacked = RgbImage::new(40, 80);
            imageops::replace(&mut stacked, &*imageops::crop_imm(&both, 0, 0, 40, 40), 0, 0);
            imageops::replace(&mut stacked, &*imageops::crop_imm(&both, 40, 0, 40, 40), 0, 40);
            stacked.save(root.join("stacked").join(split).join(path.file_name().unwrap())).unwrap();
        }
    }
    let (of_train, of_val, line) = open("stacked", Some(Layout::Stacked));
    assert!(of_train == train && of_val == val);
    assert_eq!(line, "stacked: A above B, train/ 5, valid/ 2");
    // Without the layout, it is recognised and named.
    let data = DataFolder::open(root.join("stacked")).unwrap();
    let message = data.train_and_val(&config(), None).unwrap_err().to_string();
    assert!(message.contains("--layout stacked"), "{message}");
}

#[test]
fn images_outside_the_splits_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(&folder.path().join("train"), 3, 40);
    write_pairs(&folder.path().join("more"), 2, 40);
    let data = DataFolder::open(folder.path()).unwrap();
    let outside = data.outside().unwrap();
    assert_eq!(outside.len(), 2);
    assert!(outside.iter().all(|file| file.reason == Reason::OutsidePairs), "{outside:?}");
    assert_eq!(data.split("more", &config()).unwrap().len(), 2);
    for name in ["mroe", "../more", ""] {
        let message = data.split(name, &config()).unwrap_err().to_string();
        assert!(
            message.contains(&format!("`{name}` is not a folder in")) && message.contains("train/"),
            "{message}"
        );
    }
}

#[test]
fn a_folder_of_single_images_is_refused_and_a_given_layout_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..5 {
        picture(96, 64, index).save(folder.path().join(format!("{index}.png"))).unwrap();
    }
    let error = PairedFolder::open(folder.path(), &config()).unwrap_err();
    let Error::Pairs { unmatched, .. } = &error else { panic!("{error:?}") };
    assert_eq!(unmatched, &["0.png", "1.png", "2.png", "3.png", "4.png"]);
    let message = error.to_string();
    assert!(
        message.contains("not side-by-side pairs") && message.contains("--layout side-by-side"),
        "{message}"
    );
    let believed = config().with_layout(Some(Layout::SideBySide));
    assert_eq!(PairedFolder::open(folder.path(), &believed).unwrap().len(), 5);
    // Files of `encode_pair` are pairs whatever they show.
    for index in 0..5 {
        let half = picture(48, 64, index);
        let png = encode_pair([&half, &half]).unwrap();
        std::fs::write(folder.path().join(format!("{index}.png")), png).unwrap();
    }
    assert_eq!(PairedFolder::open(folder.path(), &config()).unwrap().len(), 5);
    assert!(encode_pair([&picture(8, 8, 0), &picture(9, 8, 0)]).is_err());
}

#[test]
fn single_odd_files_are_left_out_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 20, 40);
    picture(60, 60, 1).save(folder.path().join("photo.png")).unwrap();
    picture(61, 40, 1).save(folder.path().join("odd.png")).unwrap();
    let pairs = PairedFolder::open(folder.path(), &config()).unwrap();
    assert_eq!(pairs.len(), 20);
    let names: Vec<String> =
        pairs.left_out().iter().map(|file| file.path.file_name().unwrap().to_string_lossy().into()).collect();
    assert_eq!(names, ["odd.png", "photo.png"]);
    assert!(pairs.left_out().iter().all(|file| matches!(file.reason, Reason::NotAPair(_))));
}

#[test]
fn pairs_on_a_plain_background_show_nothing_and_equal_halves_are_not_a_pair() {
    let plain = RgbImage::from_fn(128, 64, |x, y| {
        let is_inside = (20..44).contains(&(x % 64)) && (16..48).contains(&y);
        image::Rgb([if is_inside { (x * 3 + y) as u8 % 200 } else { 255 }; 3])
    });
    assert_eq!(looks_like_pair(&DynamicImage::from(plain)), None);
    let half = picture(64, 64, 3);
    let mut twice = RgbImage::new(128, 64);
    imageops::replace(&mut twice, &half, 0, 0);
    imageops::replace(&mut twice, &half, 64, 0);
    // A seam alone does not make a pair of two equal halves.
    assert_eq!(looks_like_pair(&DynamicImage::from(twice)), Some(false));
}

#[test]
fn stacked_blocks_of_colour_are_not_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..4 {
        // A small step in the middle of each half, and a large one between them.
        let stacked = RgbImage::from_fn(64, 128, |x, y| {
            let half = u32::from(y >= 64);
            image::Rgb([
                40 + 150 * half as u8 + 8 * u8::from(x >= 32),
                60 * index,
                ((y % 64) / 16 * 20) as u8,
            ])
        });
        stacked.save(folder.path().join(format!("{index}.png"))).unwrap();
    }
    let message = PairedFolder::open(folder.path(), &config()).unwrap_err().to_string();
    assert!(message.contains("--layout stacked"), "{message}");
}
