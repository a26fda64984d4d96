//! Translation of images: sizes, pixel types, tiles, batches, weights of every origin, and damaged files.
#![cfg(feature = "flex")]

use std::path::{Path, PathBuf};

use crate::support::{edit_settings, picture, small_config, write_pairs};
use image::{DynamicImage, ImageBuffer, ImageFormat, RgbImage, RgbaImage};
use pix2pix::data::{DataConfig, EpochCursor, PairedFolder};
use pix2pix::{
    Backbone, DropoutLayout, Error, Generator, Mode, Norm, Pix2PixConfig, Tensor, Trainer, Translator,
    UpsampleKind, device, metrics, pytorch,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name)
}

/// Returns a translator with random weights.
fn translator(change: impl FnOnce(&mut Pix2PixConfig)) -> Translator {
    let mut config = small_config();
    config.generator.base_channels = 2;
    change(&mut config);
    let generator = config.generator.init_seeded(1, &device::cpu());
    Translator::new(generator, &device::cpu()).unwrap().with_data(config.data).unwrap()
}

/// Returns an image of waves of many lengths that gets brighter to the right, so its parts differ in their statistics.
fn waves(channels: usize, height: usize, width: usize) -> Vec<f32> {
    let value = |channel: usize, y: usize, x: usize| {
        let (x, y) = (x as f32, y as f32);
        let wave = (x * 0.05 * (channel + 1) as f32).sin() + (y * 0.11).cos() + (x * y * 0.001).sin();
        wave / 5.0 + x / width as f32 - 0.5
    };
    let plane = |channel| {
        (0..height).flat_map(move |y| (0..width).map(move |x| value(channel, y, x).clamp(-1.0, 1.0)))
    };
    (0..channels).flat_map(plane).collect()
}

fn greatest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Returns a generator with the running statistics of some training steps.
fn trained(config: &Pix2PixConfig) -> Generator {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 2, 64);
    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    let pairs = PairedFolder::open(folder.path(), &config.data).unwrap();
    for _ in 0..3 {
        for batch in pairs.batches(EpochCursor::new(1, 0), &device::cpu()) {
            trainer.step(batch.unwrap());
        }
    }
    trainer.generator().clone()
}

#[test]
fn tiles_give_the_output_of_the_whole_image() {
    type Change = fn(&mut Pix2PixConfig);
    let cases: [(&str, Change); 11] = [
        ("the paper's", |_| {}),
        ("of depth 7", |config| config.generator.backbone = Backbone::Unet { depth: 7 }),
        ("shallow", |config| config.generator.backbone = Backbone::Unet { depth: 2 }),
        ("without skips", |config| config.generator.backbone = Backbone::EncoderDecoder { depth: 5 }),
        ("PyTorch's", |config| {
            config.generator.backbone = Backbone::Unet { depth: 7 };
            config.generator.dropout_layout = DropoutLayout::Pytorch;
        }),
        ("instance norm", |config| config.generator.norm = Norm::Instance { affine: false }),
        ("affine norm", |config| config.generator.norm = Norm::Instance { affine: true }),
        ("no norm", |config| config.generator.norm = Norm::None),
        ("nearest", |config| config.generator.upsample = UpsampleKind::NearestConv),
        ("bilinear", |config| config.generator.upsample = UpsampleKind::BilinearConv),
        ("ResNet", |config| config.generator.backbone = Backbone::Resnet { blocks: 2 }),
    ];
    let shape = [3, 250, 401];
    let values = waves(3, 250, 401);
    for (name, change) in cases {
        for mode in [Mode::PAPER.with_noise(3), Mode::IMAGE, Mode::RUNNING] {
            let translate = |tile| {
                let translator = translator(change).with_mode(mode).with_tiles(tile).unwrap();
                translator.translate_array(&values, shape).unwrap()
            };
            let whole = translate(4096);
            for tile in [32, 100, 200] {
                let apart = greatest_difference(&translate(tile), &whole);
                assert!(apart < 1e-4, "{name}, {mode:?}, tiles of {tile}: {apart}");
            }
        }
    }
}

#[test]
fn tiles_with_running_statistics_give_the_output_of_the_whole_image() {
    let mut config = small_config();
    config.training.learning_rate = 0.01;
    let generator = trained(&config);
    let values = waves(3, 160, 224);
    let translate = |tile| {
        let translator = Translator::new(generator.clone(), &device::cpu()).unwrap();
        let translator = translator.with_mode(Mode::RUNNING).with_tiles(tile).unwrap();
        translator.translate_array(&values, [3, 160, 224]).unwrap()
    };
    let apart = greatest_difference(&translate(64), &translate(4096));
    assert!(apart < 1e-5, "{apart}");
}

#[test]
fn tiles_leave_no_seams() {
    let translator = translator(|_| {}).with_mode(Mode::IMAGE).with_tiles(96).unwrap();
    let (height, width) = (256, 512);
    let output = translator.translate_array(&waves(3, height, width), [3, height, width]).unwrap();
    // The borders of tiles are at multiples of 32 pixels, like the network's own grid. The jumps across these columns
    // must not be larger than those anywhere else.
    let jump = |x: usize| {
        let rows = output.chunks_exact(width);
        rows.map(|row| (row[x] - row[x - 1]).abs()).sum::<f32>() / (output.len() / width) as f32
    };
    let mean = |columns: Vec<usize>| columns.iter().map(|x| jump(*x)).sum::<f32>() / columns.len() as f32;
    let all = mean((1..width).collect());
    let grid = mean((32..width).step_by(32).collect());
    assert!(grid < 1.5 * all, "{grid} across tiles, {all} anywhere");
    let worst = (32..width).step_by(32).map(jump).fold(0.0, f32::max);
    let usual = (1..width).map(jump).fold(0.0, f32::max);
    assert!(worst <= usual, "{worst} at a border, at most {usual} anywhere");
}

#[test]
fn every_size_is_kept() {
    let small = translator(|_| {});
    let resnet = translator(|config| config.generator.backbone = Backbone::Resnet { blocks: 1 });
    for (width, height) in [(1, 1), (37, 511), (10_000, 300), (3, 2), (32, 64), (1, 1000)] {
        let input = DynamicImage::ImageRgb8(picture(width, height, 1));
        for translator in [&small, &resnet] {
            let output = translator.translate(&input).unwrap();
            assert_eq!((output.width(), output.height()), (width, height));
        }
    }
    for nothing in [DynamicImage::new_rgb8(0, 5), DynamicImage::new_luma_a8(5, 0)] {
        let error = small.translate(&nothing).unwrap_err();
        assert!(error.to_string().contains("no pixels"), "{error}");
    }
    assert_eq!(
        small.with_tiles(0).unwrap_err().to_string(),
        "tile: is 0; use the pixels of a side, for instance 1024"
    );
}

/// Returns a translator for these numbers of channels.
fn of_channels(input: usize, output: usize) -> Translator {
    translator(|config| *config = config.clone().with_channels(input, output))
}

#[test]
fn bit_depth_grey_and_alpha_are_kept() {
    let rgb = DynamicImage::ImageRgb8(picture(40, 33, 1));
    let mut rgba = rgb.to_rgba8();
    rgba.enumerate_pixels_mut().for_each(|(x, y, pixel)| pixel.0[3] = (x * 6 + y) as u8);
    let rgba = DynamicImage::ImageRgba8(rgba);
    let types = [
        rgb.clone(),
        DynamicImage::ImageRgb16(rgb.to_rgb16()),
        rgba.clone(),
        DynamicImage::ImageRgba16(rgba.to_rgba16()),
        DynamicImage::ImageLuma8(rgb.to_luma8()),
        DynamicImage::ImageLumaA8(rgba.to_luma_alpha8()),
        DynamicImage::ImageLuma16(rgb.to_luma16()),
        DynamicImage::ImageLumaA16(rgba.to_luma_alpha16()),
        DynamicImage::ImageRgb32F(rgb.to_rgb32f()),
    ];
    for (input_channels, output_channels) in [(3, 3), (1, 1), (1, 3), (4, 4), (3, 1), (4, 3)] {
        let translator = of_channels(input_channels, output_channels);
        for input in &types {
            let output = translator.translate(input).unwrap();
            let (from, to) = (input.color(), output.color());
            assert_eq!((output.width(), output.height()), (40, 33));
            assert_eq!(to.has_color(), output_channels > 1, "{from:?} {to:?}");
            assert_eq!(to.has_alpha(), from.has_alpha() || output_channels == 4, "{from:?} {to:?}");
            let is_deep = |color: image::ColorType| color.bytes_per_pixel() > color.channel_count();
            assert_eq!(is_deep(to), is_deep(from), "{from:?} {to:?}");
            if from.has_alpha() && output_channels != 4 {
                let alpha =
                    |image: &DynamicImage| image.to_rgba16().pixels().map(|p| p.0[3]).collect::<Vec<_>>();
                assert_eq!(alpha(input), alpha(&output), "{from:?}");
            }
        }
    }
    // The output has levels that 8 bits cannot hold.
    let deep = of_channels(1, 1).translate(&types[6]).unwrap().into_luma16();
    assert!(deep.iter().filter(|level| **level % 257 != 0).count() > deep.len() / 2);
}

#[test]
fn arrays_of_any_channels_are_translated() {
    let translator = of_channels(5, 2).with_mode(Mode::IMAGE);
    let values = waves(5, 20, 33);
    let output = translator.translate_array(&values, [5, 20, 33]).unwrap();
    assert_eq!(output.len(), 2 * 20 * 33);
    assert!(output.iter().all(|value| value.abs() <= 1.0) && output.iter().any(|value| *value != output[0]));

    // An image as an array gives the same numbers as the image.
    let colour = of_channels(3, 3);
    let input = picture(20, 30, 7);
    let planes: Vec<f32> = (0..3)
        .flat_map(|channel| input.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0))
        .collect();
    let array = colour.translate_array(&planes, [3, 30, 20]).unwrap();
    let output = colour.translate(&DynamicImage::ImageRgb8(input)).unwrap().into_rgb8();
    for (index, pixel) in output.pixels().enumerate() {
        for channel in 0..3 {
            let value = array[channel * 600 + index];
            assert!((value - (f32::from(pixel.0[channel]) / 127.5 - 1.0)).abs() <= 0.5 / 127.5 + 1e-6);
        }
    }

    let message = |values: &[f32], shape| translator.translate_array(values, shape).unwrap_err().to_string();
    assert_eq!(message(&values, [3, 20, 33]), "shape: [3, 20, 33] has 3 channels, but the network takes 5");
    assert_eq!(message(&values, [5, 20, 32]), "shape: [5, 20, 32] does not fit 3300 values");
    assert!(message(&[], [5, 0, 0]).contains("no pixels"));
    assert!(message(&values, [5, usize::MAX, 33]).contains("does not fit 3300 values"));
    let error = translator.translate(&DynamicImage::new_rgb8(4, 4)).unwrap_err().to_string();
    assert!(error.contains("generator.input_channels: 5") && error.contains("translate_array"), "{error}");
}

#[test]
fn a_batch_gives_the_outputs_of_its_images_one_by_one() {
    let rgb = |width, height, seed| DynamicImage::ImageRgb8(picture(width, height, seed));
    let alpha =
        DynamicImage::ImageRgba8(RgbaImage::from_fn(31, 30, |x, y| image::Rgba([9, 8, 7, (x + y) as u8])));
    let images = [
        rgb(30, 20, 1),
        rgb(40, 20, 2),
        rgb(30, 21, 3),
        DynamicImage::ImageRgb16(rgb(30, 20, 4).to_rgb16()),
        alpha,
        rgb(200, 150, 5),
        rgb(30, 20, 6),
    ];
    for mode in [
        Mode::PAPER.with_noise(2),
        Mode::IMAGE,
        Mode::RUNNING,
        Mode { dropout: pix2pix::DropoutMode::Off, ..Mode::PAPER },
    ] {
        let translator = translator(|_| {}).with_mode(mode).with_tiles(64).unwrap();
        let together = translator.translate_batch(&images).unwrap();
        assert_eq!(together.len(), images.len());
        for (image, output) in images.iter().zip(together) {
            let alone = translator.translate(image).unwrap();
            assert_eq!((alone.color(), alone.width()), (output.color(), output.width()));
            let apart =
                alone.to_rgba16().iter().zip(output.to_rgba16().iter()).map(|(a, b)| a.abs_diff(*b)).max();
            // The matrix products of a batch may round differently, which changes a value by at most one level.
            assert!(apart <= Some(257), "{mode:?}: {apart:?}");
        }
    }
    assert!(translator(|_| {}).translate_batch(&[]).unwrap().is_empty());
    assert!(translator(|_| {}).translate_batch(&[DynamicImage::new_rgb8(0, 0)]).is_err());
}

#[test]
fn imported_weights_load_like_those_of_this_crate() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_G.safetensors");
    let own = translator(|config| {
        config.generator.dropout_layout = DropoutLayout::Pytorch;
        config.generator.backbone = Backbone::Unet { depth: 6 };
    });
    pytorch::save(&pytorch::generator_state(own.generator()).unwrap(), &file).unwrap();
    let imported = Translator::load(&file, &device::cpu()).unwrap();
    assert_eq!(imported.config().generator, own.config().generator);
    let input = DynamicImage::ImageRgb8(picture(70, 50, 3));
    assert_eq!(imported.translate(&input).unwrap(), own.translate(&input).unwrap());
    // After saving, it is a weights file of this crate.
    imported.save(folder.path().join("ours.safetensors")).unwrap();
    let again = Translator::load(folder.path().join("ours.safetensors"), &device::cpu()).unwrap();
    assert_eq!(again.translate(&input).unwrap(), own.translate(&input).unwrap());
    assert_eq!(again.config().data.crop_size, 64.into());
}

#[test]
fn images_are_rotated_upright_and_unusual_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let translator = translator(|_| {});
    // A JPEG of 16x32 whose EXIF block says "rotate by 90 degrees": upright it is 32x16.
    let path = folder.path().join("turned.jpg");
    picture(16, 32, 1).save(&path).unwrap();
    let plain = image::open(&path).unwrap();
    let jpeg = std::fs::read(&path).unwrap();
    let exif: &[u8] = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    std::fs::write(&path, [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat()).unwrap();
    let upright = translator.translate(&plain.rotate90()).unwrap();
    assert_eq!(translator.translate_file(&path).unwrap(), upright);

    // Of an animation, the first frame is translated.
    let first = RgbImage::from_pixel(24, 16, image::Rgb([200, 30, 40]));
    let output = translator.translate_file(fixture("animated.gif")).unwrap().into_rgb8();
    assert_eq!(output, translator.translate(&DynamicImage::ImageRgb8(first)).unwrap().into_rgb8());

    // CMYK is converted to RGB: white has no ink, and cyan ink removes red.
    let cmyk = translator.translate_file(fixture("cmyk.jpg")).unwrap();
    assert_eq!((cmyk.width(), cmyk.height(), cmyk.color()), (24, 16, image::ColorType::Rgb8));
    let read = image::open(fixture("cmyk.jpg")).unwrap().into_rgb8();
    assert!(read[(0, 0)].0[0] > 200 && read[(23, 0)].0[0] < 60, "{:?} {:?}", read[(0, 0)], read[(23, 0)]);

    let error = translator.translate_file(folder.path().join("none.png")).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("none.png"), "{error}");
    let claims = folder.path().join("enormous.bmp");
    let mut header = vec![0; 54];
    DynamicImage::new_rgb8(1, 1).write_to(&mut std::io::Cursor::new(&mut header), ImageFormat::Bmp).unwrap();
    header[18..26].copy_from_slice(&[0, 0, 1, 0, 0, 0, 1, 0]); // 65 536 pixels each way
    std::fs::write(&claims, header).unwrap();
    let error = translator.translate_file(&claims).unwrap_err();
    assert!(matches!(&error, Error::Image { .. }) && error.to_string().contains("enormous.bmp"), "{error}");
}

#[test]
fn an_image_is_translated_from_file_to_file() {
    let folder = tempfile::tempdir().unwrap();
    let translator = translator(|_| {});
    let output = folder.path().join("output.png");
    translator.translate_to(fixture("target.png"), &output).unwrap();
    let expected = translator.translate_file(fixture("target.png")).unwrap();
    assert_eq!(pix2pix::data::read_image(&output).unwrap(), expected);
    // JPEG cannot hold alpha.
    translator.translate_to(fixture("palette.png"), folder.path().join("output.jpg")).unwrap();
    let error = translator.translate_to(folder.path().join("none.png"), &output).unwrap_err();
    assert!(matches!(&error, Error::Io { .. }) && error.to_string().contains("none.png"), "{error}");
    let error = translator.translate_to(fixture("target.png"), folder.path().join("output")).unwrap_err();
    assert!(error.to_string().contains("output: its extension is not one of png, jpg"), "{error}");
    assert_eq!(pix2pix::data::read_image(&output).unwrap(), expected);
}

#[test]
fn the_best_generator_of_a_run_is_loaded() {
    let run = tempfile::tempdir().unwrap();
    let own = translator(|_| {});
    own.save(run.path().join("generator-best.safetensors")).unwrap();
    let input = DynamicImage::ImageRgb8(picture(40, 40, 3));
    let best = Translator::load_best(run.path(), &device::cpu()).unwrap();
    assert_eq!(best.translate(&input).unwrap(), own.translate(&input).unwrap());
    let error = Translator::load_best(run.path().join("other"), &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("generator-best.safetensors"), "{error}");
}

#[test]
fn every_kind_of_file_is_read() {
    let translator = translator(|config| config.generator.backbone = Backbone::Unet { depth: 2 });
    let read = |name: &str| {
        let image = pix2pix::data::read_image(fixture(name)).unwrap();
        let output = translator.translate_file(fixture(name)).unwrap();
        assert_eq!((output.width(), output.height(), image.width(), image.height()), (24, 16, 24, 16));
        assert_eq!(output.color().has_alpha(), image.color().has_alpha(), "{name}");
        image
    };
    // Of animations, the first frame is read.
    for name in ["animated.gif", "animated.png", "animated.webp"] {
        assert!(read(name).into_rgb8().pixels().all(|pixel| pixel.0 == [200, 30, 40]), "{name}");
    }
    let bits = read("one-bit.png").into_luma8();
    assert!(
        bits.enumerate_pixels().all(|(x, y, pixel)| pixel.0[0] == if (x + y) % 3 == 0 { 255 } else { 0 })
    );
    // The third of the four colours is transparent.
    let palette = read("palette.png").into_rgba8();
    assert_eq!((palette[(0, 0)].0, palette[(6, 3)].0), ([200, 30, 40, 255], [10, 220, 60, 255]));
    assert_eq!((palette[(12, 0)].0[3], palette[(23, 15)].0), (0, [255; 4]));
    read("cmyk.jpg");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.png");
    let deep = ImageBuffer::from_fn(9, 11, |x, y| image::LumaA([x as u16 * 7001, y as u16 * 5003]));
    DynamicImage::ImageLumaA16(deep.clone()).save(&path).unwrap();
    assert_eq!(pix2pix::data::read_image(&path).unwrap(), DynamicImage::ImageLumaA16(deep.clone()));
    let output = translator.translate_file(&path).unwrap();
    assert_eq!(output.color(), image::ColorType::Rgba16);
    assert!(output.into_rgba16().pixels().zip(deep.pixels()).all(|(new, old)| new.0[3] == old.0[1]));
}

/// Returns an image as a file of that format.
fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn a_truncated_file_gives_an_error_or_the_whole_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    // Noise, which does not compress.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let noise = DynamicImage::ImageRgb8(RgbImage::from_fn(50, 70, |_, _| image::Rgb(rng.random())));
    let written = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
    ];
    let mut files: Vec<(String, Vec<u8>)> =
        written.iter().map(|format| (format!("{format:?}"), file(&noise, *format))).collect();
    for name in ["progressive.jpg", "cmyk.jpg", "lossy.webp", "animated.gif", "animated.png", "animated.webp"]
    {
        files.push((name.to_owned(), std::fs::read(fixture(name)).unwrap()));
    }
    for (name, bytes) in files {
        std::fs::write(&path, &bytes).unwrap();
        let whole = pix2pix::data::read_image(&path).unwrap();
        let mut errors = 0;
        for length in (1..bytes.len()).step_by(bytes.len() / 60 + 1) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            match pix2pix::data::read_image(&path) {
                // The missing part may be only the end marker, or later frames of an animation.
                Ok(image) => assert_eq!(image, whole, "{name}, {length} of {} bytes", bytes.len()),
                Err(Error::Image { .. }) => errors += 1,
                Err(other) => panic!("{name}: {other}"),
            }
        }
        assert!(errors > 25, "{name}: {errors}");
        // Phones append videos to their images.
        std::fs::write(&path, [&bytes[..], b"a video"].concat()).unwrap();
        assert_eq!(pix2pix::data::read_image(&path).unwrap(), whole, "{name}");
    }
    let jpeg = file(&noise, ImageFormat::Jpeg);
    std::fs::write(&path, &jpeg[..jpeg.len() / 2]).unwrap();
    let message = pix2pix::data::read_image(&path).unwrap_err().to_string();
    assert!(message.contains("the file is truncated"), "{message}");
}

#[test]
fn damaged_metadata_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.jpg");
    let jpeg = file(&DynamicImage::ImageRgb8(picture(16, 32, 1)), ImageFormat::Jpeg);
    std::fs::write(&path, &jpeg).unwrap();
    let plain = pix2pix::data::read_image(&path).unwrap();
    // An orientation that does not exist, a directory outside the block, and random text.
    let blocks: [&[u8]; 3] = [
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
        b"Exif\0\0II*\0\xff\xff\0\0\x01\0",
        b"Exif\0\0no sense",
    ];
    for exif in blocks {
        let length = (exif.len() as u16 + 2).to_be_bytes();
        std::fs::write(&path, [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat()).unwrap();
        assert_eq!(pix2pix::data::read_image(&path).unwrap(), plain, "{exif:?}");
    }
    // The same blocks in a WebP, whose decoder reads them differently.
    let webp = file(&plain, ImageFormat::WebP);
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let padding = vec![0; data.len() % 2];
        [&name[..], &(data.len() as u32).to_le_bytes(), data, &padding].concat()
    };
    let has_exif = [8, 0, 0, 0, 15, 0, 0, 31, 0, 0];
    for exif in blocks {
        let body =
            [b"WEBP", &chunk(b"VP8X", &has_exif)[..], &webp[12..], &chunk(b"EXIF", &exif[6..])].concat();
        std::fs::write(&path, chunk(b"RIFF", &body)).unwrap();
        assert_eq!(pix2pix::data::read_image(&path).unwrap(), plain, "{exif:?}");
    }
}

#[test]
fn nan_and_infinity_are_rejected() {
    let translator = translator(|_| {});
    let mut values = waves(3, 20, 30);
    for wrong in [f32::NAN, f32::INFINITY] {
        values[77] = wrong;
        let message = translator.translate_array(&values, [3, 20, 30]).unwrap_err().to_string();
        assert!(message.contains("NaN or infinite"), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("float.tif");
    let mut float = DynamicImage::ImageRgb8(picture(20, 30, 1)).to_rgb32f();
    float[(3, 4)].0[1] = 7.0; // brighter than white
    DynamicImage::ImageRgb32F(float.clone()).save(&path).unwrap();
    assert!(translator.translate_file(&path).is_ok());
    float[(3, 5)].0[1] = f32::NAN;
    DynamicImage::ImageRgb32F(float.clone()).save(&path).unwrap();
    let message = translator.translate_file(&path).unwrap_err().to_string();
    assert!(message.contains("float.tif") && message.contains("NaN"), "{message}");
    let float = DynamicImage::ImageRgb32F(float);
    assert!(translator.translate(&float).unwrap_err().to_string().contains("NaN"));
    let batch = translator.with_mode(Mode::IMAGE).translate_batch(&[float]);
    assert!(batch.unwrap_err().to_string().contains("NaN"));
}

#[test]
fn settings_out_of_range_are_rejected() {
    let own = translator(|_| {});
    let change = |change: fn(&mut DataConfig)| {
        let mut data = own.config().data.clone();
        change(&mut data);
        own.clone().with_data(data).unwrap_err().to_string()
    };
    assert!(change(|data| data.crop_size = 0.into()).starts_with("data.crop_size: is 0"));
    assert!(
        change(|data| data.target_channels = 1).starts_with("data.target_channels: 1, but the generator")
    );

    // The same in a modified file.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    own.save(&path).unwrap();
    edit_settings(&path, |fields| fields["data"]["crop_size"] = 99.into());
    let message = Translator::load(&path, &device::cpu()).unwrap_err().to_string();
    assert!(message.contains("data.load_size") && message.contains("below the crop size"), "{message}");
}

#[test]
#[cfg(unix)]
fn pipes_and_devices_are_not_images() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
        let error = pix2pix::data::read_image(path).unwrap_err();
        assert!(
            error.to_string().contains("this is not a file, but a folder, a pipe or a device"),
            "{error}"
        );
    }
}

#[test]
fn metrics_of_images_are_those_of_scikit_image() {
    let tensor = |name: &str| {
        let image = image::open(fixture(name)).unwrap().into_rgb8();
        let (width, height) = (image.width() as usize, image.height() as usize);
        let planes: Vec<f32> = (0..3)
            .flat_map(|channel| image.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0))
            .collect();
        Tensor::<1>::from_floats(planes.as_slice(), &device::cpu()).reshape([1, 3, height, width])
    };
    let (output, target) = (tensor("output.png"), tensor("target.png"));
    let found = [metrics::l1, metrics::psnr, metrics::ssim_unit, metrics::ssim_signed]
        .map(|metric| metric(output.clone(), target.clone()).into_scalar::<f32>());
    // tests/pictures/README.md has the code that printed these.
    for (found, expected) in found.into_iter().zip([0.097_347_49, 24.331_777, 0.744_921_3, 0.593_556_96]) {
        assert!((found - expected).abs() < 2e-5 * expected, "{found} is not {expected}");
    }
}

/// Returns a file with random damage, as by failing disks, truncated downloads and attackers.
fn mutated(seed: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        // Headers contain lengths, so they are damaged more often.
        let end = if rng.random_bool(0.5) { bytes.len().min(64) } else { bytes.len() };
        let place = rng.random_range(0..end);
        match rng.random_range(0..6) {
            0 => bytes[place] ^= 1 << rng.random_range(0..8),
            1 => bytes[place] = rng.random(),
            2 => bytes[place] = [0, 0x7f, 0x80, 0xff][rng.random_range(0..4)],
            3 => bytes.truncate(place),
            4 => {
                let run = rng.random_range(1..16).min(bytes.len() - place);
                bytes.drain(place..place + run);
            }
            _ => {
                let run: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
                bytes.splice(place..place, run);
            }
        }
    }
    bytes
}

/// Returns the number of mutated files to try: `PIX2PIX_MUTATIONS=10000` for a long test.
fn mutations() -> u64 {
    std::env::var("PIX2PIX_MUTATIONS").map_or(400, |count| count.parse().expect("a number"))
}

/// Returns the peak memory of this process in bytes, where the system reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[test]
fn damaged_images_give_an_error_or_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let rgb = DynamicImage::ImageRgb8(picture(23, 17, 5));
    let deep = DynamicImage::ImageRgba16(ImageBuffer::from_fn(9, 11, |x, y| {
        image::Rgba([x as u16 * 7000, y as u16 * 5000, 600, 40_000])
    }));
    let fixtures = ["animated.gif", "animated.png", "animated.webp", "cmyk.jpg", "lossy.webp", "palette.png"];
    let fixtures = fixtures.iter().chain(&["progressive.jpg", "target.png"]);
    let mut seeds: Vec<Vec<u8>> = fixtures.map(|name| std::fs::read(fixture(name)).unwrap()).collect();
    for (image, format) in [
        (&rgb, ImageFormat::Png),
        (&deep, ImageFormat::Png),
        (&rgb, ImageFormat::Jpeg),
        (&rgb, ImageFormat::Tiff),
        (&deep, ImageFormat::Tiff),
        (&rgb, ImageFormat::WebP),
        (&rgb, ImageFormat::Bmp),
        (&rgb, ImageFormat::Gif),
    ] {
        seeds.push(file(image, format));
    }
    let translator = translator(|config| config.generator.backbone = Backbone::Unet { depth: 2 })
        .with_mode(Mode::RUNNING)
        .with_tiles(512)
        .unwrap();
    let path = folder.path().join("image");
    let (mut images, mut errors) = (0, 0);
    for number in 0..mutations() {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        let bytes = mutated(&seeds[number as usize % seeds.len()], &mut rng);
        std::fs::write(&path, &bytes).unwrap();
        match translator.translate_file(&path) {
            Ok(_) => images += 1,
            Err(Error::Image { path: named, .. }) if named.as_deref() == Some(path.as_path()) => errors += 1,
            Err(other) => panic!("mutation {number}: {other}"),
        }
    }
    assert!(images > 0 && errors > 0, "{images} images and {errors} errors: one of the two is not tested");
    if let Some(peak) = peak_memory() {
        assert!(peak < 3 << 30, "{} MB", peak >> 20);
    }
}

#[test]
fn damaged_weights_give_an_error_or_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let translator = translator(|config| config.generator.backbone = Backbone::Unet { depth: 2 });
    translator.save(&path).unwrap();
    let ours = std::fs::read(&path).unwrap();
    pytorch::save(&pytorch::generator_state(translator.generator()).unwrap(), &path).unwrap();
    let seeds = [ours, std::fs::read(&path).unwrap()];
    for number in 0..mutations() {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        std::fs::write(&path, mutated(&seeds[number as usize % 2], &mut rng)).unwrap();
        if let Err(error) = Translator::load(&path, &device::cpu()) {
            assert!(error.to_string().len() < 4000, "mutation {number}: {error}");
        }
    }
    // A header that claims more data than the file has causes no allocation.
    let mut header =
        br#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#.to_vec();
    let length = (header.len() as u64).to_le_bytes();
    header.splice(0..0, length);
    std::fs::write(&path, header).unwrap();
    let error = Translator::load(&path, &device::cpu()).unwrap_err();
    assert!(error.to_string().contains("claims 4398046511104 bytes of data, but there are 0"), "{error}");
}
