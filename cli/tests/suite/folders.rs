//! Folders as inputs of `translate`, `evaluate` and `colorize`: names, damaged files, and their messages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageReader, RgbImage};
use pix2pix::{Backbone, Mode, Translator, device};

use crate::program::{run, told};
use crate::support::{picture, small_config};

/// Runs `translate` from `in` to `out` and returns status, stdout and stderr.
fn translate(folder: &Path, more: &[&str]) -> (i32, String, String) {
    let arguments = ["--weights", "weights", "--input", "in", "--output", "out"];
    told(run("translate", folder, &[&arguments[..], more].concat()))
}

/// Returns a translator with a very small network and random weights.
fn translator() -> Translator {
    let mut config = small_config();
    config.generator.base_channels = 2;
    config.generator.backbone = Backbone::Unet { depth: 2 };
    let generator = config.generator.init_seeded(1, &device::cpu());
    Translator::new(generator, &device::cpu()).unwrap().with_data(config.data).unwrap()
}

/// Creates a folder with `weights` and an empty folder `in`.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    translator().save(folder.path().join("weights")).unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    folder
}

/// Returns all paths below a folder, sorted.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names = BTreeSet::new();
    for entry in walkdir::WalkDir::new(folder).min_depth(1) {
        names.insert(entry.unwrap().path().strip_prefix(folder).unwrap().to_owned());
    }
    names.into_iter().collect()
}

#[test]
fn translate_changes_no_file_except_the_outputs() {
    let folder = workplace();
    let here = folder.path();
    // Equal stems, so that two threads write them at the same time.
    for number in 0..20 {
        for kind in ["jpg", "png", "bmp"] {
            picture(9, 8, number).save(here.join(format!("in/{number}.{kind}"))).unwrap();
        }
    }
    std::fs::create_dir(here.join("out")).unwrap();
    std::fs::write(here.join("out/0.part"), b"mine").unwrap();
    let (status, shown, message) = translate(here, &[]);
    assert_eq!((status, message.as_str()), (0, ""), "{shown}");
    assert_eq!(std::fs::read(here.join("out/0.part")).unwrap(), b"mine");
    assert_eq!(names(&here.join("out")).len(), 61, "{:?}", names(&here.join("out")));
    for name in names(&here.join("in")) {
        assert_eq!(image::image_dimensions(here.join("out").join(&name)).unwrap(), (9, 8), "{name:?}");
    }
    // A write that fails leaves nothing behind: a folder has the output's name.
    std::fs::remove_file(here.join("out/3.png")).unwrap();
    std::fs::create_dir_all(here.join("out/3.png/x")).unwrap();
    let before = names(&here.join("out"));
    let (status, shown, message) = translate(here, &["--overwrite"]);
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("59 translated") && message.contains("3.png"), "{shown} {message}");
    assert_eq!(names(&here.join("out")), before);
}

#[test]
fn outputs_have_unique_names() {
    let folder = workplace();
    let here = folder.path();
    for name in ["a.png", "a.jpg", "a-jpg.png", "a.b.png", "B.png", "B.bmp", "c.png", "C.PNG"] {
        picture(8, 8, 1).save(here.join("in").join(name)).unwrap();
    }
    let count = if here.join("in/C.png").exists() { 7 } else { 8 };
    let (status, shown, message) = translate(here, &["--format", "png"]);
    assert!(status == 0 && shown.contains(&format!("{count} translated")), "{shown} {message}");
    let found = names(&here.join("out"));
    let folded: BTreeSet<String> = found.iter().map(|name| name.to_str().unwrap().to_lowercase()).collect();
    assert_eq!((found.len(), folded.len()), (count, count), "{found:?}");
    for name in ["a-jpg.png", "a-jpg-2.png", "a-png.png", "a.b.png", "B-png.png", "B-bmp.png"] {
        assert!(found.contains(&name.into()), "{name} is not in {found:?}");
    }
    let (_, shown, _) = translate(here, &["--format", "png"]);
    let again = format!("{count} existed already");
    assert!(shown.contains("0 translated") && shown.contains(&again), "{shown}");
    std::fs::remove_dir_all(here.join("out")).unwrap();
    let (_, shown, message) = translate(here, &["--format", "png", "--samples", "2"]);
    assert!(shown.contains(&format!("{count} translated")), "{shown} {message}");
    assert_eq!(names(&here.join("out")).len(), 2 * count);

    // Only missing outputs are written.
    let [first, second] = ["out/a.b-1.png", "out/a.b-2.png"].map(|name| here.join(name));
    std::fs::write(&first, b"mine").unwrap();
    std::fs::remove_file(&second).unwrap();
    let (status, shown, _) = translate(here, &["--format", "png", "--samples", "2"]);
    assert!(status == 0 && shown.contains("1 translated"), "{shown}");
    assert!(std::fs::read(first).unwrap() == b"mine" && image::open(second).is_ok());
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_not_utf8_are_kept() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = workplace();
    let here = folder.path();
    let png = here.join("x.png");
    picture(8, 8, 1).save(&png).unwrap();
    for name in [&b"\xff.png"[..], b"\xfe.png", b"\xfe.jpg"] {
        std::fs::copy(&png, here.join("in").join(OsStr::from_bytes(name))).unwrap();
    }
    let (status, _, message) = translate(here, &["--format", "png", "--samples", "2"]);
    assert_eq!((status, message.as_str()), (0, ""));
    let found = names(&here.join("out"));
    assert_eq!(found.len(), 6, "{found:?}");
    for name in [&b"\xff-png-2-1.png"[..], b"\xfe-png-2.png", b"\xfe-jpg-1.png"] {
        let name = Path::new(OsStr::from_bytes(name));
        assert!(found.iter().any(|found| found == name), "{name:?} is not in {found:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_unreadable_folder_does_not_stop_the_others() {
    let folder = workplace();
    let here = folder.path();
    picture(8, 8, 1).save(here.join("in/a.png")).unwrap();
    picture(8, 8, 1).save(here.join("in/z.png")).unwrap();
    // Even root cannot read a folder whose path is too long. Folders are renamed from the innermost to the outermost.
    let depth = 20;
    std::fs::create_dir_all(here.join("in/m").join(vec!["m"; depth].join("/"))).unwrap();
    for length in (0..depth).rev() {
        let outer = here.join("in/m").join(vec!["m"; length].join("/"));
        std::fs::rename(outer.join("m"), outer.join("n".repeat(250))).unwrap();
    }
    let (status, shown, message) = translate(here, &[]);
    assert!(status == 1 && shown.contains("2 translated"), "{shown} {message}");
    assert!(message.contains("error: in: 1 folders or files in it could not be read"), "{message}");
    assert_eq!(names(&here.join("out")), [PathBuf::from("a.png"), "z.png".into()]);
}

#[test]
fn twenty_damaged_files_do_not_stop_a_thousand() {
    let folder = workplace();
    let here = folder.path();
    let [whole, cut] = [here.join("whole.png"), here.join("whole.jpg")];
    picture(8, 8, 1).save(&whole).unwrap();
    picture(64, 64, 1).save(&cut).unwrap();
    let [whole, cut] = [whole, cut].map(|path| std::fs::read(path).unwrap());
    let mut broken = BTreeSet::new();
    for number in 0..1000 {
        let bad = number % 50 == 7;
        let bytes: &[u8] = match number % 4 {
            _ if !bad => &whole,
            1 => &whole[..whole.len() / 2],
            3 => &cut[..cut.len() / 2],
            _ => b"",
        };
        let name =
            format!("in/{}/{number}.{}", number % 7, if bad && number % 4 == 3 { "jpg" } else { "png" });
        std::fs::create_dir_all(here.join(&name).parent().unwrap()).unwrap();
        std::fs::write(here.join(&name), bytes).unwrap();
        if bad {
            broken.insert(name);
        }
    }
    for other in ["in/notes.txt", "in/1/._8.png"] {
        std::fs::write(here.join(other), b"not an image").unwrap();
    }
    let (status, shown, message) = translate(here, &["--mode", "running"]);
    assert_eq!(status, 1, "{message}");
    assert!(
        shown.contains("980 translated") && shown.contains("1 hidden") && shown.contains("not an image"),
        "{shown}"
    );
    assert!(message.contains("20 of 1000 images could not be translated"), "{message}");
    assert_eq!((broken.len(), message.lines().filter(|line| line.starts_with("skipped ")).count()), (20, 20));
    for name in &broken {
        assert!(message.contains(&format!("skipped {name}: ")), "{name}: {message}");
    }
    let outputs = names(&here.join("out")).into_iter().filter(|name| name.extension().is_some());
    assert_eq!(outputs.count(), 980);
}

/// Returns an ICC profile that contains only its colour space.
fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut profile = vec![0; 128];
    profile[16..20].copy_from_slice(space);
    profile
}

fn profile_in(path: &Path) -> Option<Vec<u8>> {
    ImageReader::open(path).unwrap().into_decoder().unwrap().icc_profile().unwrap()
}

#[test]
fn profiles_depth_and_alpha_are_kept_or_reported_lost() {
    let folder = workplace();
    let here = folder.path();
    let save = |name: &str, image: &DynamicImage, space| {
        let mut encoder =
            image::codecs::png::PngEncoder::new(std::fs::File::create(here.join(name)).unwrap());
        encoder.set_icc_profile(profile(space)).unwrap();
        image.write_with_encoder(encoder).unwrap();
    };
    // The TIFF decoder ignores a profile that is larger than the image.
    let colour = DynamicImage::ImageRgb8(picture(60, 40, 3));
    save("in/colour.png", &colour, b"RGB ");
    save("in/deep.png", &DynamicImage::ImageRgba16(colour.to_rgba16()), b"RGB ");
    // The network's output is in colour, so a profile for grey does not suit it.
    save("in/grey.png", &DynamicImage::ImageLuma8(colour.to_luma8()), b"GRAY");

    for (format, lost) in [
        ("png", None),
        ("tif", None),
        ("jpg", Some("alpha of 1, 16 bits of 1;")),
        ("webp", Some("hold it: 16 bits of 1;")),
        ("bmp", Some("16 bits of 1, the colour profile of 2;")),
    ] {
        let (status, shown, message) = translate(here, &["--format", format]);
        assert_eq!((status, message.as_str()), (0, ""), "{format}");
        assert_eq!(shown.contains("lost"), lost.is_some(), "{format}: {shown}");
        assert!(shown.contains(lost.unwrap_or_default()), "{format}: {shown}");
        let out = |name: &str| here.join(format!("out/{name}.{format}"));
        let kept = (format != "bmp").then(|| profile(b"RGB "));
        assert_eq!((profile_in(&out("colour")), profile_in(&out("deep"))), (kept.clone(), kept), "{format}");
        assert_eq!(profile_in(&out("grey")), None, "{format}");
    }

    let length = || std::fs::metadata(here.join("out/colour.jpg")).unwrap().len();
    let usual = length();
    for (quality, is_longer) in [("50", false), ("100", true)] {
        translate(here, &["--format", "jpg", "--overwrite", "--quality", quality]);
        assert_eq!(length() > usual, is_longer, "{quality}: {} and {usual}", length());
    }
}

#[test]
fn several_samples_without_noise_are_rejected() {
    let folder = workplace();
    picture(8, 8, 1).save(folder.path().join("in/a.png")).unwrap();
    let (status, _, message) = translate(folder.path(), &["--samples", "0"]);
    assert!(status == 2 && message.contains("--samples"), "{message}");
    for mode in ["image", "running"] {
        let (status, _, message) = translate(folder.path(), &["--samples", "3", "--mode", mode]);
        assert!(status == 1 && message.contains("--samples: 3 outputs would all be equal"), "{message}");
    }
    assert!(!folder.path().join("out").exists());
}

/// Cuts a file to its first half.
fn cut(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Writes a pair of 32 pixels whose target is the output that `evaluate` will compute.
fn write_perfect_pair(path: &Path) {
    let input = picture(32, 32, 1);
    let output = translator().with_mode(Mode::IMAGE).translate(&input.clone().into()).unwrap().into_rgb8();
    let mut both = RgbImage::new(64, 32);
    image::imageops::replace(&mut both, &input, 0, 0);
    image::imageops::replace(&mut both, &output, 32, 0);
    both.save(path).unwrap();
}

#[test]
fn evaluation_continues_after_a_broken_pair() {
    let folder = workplace();
    let here = folder.path();
    write_perfect_pair(&here.join("in/0.png"));
    cut(&here.join("in/0.png"));
    write_perfect_pair(&here.join("in/1.png"));
    let arguments = ["--weights", "weights", "--data", "in", "--mode", "image", "--json", "scores.json"];
    let scores = |more: &[&str]| {
        let (status, shown, message) = told(run("evaluate", here, &[&arguments[..], more].concat()));
        assert!(status == 1 && shown.contains("mean of 1"), "{shown} {message}");
        assert!(message.contains("skipped in/0.png") && message.contains("1 of 2 pairs"), "{message}");
        let text = std::fs::read_to_string(here.join("scores.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let found = scores(&[]);
    assert_eq!(found["pairs"].as_array().unwrap().len(), 1);
    assert!(found["skipped"][0].as_str().unwrap().contains("0.png"), "{found}");
    // Rounding to 8 bits leaves an error of up to half a level.
    assert!(found["mean"]["l1"].as_f64().unwrap() > 1e-4, "{found}");
    assert!((50.0..70.0).contains(&found["mean"]["psnr"].as_f64().unwrap()), "{found}");
    let found = scores(&["--eight-bits"]);
    assert!(found["mean"]["l1"].as_f64().unwrap() < 1e-6, "{found}");
    let psnr = &found["mean"]["psnr"];
    assert!(psnr == "inf" || psnr.as_f64().is_some_and(|psnr| psnr > 120.0), "{found}");

    // What is not an image at all is counted, too.
    std::fs::write(here.join("in/2.png"), b"not an image").unwrap();
    let (status, _, message) = told(run("evaluate", here, &arguments));
    assert!(status == 1 && message.contains("skipped in/2.png: not an image"), "{message}");
    assert!(message.contains("2 of 3 pairs could not be read"), "{message}");
    std::fs::remove_file(here.join("in/2.png")).unwrap();

    std::fs::remove_file(here.join("in/1.png")).unwrap();
    let (status, _, message) = told(run("evaluate", here, &arguments));
    assert!(status == 1 && message.contains("error: in: 1 of 1 pairs could not be read"), "{message}");
}

#[test]
fn a_size_that_does_not_suit_the_network_is_rejected() {
    let folder = workplace();
    let here = folder.path();
    write_perfect_pair(&here.join("in/1.png"));
    let mut data = translator().config().data.clone();
    data.crop_size = 30.into();
    translator().with_data(data).unwrap().save(here.join("weights")).unwrap();
    let (status, _, message) = told(run("evaluate", here, &["--weights", "weights", "--data", "in"]));
    assert!(status == 1 && message.contains("data.crop_size: 30 is not divisible by 4"), "{message}");
}

#[test]
fn colorize_continues_after_a_broken_photograph() {
    let folder = workplace();
    let here = folder.path();
    let (status, _, message) = told(run("colorize", here, &[]));
    assert!(status == 2 && message.contains("Usage: "), "{message}");

    picture(40, 40, 1).save(here.join("in/a.png")).unwrap();
    picture(40, 40, 1).save(here.join("in/b.jpg")).unwrap();
    cut(&here.join("in/b.jpg"));
    std::fs::write(here.join("in/c.jpg"), b"not an image").unwrap();
    let small = ["--size", "32", "--base-channels", "2", "--data", "in", "--out", "run", "--epochs", "2"];
    let (status, shown, message) = told(run("colorize", here, &small));
    assert!(status == 0 && shown.contains("4 steps"), "{shown} {message}");
    assert_eq!(message.matches("skipped in/b.jpg").count(), 1, "{message}");
    assert!(shown.contains("1 photographs could not be read"), "{shown}");
    assert!(shown.contains("in: 1 file left out: 1 not an image"), "{shown}");
    assert_eq!(message.matches("left out in/c.jpg: not an image").count(), 1, "{message}");

    let mut grey = DynamicImage::ImageRgb8(picture(21, 13, 1)).to_luma_alpha16();
    grey.pixels_mut().for_each(|pixel| pixel.0[1] = 1000);
    grey.save(here.join("grey.png")).unwrap();
    let colour = ["--out", "run", "--input", "grey.png", "--output", "coloured.png"];
    let (status, _, message) = told(run("colorize", here, &colour));
    assert_eq!((status, message.as_str()), (0, ""));
    let coloured = image::open(here.join("coloured.png")).unwrap();
    assert_eq!((coloured.width(), coloured.color()), (21, image::ColorType::Rgba16));
    assert!(coloured.into_rgba16().pixels().all(|pixel| pixel.0[3] == 1000));

    std::fs::remove_file(here.join("in/a.png")).unwrap();
    let (status, _, message) =
        told(run("colorize", here, &["--data", "in", "--out", "other", "--size", "32"]));
    assert!(status == 1 && message.contains("error: in/b.jpg: "), "{message}");
}

#[test]
fn a_mistyped_split_is_an_error_that_lists_the_folders() {
    let folder = workplace();
    let here = folder.path();
    for split in ["test", "val"] {
        std::fs::create_dir(here.join("in").join(split)).unwrap();
        write_perfect_pair(&here.join("in").join(split).join("1.png"));
    }
    let arguments = ["--weights", "weights", "--data", "in", "--split"];
    let (status, _, message) = told(run("evaluate", here, &[&arguments[..], &["tset"]].concat()));
    assert!(
        status == 1 && message.contains("--split: `tset` is not a folder in in, which has val/, test/"),
        "{message}"
    );
    let (status, _, message) = told(run("evaluate", here, &[&arguments[..], &["test"]].concat()));
    assert_eq!((status, message.as_str()), (0, ""));
    // Without `val`, the pairs to test on are not scored instead.
    std::fs::remove_dir_all(here.join("in/val")).unwrap();
    let (status, _, message) = told(run("evaluate", here, &arguments[..4]));
    assert!(
        status == 1 && message.contains("--split: `val` is not a folder in in, which has test/"),
        "{message}"
    );
}

#[test]
fn pairs_without_a_split_can_be_held_out_by_name() {
    let folder = workplace();
    let here = folder.path();
    for number in 0..20 {
        write_perfect_pair(&here.join(format!("in/{number}.png")));
    }
    let small = ["--data", "in", "--size", "32", "--base-channels", "2", "--steps", "0"];
    let (status, shown, message) = told(run("train", here, &[&small[..], &["--out", "a"]].concat()));
    assert!(status == 0 && shown.contains("20 pairs to train on, 0 to validate"), "{shown} {message}");
    assert!(message.contains("--val-fraction 0.1"), "{message}");
    let held_out = ["--val-fraction", "0.2", "--out", "b"];
    let (status, shown, message) = told(run("train", here, &[&small[..], &held_out].concat()));
    assert!(status == 0 && !shown.contains(", 0 to validate"), "{shown} {message}");
    std::fs::create_dir(here.join("in/val")).unwrap();
    let (status, _, message) = told(run("train", here, &[&small[..], &["--out", "c"]].concat()));
    assert!(status == 1 && message.contains("it has val/, but no folder `train`"), "{message}");
}
