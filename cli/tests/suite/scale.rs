//! The scale of training and translation, halves of pairs, and outputs that must not harm inputs.

use std::path::{Path, PathBuf};

use image::{DynamicImage, RgbImage, imageops};
use pix2pix::data::Preprocess;
use pix2pix::{Backbone, Translator, device};

use crate::program::{fails, run, succeeds, told};
use crate::support::{picture, small_config, write_pairs};

/// Writes weights of a very small network for crops of 32 pixels, trained on images of `seen` pixels.
fn weights(path: &Path, preprocess: Preprocess, seen: [usize; 2]) {
    let mut config = small_config();
    (config.generator.base_channels, config.generator.backbone) = (2, Backbone::Unet { depth: 3 });
    config.data = config.data.with_preprocess(preprocess).with_image_size(seen);
    let generator = config.generator.init_seeded(1, &device::cpu());
    let translator = Translator::new(generator, &device::cpu()).unwrap().with_data(config.data).unwrap();
    translator.save(path).unwrap();
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).sort_by_file_name();
    entries.into_iter().map(|entry| entry.unwrap().path().strip_prefix(folder).unwrap().to_owned()).collect()
}

fn pixels(path: impl AsRef<Path>) -> RgbImage {
    image::open(path.as_ref()).unwrap().to_rgb8()
}

/// Writes the left halves of the pairs in `from` to `to`.
fn left_halves(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let pair = image::open(from.join(&name)).unwrap();
        pair.crop_imm(0, 0, pair.width() / 2, pair.height()).save(to.join(&name)).unwrap();
    }
}

#[test]
fn train_records_how_it_prepares_images_and_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_pairs(&here.join("data/train"), 3, 48);
    let flags = ["--data", "data", "--size", "16", "--base-channels", "2", "--steps", "3", "--patch", "16"];
    for way in ["resize", "scale-width", "crop", "none"] {
        succeeds("train", here, &[&flags[..], &["--preprocess", way, "--out", way]].concat());
        let config = Translator::load(here.join(way), &device::cpu()).unwrap().config().data.clone();
        assert_eq!((config.preprocess.to_string().as_str(), config.image_size), (way, Some(48.into())));
        let text = std::fs::read_to_string(here.join(way).join("config.json")).unwrap();
        assert!(text.contains(&format!("\"preprocess\": \"{way}\"")) && text.contains("\"image_size\": 48"));
        let resumed = told(run(
            "train",
            here,
            &[&flags[..], &["--preprocess", way, "--out", way, "--resume"]].concat(),
        ));
        let changes = resumed.2.lines().filter(|line| !line.contains("no folder `val`")).count();
        assert_eq!((resumed.0, changes), (0, 0), "nothing has changed: {}", resumed.2);
    }
    // An image below the crop size is named, with the remedy.
    write_pairs(&here.join("small/train"), 1, 12);
    let arguments = [&flags[..], &["--preprocess", "crop", "--out", "x", "--data", "small"][..4]].concat();
    let arguments: Vec<&str> = arguments.iter().map(|a| if *a == "data" { "small" } else { *a }).collect();
    let message = fails(1, "train", here, &arguments);
    assert!(
        message.contains("0.png: 12 pixels, fewer than the crop of 16; use a smaller --size"),
        "{message}"
    );
}

#[test]
fn whole_images_of_any_size_are_trained_on_and_validated() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (index, (width, height)) in [(40, 24), (34, 50)].into_iter().enumerate() {
        for split in ["train", "val"] {
            std::fs::create_dir_all(here.join("data").join(split)).unwrap();
            picture(width, height, index as u8).save(here.join(format!("data/{split}/{index}.png"))).unwrap();
        }
    }
    let flags =
        ["--data", "data", "--size", "16", "--base-channels", "2", "--patch", "16", "--preprocess", "none"];
    succeeds("train", here, &[&flags[..], &["--epochs", "1", "--out", "run"]].concat());
    let grid = std::fs::read_dir(here.join("run/samples")).unwrap().next().unwrap().unwrap().path();
    let grid = image::image_dimensions(grid).unwrap();
    assert_eq!(grid, (3 * 20, 24 + 50), "input, output and target of both pairs");
    let message = fails(
        1,
        "train",
        here,
        &[&flags[..], &["--epochs", "1", "--out", "two", "--batch-size", "2"]].concat(),
    );
    assert!(message.contains("whole images in batches of 2 need one size"), "{message}");
}

#[test]
fn evaluate_and_translate_give_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (way, size) in [(Preprocess::Resize, 32), (Preprocess::Crop, 45), (Preprocess::None, 45)] {
        weights(&here.join("w"), way, [size, size]);
        let size = size as u32;
        let data = here.join(format!("{way}/val"));
        write_pairs(&data, 3, size);
        left_halves(&data, &here.join(format!("{way}/in")));
        let here = here.join(way.to_string());
        let evaluate = [
            "--weights",
            "../w",
            "--data",
            ".",
            "--mode",
            "image",
            "--output",
            "generated",
            "--json",
            "s.json",
        ];
        let shown = succeeds("evaluate", &here, &evaluate);
        assert!(shown.contains("mean of 3") && shown.contains("generated: 3 images written"), "{shown}");
        let translate =
            ["--weights", "../w", "--input", "in", "--output", "out", "--mode", "image", "--format", "png"];
        let (status, _, warnings) = told(run("translate", &here, &translate));
        assert_eq!((status, warnings.as_str()), (0, ""));
        for name in ["0.png", "1.png", "2.png"] {
            let found = pixels(here.join("generated").join(name));
            assert_eq!(found.dimensions(), (size, size));
            assert!(found == pixels(here.join("out").join(name)), "{way} {name}");
        }
        assert_eq!(names(&here.join("generated")).len(), 3);
    }
}

#[test]
fn translate_warns_of_another_scale_once_and_resizes_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    weights(&here.join("w"), Preprocess::Resize, [128, 128]);
    write_pairs(&here.join("val"), 3, 128);
    left_halves(&here.join("val"), &here.join("in"));
    let translate = |more: &[&str]| {
        let arguments = ["--weights", "w", "--input", "in", "--mode", "image", "--overwrite"];
        told(run("translate", here, &[&arguments[..], more].concat()))
    };
    let (status, shown, warning) = translate(&["--output", "full"]);
    assert!(status == 0 && shown.contains("3 translated"), "{shown} {warning}");
    assert_eq!(warning.lines().count(), 1, "{warning}");
    for part in ["warning: 3 of 3 images", "in/0.png of 128×128", "scaled to 32×32", "add --resize"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    let (status, _, warning) = translate(&["--output", "resized", "--resize"]);
    assert_eq!((status, warning.as_str()), (0, ""));
    // The resized output is that of `evaluate`, which resizes, too, enlarged to the size of the input.
    succeeds(
        "evaluate",
        here,
        &["--weights", "w", "--data", ".", "--mode", "image", "--output", "generated"],
    );
    for name in ["0.png", "1.png"] {
        let small = pixels(here.join("generated").join(name));
        assert_eq!(small.dimensions(), (32, 32));
        let expected = imageops::resize(&small, 128, 128, imageops::FilterType::Triangle);
        let distance = |path: &str| {
            let found = pixels(here.join(path).join(name));
            assert_eq!(found.dimensions(), (128, 128));
            let sum: u64 = found.iter().zip(expected.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / expected.len() as f64
        };
        assert!(distance("resized") < 1.0, "{}", distance("resized"));
        assert!(distance("full") > 2.0, "{}", distance("full"));
    }
    // Images that are small already are at the scale of the training.
    std::fs::remove_dir_all(here.join("in")).unwrap();
    std::fs::create_dir(here.join("in")).unwrap();
    picture(32, 32, 1).save(here.join("in/small.png")).unwrap();
    let (status, _, warning) = translate(&["--output", "small"]);
    assert_eq!((status, warning.as_str()), (0, ""));
}

#[test]
fn translate_asks_which_half_of_pairs_to_translate() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    weights(&here.join("w"), Preprocess::Resize, [32, 32]);
    write_pairs(&here.join("val"), 4, 32);
    let translate = ["--weights", "w", "--input", "val", "--mode", "image"];
    let with = |more: &[&'static str]| [&translate[..], more].concat();
    let message = fails(1, "translate", here, &with(&["--output", "out"]));
    assert!(message.contains("--half: 4 of 4 images looked at are side-by-side pairs"), "{message}");
    assert!(message.contains("val/0.png of 64×32 pixels") && message.contains("`--half left`"), "{message}");
    assert!(names(&here.join("out")).is_empty(), "nothing is translated");
    // A single file that the user has named is translated, with a warning.
    let one = ["--weights", "w", "--input", "val/0.png", "--output", "one.png"];
    let (status, _, warning) = told(run("translate", here, &one));
    assert!(status == 0 && warning.starts_with("warning: --half: 1 of 1 images"), "{warning}");

    left_halves(&here.join("val"), &here.join("left"));
    succeeds("translate", here, &with(&["--output", "out", "--half", "left"]));
    succeeds(
        "translate",
        here,
        &["--weights", "w", "--input", "left", "--mode", "image", "--output", "expected"],
    );
    for name in ["0.png", "3.png"] {
        assert!(pixels(here.join("out").join(name)) == pixels(here.join("expected").join(name)));
    }
    succeeds("translate", here, &with(&["--output", "right", "--half", "right"]));
    assert!(pixels(here.join("right/0.png")) != pixels(here.join("out/0.png")));
    succeeds("translate", here, &with(&["--output", "whole", "--half", "none"]));
    assert_eq!(pixels(here.join("whole/0.png")).dimensions(), (64, 32));

    // Weights without a recorded size: the shape and the seam decide. A panorama is not a pair.
    weights(&here.join("w"), Preprocess::Resize, [33, 33]);
    write_pairs(&here.join("larger"), 2, 48);
    let larger = ["--weights", "w", "--input", "larger", "--output", "x"];
    assert!(fails(1, "translate", here, &larger).contains("--half"));
    std::fs::create_dir(here.join("panoramas")).unwrap();
    picture(96, 48, 3).save(here.join("panoramas/0.png")).unwrap();
    succeeds("translate", here, &["--weights", "w", "--input", "panoramas", "--output", "y"]);
}

#[test]
fn an_output_never_replaces_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    weights(&here.join("w"), Preprocess::Resize, [8, 8]);
    std::fs::create_dir_all(here.join("top/in/in")).unwrap();
    for name in ["top/in/a.png", "top/in/in/a.png", "top/in/in/new.png"] {
        picture(8, 8, name.len() as u8).save(here.join(name)).unwrap();
    }
    let before = (names(here), std::fs::read(here.join("top/in/a.png")).unwrap());
    for more in [&["--overwrite"][..], &[]] {
        let arguments = ["--weights", "w", "--input", "top/in", "--output", "top"];
        let message = fails(1, "translate", here, &[&arguments[..], more].concat());
        assert!(message.contains("this output would replace the input top/in/a.png"), "{message}");
        assert!((names(here), std::fs::read(here.join("top/in/a.png")).unwrap()) == before);
    }
    let one = ["--weights", "w", "--input", "top/in/a.png", "--output", "top/in/../in/a.png", "--overwrite"];
    assert!(fails(1, "translate", here, &one).contains("would replace the input"));
    assert!(std::fs::read(here.join("top/in/a.png")).unwrap() == before.1);

    write_pairs(&here.join("val"), 1, 32);
    let pair = std::fs::read(here.join("val/0.png")).unwrap();
    for (flag, path) in [("--output", "val"), ("--output", "val/out"), ("--json", "val/0.png")] {
        let message = fails(1, "evaluate", here, &["--weights", "w", "--data", ".", flag, path]);
        assert!(message.contains("this output would"), "{message}");
    }
    assert!(names(&here.join("val")).len() == 1 && std::fs::read(here.join("val/0.png")).unwrap() == pair);
}

#[test]
fn bad_pairs_bad_places_and_long_names_do_not_stop_a_job() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    weights(&here.join("w"), Preprocess::Resize, [8, 8]);
    std::fs::create_dir(here.join("in")).unwrap();
    let long = |end: &str| format!("{}{end}.png", "n".repeat(250));
    for end in ["1", "2"] {
        picture(8, 8, 1).save(here.join("in").join(long(end))).unwrap();
    }
    let translate =
        ["--weights", "w", "--input", "in", "--output", "out", "--samples", "2", "--format", "webp"];
    let (status, shown, message) = told(run("translate", here, &translate));
    assert!(status == 0 && shown.contains("2 translated"), "{shown} {message}");
    assert_eq!(names(&here.join("out")).len(), 4);
    assert!(succeeds("translate", here, &translate).contains("2 existed already"));

    write_pairs(&here.join("val"), 3, 32);
    DynamicImage::from(picture(64, 32, 9)).save(here.join("val").join(long("1"))).unwrap();
    std::fs::write(here.join("val/1.png"), b"damaged").unwrap();
    std::fs::create_dir_all(here.join("generated/2.png")).unwrap();
    // The file is replaced, not written in place: its other name keeps the old content.
    std::fs::write(here.join("old.json"), b"old").unwrap();
    std::fs::hard_link(here.join("old.json"), here.join("s.json")).unwrap();
    let evaluate = ["--weights", "w", "--data", ".", "--output", "generated", "--json", "s.json"];
    let (status, shown, message) = told(run("evaluate", here, &evaluate));
    assert_eq!(status, 1, "{message}");
    assert!(shown.contains("mean of 3") && shown.contains("generated: 2 images written"), "{shown}");
    for part in [
        "skipped val/1.png",
        "not written: generated/2.png",
        "1 of 4 pairs could not be read",
        "1 of 3 images",
    ] {
        assert!(message.replace("./", "").contains(part), "{part}: {message}");
    }
    assert_eq!(names(&here.join("generated")).len(), 3);
    assert_eq!(std::fs::read(here.join("old.json")).unwrap(), b"old");
    assert!(std::fs::read_to_string(here.join("s.json")).unwrap().contains("\"skipped\""));
}

#[test]
fn a_crop_that_is_not_square_trains_resumes_translates_and_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for split in ["train", "val"] {
        write_pairs(&here.join("data").join(split), 3, 72);
    }
    let flags = ["--data", "data", "--size", "64x128", "--base-channels", "2", "--rotate90", "--out", "run"];
    succeeds("train", here, &[&flags[..], &["--steps", "2"]].concat());
    succeeds("train", here, &[&flags[..], &["--steps", "4", "--resume"]].concat());
    let trainer = pix2pix::Trainer::resume(here.join("run"), &device::cpu()).unwrap();
    let data = &trainer.config().data;
    assert_eq!((trainer.steps(), data.crop_size), (4, [64, 128].into()));
    assert_eq!((data.load_size, data.preprocess), ([71, 143].into(), Preprocess::Resize));
    assert_eq!(trainer.config().generator.backbone, Backbone::Unet { depth: 6 });

    let shown = succeeds("evaluate", here, &["--weights", "run", "--data", "data", "--output", "images"]);
    assert!(shown.contains("mean of 3"), "{shown}");
    picture(128, 64, 1).save(here.join("in.png")).unwrap();
    succeeds("translate", here, &["--weights", "run", "--input", "in.png", "--output", "out.png"]);
    assert_eq!(pixels(here.join("out.png")).dimensions(), (128, 64));
    picture(300, 200, 1).save(here.join("large.png")).unwrap();
    let resized = ["--weights", "run", "--input", "large.png", "--output", "large-out.png", "--resize"];
    succeeds("translate", here, &resized);
    assert_eq!(pixels(here.join("large-out.png")).dimensions(), (300, 200));

    succeeds("export", here, &["--weights", "run", "--output", "net_G.safetensors"]);
    succeeds("import", here, &["--input", "net_G.safetensors", "--output", "back.safetensors"]);
    let [before, after] =
        [("run", "before.png"), ("back.safetensors", "after.png")].map(|(weights, output)| {
            let files = ["--weights", weights, "--input", "in.png", "--output", output];
            succeeds("translate", here, &[&files[..], &["--mode", "image"]].concat());
            pixels(here.join(output))
        });
    assert!(before == after);

    // Without --data, the program draws its own pairs.
    let demo = ["--size", "32x64", "--base-channels", "2", "--steps", "1", "--out", "demo", "--depth", "4"];
    succeeds("train", here, &demo);
}
