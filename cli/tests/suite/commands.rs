//! `translate`, `evaluate`, `colorize`, `import`, `export` and `backends`.

use std::path::Path;

use crate::program::{fails, run, succeeds, text, write_lpips};
use crate::support::picture;

#[test]
fn files_that_are_not_images_do_not_stop_the_others() {
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
    std::fs::write(input.join("a/broken.png"), b"not an image").unwrap();
    std::fs::write(input.join("empty.jpg"), b"").unwrap();
    std::fs::write(input.join("notes.txt"), b"not an image").unwrap();
    let arguments = ["--weights", "run", "--input", "input", "--output", "input/out"];
    let output = run("translate", here, &arguments);
    let (shown, message) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(shown.contains("5 translated"), "{shown}");
    assert!(
        message.contains("a/broken.png") && message.contains("empty.jpg: the file is empty"),
        "{message}"
    );
    assert!(message.contains("error: input: 2 of 7 images could not be translated"), "{message}");
    for (index, name) in ["0.png", "a/1.jpg", "a/b/2.webp", "a/b/2.bmp", "3.tif"].into_iter().enumerate() {
        let size = image::image_dimensions(input.join("out").join(name)).unwrap();
        assert_eq!(size, (20 + index as u32, 9), "{name}");
    }

    // Existing outputs are kept unless --overwrite is given. Outputs inside the input folder are not inputs.
    let kept = input.join("out/0.png");
    std::fs::write(&kept, b"mine").unwrap();
    let output = run("translate", here, &arguments);
    let (shown, message) = (text(&output.stdout), text(&output.stderr));
    assert!(shown.contains("0 translated") && shown.contains("5 existed already"), "{shown} {message}");
    assert_eq!(std::fs::read(&kept).unwrap(), b"mine");
    let output = run("translate", here, &[&arguments[..], &["--overwrite"]].concat());
    assert!(text(&output.stdout).contains("5 translated"), "{}", text(&output.stderr));
    assert!(image::open(&kept).is_ok());
    let one = ["--weights", "run", "--input", "input/0.png", "--output", "input/out/0.png"];
    assert!(fails(1, "translate", here, &one).contains("--overwrite"));
    succeeds("translate", here, &[&one[..], &["--overwrite", "--mode", "running"]].concat());

    // Another file type, with unique names.
    std::fs::remove_file(input.join("a/broken.png")).unwrap();
    std::fs::remove_file(input.join("empty.jpg")).unwrap();
    let arguments = ["--weights", "run", "--input", "input/a", "--output", "jpeg", "--format", "jpg"];
    succeeds("translate", here, &arguments);
    for name in ["1.jpg", "b/2-bmp.jpg", "b/2-webp.jpg"] {
        assert!(image::open(here.join("jpeg").join(name)).is_ok(), "{name}");
    }
    let arguments = ["--weights", "run", "--input", "input/a", "--output", "x", "--format", "svg"];
    assert!(fails(1, "translate", here, &arguments).contains("`svg` is not a type"));
}

#[test]
fn evaluate_gives_the_metrics_of_validation() {
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
    for (name, expected) in [("l1", expected.l1), ("psnr", expected.psnr), ("ssim_unit", expected.ssim_unit)]
    {
        let found = scores["mean"][name].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-5 * expected.abs(), "{name}: {found} is not {expected}");
    }
}

#[test]
fn evaluate_adds_lpips_of_pairs_and_the_distances_of_the_sets() {
    if cfg!(not(feature = "eval")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "2"]);
    let inception = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/inception.safetensors");
    let lpips = write_lpips(here);
    let arguments = ["--weights", "run", "--data", "run/data", "--json", "scores.json"];
    let weights = ["--lpips", &lpips[0], &lpips[1], "--inception", inception.to_str().unwrap()];
    let shown = succeeds("evaluate", here, &[&arguments[..], &weights[..]].concat());
    assert!(shown.contains("LPIPS") && shown.contains("joint_kid_p: "), "{shown}");
    let scores = std::fs::read_to_string(here.join("scores.json")).unwrap();
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    for name in ["fid", "kid", "joint_kid", "joint_kid_p"] {
        assert!(scores["mean"][name].is_number() && scores["pairs"][0].get(name).is_none(), "{name}");
    }

    // The library gives the same numbers.
    let trainer = pix2pix::Trainer::resume(here.join("run"), &pix2pix::device::cpu()).unwrap();
    let pairs = pix2pix::data::PairedFolder::open(here.join("run/data/val"), &trainer.config().data).unwrap();
    let of_lpips = pix2pix::metrics::Lpips::load(&lpips, &pix2pix::device::cpu()).unwrap();
    let of_inception = pix2pix::metrics::Inception::load(inception, &pix2pix::device::cpu()).unwrap();
    let [mut outputs, mut targets] = [(); 2].map(|()| pix2pix::metrics::Features::new());
    let mut sum = 0.0;
    for (index, batch) in pairs.whole(&pix2pix::device::cpu()).enumerate() {
        let pix2pix::data::Batch { input, target } = batch.unwrap();
        let mode = pix2pix::Mode::PAPER.with_noise(index as u64).per_image();
        let output = trainer.export_generator().detached().forward(input, mode);
        outputs.add(of_inception.features(output.clone())).unwrap();
        targets.add(of_inception.features(target.clone())).unwrap();
        let distance = f64::from(of_lpips.distance(output, target).into_scalar::<f32>());
        let found = scores["pairs"][index]["lpips_squeeze"].as_f64().unwrap();
        assert!(distance > 0.0 && (found - distance).abs() < 1e-5, "{found} is not {distance}");
        sum += distance;
    }
    let close = |name: &str, expected: f64| {
        let found = scores["mean"][name].as_f64().unwrap();
        assert!(
            (found - expected).abs() < 1e-4 * expected.abs().max(0.01),
            "{name}: {found} is not {expected}"
        );
    };
    close("lpips_squeeze", sum / 24.0);
    close("kid", pix2pix::metrics::kid_of_all(&outputs, &targets));
    close("fid", pix2pix::metrics::fid(&outputs, &targets));
    let message = fails(1, "evaluate", here, &[&arguments[..], &["--lpips", &lpips[0]]].concat());
    assert!(
        message.contains("squeezenet.safetensors") && message.contains("lin0.model.1.weight"),
        "{message}"
    );
}

#[test]
fn colorize_trains_on_photographs_and_colours_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("photographs/more")).unwrap();
    for (index, name) in ["0.png", "1.jpg", "more/2.png"].into_iter().enumerate() {
        picture(50 + index as u32, 40, 1).save(here.join("photographs").join(name)).unwrap();
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
fn backends_compares_with_the_first_backend() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--size", "32", "--base-channels", "2", "--quick", "--json", "report.json"];
    let shown = succeeds("backends", folder.path(), &arguments);
    assert!(shown.contains("flex") && shown.contains("gradients"), "{shown}");
    let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report[0]["difference"]["forward"], 0.0, "{report}");
    assert!(report[0]["step_times"][0]["first_milliseconds"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
#[cfg(feature = "pth")]
fn export_and_import_are_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    succeeds("train", here, &["--size", "32", "--base-channels", "2", "--out", "run", "--steps", "1"]);
    succeeds("export", here, &["--weights", "run", "--output", "net_G.safetensors"]);
    let shown = succeeds("import", here, &["--input", "net_G.safetensors", "--output", "back.safetensors"]);
    assert!(shown.contains("Unet { depth: 5 }"), "{shown}");
    let discriminator = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pixel.pth");
    let arguments = ["--input", "net_G.safetensors", "--output", "more", "--discriminator"];
    succeeds("import", here, &[&arguments[..], &[discriminator.to_str().unwrap()]].concat());
    let trainer = pix2pix::Trainer::resume(here.join("more"), &pix2pix::device::cpu()).unwrap();
    assert_eq!(trainer.config().discriminator.layers, 0);

    // A round trip of the run's own discriminator.
    let both = ["--weights", "run", "--output", "G.safetensors", "--discriminator", "D.safetensors"];
    succeeds("export", here, &both);
    let both = ["--input", "G.safetensors", "--output", "again", "--discriminator", "D.safetensors"];
    succeeds("import", here, &both);
    let state = |run: &str| {
        let trainer = pix2pix::Trainer::resume(here.join(run), &pix2pix::device::cpu()).unwrap();
        pix2pix::pytorch::discriminator_state(trainer.discriminator()).unwrap()
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

    // A `.pth` file has the same tensors.
    let both = ["--weights", "run", "--output", "latest_net_G.pth", "--discriminator", "latest_net_D.pth"];
    succeeds("export", here, &both);
    for [torch, other] in [["latest_net_G.pth", "G.safetensors"], ["latest_net_D.pth", "D.safetensors"]] {
        assert_eq!(std::fs::read(here.join(torch)).unwrap()[..4], *b"PK\x03\x04");
        let [torch, other] = [torch, other].map(|name| pix2pix::pytorch::read(here.join(name)).unwrap());
        assert!(torch == other);
    }
    // Weights of 16 bits, with the original's names and with this program's settings.
    let half = |arguments: &[&str]| {
        succeeds("export", here, &[&["--weights", "run", "--output"], arguments].concat());
        let bytes = std::fs::metadata(here.join(arguments[0])).unwrap().len();
        let whole = std::fs::metadata(here.join("latest_net_G.pth")).unwrap().len();
        assert!(bytes < whole, "{arguments:?}: {bytes} of {whole} bytes");
    };
    half(&["half.pth", "--half"]);
    half(&["own.safetensors", "--half=bf16", "--own"]);
    for weights in ["half.pth", "own.safetensors"] {
        let output = format!("{weights}.png");
        let arguments = ["--weights", weights, "--output", &output, "--mode", "image"];
        succeeds("translate", here, &[&arguments[..], &["--input", pair.to_str().unwrap()]].concat());
    }
    let message = fails(2, "export", here, &["--weights", "run", "--output", "G.pth", "--half=f32"]);
    assert!(message.contains("it is f16 or bf16"), "{message}");

    let message = fails(1, "import", here, &["--input", "latest_net_G.pth", "--output", "own.pth"]);
    assert!(message.contains("own.pth") && message.contains("pix2pix export"), "{message}");
    assert!(!here.join("own.pth").exists());
}

#[test]
fn export_rejects_extensions_without_a_format() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["net_G.bin", "net_G", "net_G.onnx"] {
        let message = fails(1, "export", folder.path(), &["--weights", "none", "--output", name]);
        assert!(message.contains(name) && message.contains(".pth, .pt and .safetensors"), "{message}");
    }
}
