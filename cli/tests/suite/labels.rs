//! Label maps: training, translating and evaluating with `--labels`.

use std::path::Path;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use pix2pix::Pix2PixConfig;

use crate::program::{fails, run, succeeds, told};
use crate::support::{palette_png, picture};

const COLORS: [[u8; 3]; 3] = [[0, 0, 170], [0, 85, 255], [255, 85, 0]];
const PALETTE: &str = "[[class]]\nname = \"wall\"\ncolor = [0, 0, 170]\n\n[[class]]\nname = \"window\"\ncolor = \"#0055ff\"\n\n\
                       [[class]]\nname = \"door\"\ncolor = \"#ff5500\"\n";
const SMALL: [&str; 8] = ["--size", "32", "--base-channels", "2", "--steps", "2", "--workers", "0"];

fn ids() -> GrayImage {
    GrayImage::from_fn(48, 40, |x, y| Luma([((x / 9 + y / 7) % 3) as u8]))
}

/// Writes two pairs to `A/` and `B/` in `data/train` and `data/val`. `map` returns the bytes of a label map in PNG.
fn write_pairs(folder: &Path, map: impl Fn() -> Vec<u8>) {
    for split in ["train", "val"] {
        let split = folder.join("data").join(split);
        for half in ["A", "B"] {
            std::fs::create_dir_all(split.join(half)).unwrap();
        }
        for index in 0..2 {
            std::fs::write(split.join(format!("A/{index}.png")), map()).unwrap();
            picture(48, 40, index).save(split.join(format!("B/{index}.png"))).unwrap();
        }
    }
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    image.into().write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The flags of a kind of label map, and a function that returns such a map in PNG.
type Kind<'a> = (&'a [&'a str], &'a dyn Fn() -> Vec<u8>);

#[test]
fn label_maps_of_every_kind_are_trained_translated_and_evaluated() {
    let colors = || {
        let ids = ids();
        png(RgbImage::from_fn(48, 40, |x, y| Rgb(COLORS[usize::from(ids.get_pixel(x, y)[0])])))
    };
    let kinds: [Kind; 3] = [
        (&["--labels", "palette.toml"], &colors),
        (&["--labels", "ids", "--classes", "3"], &|| png(ids())),
        (&["--labels", "ids", "--classes", "3"], &|| {
            palette_png(48, 2, ids().as_raw(), &[[200; 3], [9; 3], [0, 0, 9]])
        }),
    ];
    let mut outputs = vec![];
    for (flags, map) in kinds {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::write(folder.join("palette.toml"), PALETTE).unwrap();
        write_pairs(folder, map);
        let arguments = [&["--data", "data", "--out", "run"], &SMALL[..], flags].concat();
        let (status, _, notes) = told(run("train", folder, &arguments));
        assert_eq!((status, notes.contains("look like ids")), (0, false), "{flags:?}: {notes}");
        let config = Pix2PixConfig::load(folder.join("run/config.json")).unwrap();
        assert_eq!(config.data.labels.unwrap().classes.len(), 3);
        assert_eq!(config.discriminator.input_channels, 3);

        let arguments = ["--weights", "run", "--input", "data/val/A", "--output", "out"];
        succeeds("translate", folder, &arguments);
        let output = image::open(folder.join("out/0.png")).unwrap();
        assert_eq!((output.width(), output.height(), output.color()), (48, 40, image::ColorType::Rgb8));
        let metrics = succeeds("evaluate", folder, &["--weights", "run", "--data", "data"]);
        assert!(metrics.contains("mean of 2"), "{metrics}");
        outputs.push((output, metrics));

        // Another image than a label map is refused by name.
        if flags.contains(&"ids") {
            let arguments = ["--weights", "run", "--input", "data/val/B/0.png", "--output", "other.png"];
            let error = fails(1, "translate", folder, &arguments);
            assert!(error.contains("data/val/B/0.png: the pixel at column "), "{error}");
        }
    }
    // The same classes, in whatever files.
    assert!(outputs.iter().all(|output| *output == outputs[0]));
}

#[test]
fn ids_that_look_black_get_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), || png(ids()));
    let arguments = [&["--data", "data", "--out", "run"], &SMALL[..]].concat();
    let (status, _, notes) = told(run("train", folder.path(), &arguments));
    assert_eq!(status, 0, "{notes}");
    assert!(notes.contains("levels 0, 1, 2") && notes.contains("--labels ids --classes 3"), "{notes}");
    // The targets are ordinary images.
    let arguments = [&["--data", "data", "--out", "back", "--direction", "b-to-a"], &SMALL[..]].concat();
    let (status, _, notes) = told(run("train", folder.path(), &arguments));
    assert_eq!((status, notes.contains("look like ids")), (0, false), "{notes}");
}

#[test]
fn mistakes_name_the_flag_or_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_pairs(folder, || png(ids()));
    std::fs::write(folder.join("good.toml"), PALETTE).unwrap();
    std::fs::write(folder.join("bad.toml"), PALETTE.replace("#ff5500", "#ff550")).unwrap();
    let message = |status: i32, flags: &[&str]| {
        fails(status, "train", folder, &[&["--data", "data", "--out", "run"], &SMALL[..], flags].concat())
    };
    let unknown = message(1, &["--labels", "ids"]);
    assert!(
        unknown.contains("--labels ids: the number of classes") && unknown.contains("--classes"),
        "{unknown}"
    );
    let both = message(1, &["--labels", "good.toml", "--classes", "3"]);
    assert!(both.contains("--classes: the palette lists the classes"), "{both}");
    assert!(message(2, &["--classes", "3"]).contains("--labels"));
    let missing = message(1, &["--labels", "nowhere.toml"]);
    assert!(missing.contains("--labels: nowhere.toml"), "{missing}");
    let bad = message(1, &["--labels", "bad.toml"]);
    assert!(bad.contains("bad.toml: TOML parse error at line 11, column 9"), "{bad}");
    assert!(bad.contains("`#ff550` is not a colour"), "{bad}");
    let few = message(1, &["--labels", "ids", "--classes", "2"]);
    assert!(few.contains("0.png: the pixel at column") && few.contains("holds the id 2"), "{few}");
}
