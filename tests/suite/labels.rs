//! Label maps: from files to channels, through training, weights files and translation.

use std::ops::ControlFlow;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, imageops};
use pix2pix::data::{self, Direction, EpochCursor, LabelClass, LabelKind, Labels, PairedFolder};
use pix2pix::{Error, Mode, Pix2PixConfig, Trainer, Translator, device};

use crate::support::{crc32, palette_png, picture, small_config, split_weights};

const COLORS: [[u8; 3]; 4] = [[0, 0, 170], [0, 85, 255], [0, 170, 255], [255, 85, 0]];

/// The classes of the tests; their ids are 0 to 3.
fn labels(kind: LabelKind) -> Labels {
    let classes = (0u16..).zip(COLORS).map(|(id, color)| LabelClass::new(format!("class {id}"), id, color));
    Labels::new(kind, classes.collect()).unwrap()
}

fn config(kind: LabelKind) -> Pix2PixConfig {
    small_config().with_labels(labels(kind))
}

/// A map of areas of 10×6 pixels, so that no border lies between two pixels of the reduced map.
fn class_at(x: u32, y: u32) -> u8 {
    ((x / 10 + 2 * (y / 6)) % 4) as u8
}

fn id_map(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([class_at(x, y)]))
}

fn color_map(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb(COLORS[usize::from(class_at(x, y))]))
}

/// Writes `A/x` and `B/x.png`, and returns the pairs with B, an image, as the target.
fn pairs(folder: &Path, name: &str, map: &[u8], size: [u32; 2], config: &Pix2PixConfig) -> PairedFolder {
    for half in ["A", "B"] {
        std::fs::create_dir_all(folder.join(half)).unwrap();
    }
    std::fs::write(folder.join("A").join(name), map).unwrap();
    let target = Path::new(name).with_extension("png");
    picture(size[0], size[1], 1).save(folder.join("B").join(target)).unwrap();
    PairedFolder::open(folder, &config.data).unwrap()
}

fn encoded(image: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(image: &DynamicImage) -> Vec<u8> {
    encoded(image, image::ImageFormat::Png)
}

#[test]
fn every_kind_of_file_gives_the_same_channels() {
    let [width, height] = [70, 50];
    let ids = id_map(width, height);
    let deep = ImageBuffer::<Luma<u16>, _>::from_fn(width, height, |x, y| Luma([u16::from(class_at(x, y))]));
    let rgb = DynamicImage::from(ids.clone()).to_rgb8();
    let other_colors = [[9; 3], [200, 1, 1], [3, 4, 5], [0, 0, 0]];
    let files = [
        (LabelKind::Colors, "a.png", png(&color_map(width, height).into())),
        (LabelKind::Colors, "b.bmp", encoded(&color_map(width, height).into(), image::ImageFormat::Bmp)),
        (LabelKind::Colors, "c.png", palette_png(width, 2, ids.as_raw(), &COLORS)),
        (LabelKind::Ids, "d.png", png(&ids.clone().into())),
        (LabelKind::Ids, "e.png", png(&deep.clone().into())),
        (LabelKind::Ids, "f.tif", encoded(&DynamicImage::from(deep), image::ImageFormat::Tiff)),
        (LabelKind::Ids, "g.png", png(&rgb.into())),
        (LabelKind::Ids, "h.png", palette_png(width, 2, ids.as_raw(), &other_colors)),
        (LabelKind::Ids, "i.png", palette_png(width, 4, ids.as_raw(), &other_colors)),
        (LabelKind::Ids, "j.png", palette_png(width, 8, ids.as_raw(), &other_colors)),
    ];
    let expected = labels(LabelKind::Ids).planes(&ids.into(), [32, 32]).unwrap();
    assert!(expected.values().iter().any(|value| value.abs() < 0.9), "no border inside a pixel");
    for (kind, name, bytes) in files {
        let folder = tempfile::tempdir().unwrap();
        let pair = pairs(folder.path(), name, &bytes, [width, height], &config(kind)).pair(0).unwrap();
        assert_eq!(pair.input, expected, "{name}");
        assert_eq!(pair.target.shape(), [3, 32, 32]);
    }
}

#[test]
fn grey_levels_of_few_bits_are_not_stretched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ids.png");
    let mut bytes = palette_png(8, 4, &[0, 1, 2, 3, 3, 2, 1, 0], &[[0; 3]]);
    bytes[25] = 0; // the colour type: grey
    let sum = crc32(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&sum);
    // A grey image has no palette.
    let palette = bytes.windows(4).position(|name| name == b"PLTE").unwrap() - 4;
    bytes.drain(palette..palette + 15);
    std::fs::write(&path, bytes).unwrap();
    let read = |kind| labels(kind).read_image(&path).unwrap().into_luma8().into_raw();
    assert_eq!(read(LabelKind::Ids), [0, 1, 2, 3, 3, 2, 1, 0]);
    assert_eq!(read(LabelKind::Colors), [0, 17, 34, 51, 51, 34, 17, 0]);
}

#[test]
fn noise_of_jpeg_gets_the_nearest_class() {
    let map = color_map(160, 96);
    let mut jpeg = vec![];
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 75).encode_image(&map).unwrap();
    let noisy = image::load_from_memory(&jpeg).unwrap();
    let colors: std::collections::BTreeSet<_> = noisy.to_rgb8().pixels().map(|pixel| pixel.0).collect();
    assert!(colors.len() > 100, "{} colours", colors.len());
    let labels = labels(LabelKind::Colors);
    let read = labels.to_image(&labels.planes(&noisy, [96, 160]).unwrap());
    let same = read.pixels().zip(map.pixels()).filter(|(a, b)| a == b).count();
    assert!(same as f64 > 0.97 * f64::from(160 * 96), "{same} of {}", 160 * 96);
    // Away from borders, every pixel is right.
    for (x, y) in (0..16).flat_map(|x| (0..16).map(move |y| (10 * x + 5, 6 * y + 3))) {
        assert_eq!(read.get_pixel(x, y), map.get_pixel(x, y), "{x}, {y}");
    }
}

#[test]
fn classes_never_mix_into_a_third_one() {
    // The ids 0 and 2 alternate: their mean is 1, and the colour between theirs is that of the class 1.
    let stripes = GrayImage::from_fn(45, 45, |x, _| Luma([(x % 2) as u8 * 2]));
    let folder = tempfile::tempdir().unwrap();
    let config = config(LabelKind::Ids);
    let pairs = pairs(folder.path(), "x.png", &png(&stripes.into()), [45, 45], &config);
    let mut inputs = vec![];
    for epoch in 1..4 {
        let epoch = EpochCursor::new(epoch, 1);
        inputs.extend(pairs.batches(epoch, &device::cpu()).map(|batch| batch.unwrap().input));
    }
    for input in inputs {
        assert_eq!(input.dims(), [1, 4, 32, 32]);
        let values: Vec<f32> = input.into_data().try_into_vec().unwrap();
        let planes: Vec<&[f32]> = values.chunks(32 * 32).collect();
        assert!(planes[1].iter().chain(planes[3]).all(|value| *value == -1.0));
        for (a, b) in planes[0].iter().zip(planes[2]) {
            assert!((a + b).abs() < 1e-6, "the areas add up to one: {a} and {b}");
        }
    }
}

#[test]
fn input_and_target_share_the_crop_and_the_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let map = color_map(72, 72);
    for half in ["A", "B"] {
        std::fs::create_dir(folder.path().join(half)).unwrap();
        map.save(folder.path().join(half).join("x.png")).unwrap();
    }
    // The load size is that of the files.
    let mut config = config(LabelKind::Colors);
    (config.data.load_size, config.data.crop_size) = (72.into(), 64.into());
    let pairs = PairedFolder::open(folder.path(), &config.data).unwrap();
    for number in 1..7 {
        let epoch = EpochCursor::new(number, 3);
        let batch = pairs.batches(epoch, &device::cpu()).next().unwrap().unwrap();
        let values: Vec<f32> = batch.input.into_data().try_into_vec().unwrap();
        let planes = data::PlanarImage::new(values, [4, 64, 64]);
        let target = data::to_images(batch.target).unwrap()[0].to_rgb8();
        assert_eq!(labels(LabelKind::Colors).to_image(&planes), target, "epoch {number}");
    }
}

#[test]
fn a_half_of_a_side_by_side_pair_is_a_label_map() {
    let folder = tempfile::tempdir().unwrap();
    let mut both = RgbImage::new(140, 50);
    imageops::replace(&mut both, &picture(70, 50, 3), 0, 0);
    imageops::replace(&mut both, &color_map(70, 50), 70, 0);
    both.save(folder.path().join("x.png")).unwrap();
    let mut config = config(LabelKind::Colors);
    config.data.direction = Direction::BToA;
    let pair = PairedFolder::open(folder.path(), &config.data).unwrap().pair(0).unwrap();
    let expected = labels(LabelKind::Colors).planes(&color_map(70, 50).into(), [32, 32]).unwrap();
    assert_eq!((pair.input, pair.target.shape()), (expected, [3, 32, 32]));
}

#[test]
fn a_pixel_without_a_class_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut map = id_map(40, 40);
    map.put_pixel(7, 30, Luma([200]));
    let config = config(LabelKind::Ids);
    let message = |name: &str, image: DynamicImage| {
        let pairs = pairs(folder.path(), name, &png(&image), [40, 40], &config);
        let index = (0..pairs.len()).find(|index| pairs.path(*index).ends_with(name)).unwrap();
        let error = pairs.pair(index).unwrap_err();
        assert!(matches!(error, Error::Image { path: Some(_), .. }), "{error:?}");
        error.to_string()
    };
    let unknown = message("unknown.png", map.into());
    assert!(
        unknown.contains("unknown.png: the pixel at column 7, row 30 holds the id 200")
            && unknown.contains("4 classes (0 to 3)")
            && unknown.contains("--classes"),
        "{unknown}"
    );
    let coloured = message("colour.png", color_map(40, 40).into());
    assert!(
        coloured.contains("column 0, row 0 has the colour (0, 0, 170), which is not an id"),
        "{coloured}"
    );
    let float = DynamicImage::new_rgb32f(4, 4);
    let error = labels(LabelKind::Ids).planes(&float, [4, 4]).unwrap_err().to_string();
    assert!(error.contains("not integers of 8 or 16 bits"), "{error}");
    let empty = labels(LabelKind::Ids).planes(&DynamicImage::new_luma8(4, 4), [0, 4]).unwrap_err();
    assert!(empty.to_string().contains("no pixels"), "{empty}");
}

#[test]
fn classes_must_differ_and_match_the_channels() {
    let message = |classes: Vec<LabelClass>| Labels::new(LabelKind::Colors, classes).unwrap_err().to_string();
    let class = LabelClass::new;
    assert_eq!(
        message(vec![]),
        "data.labels: the list of classes is empty; give at least one a name and a colour"
    );
    let names = message(vec![class("a", 0, [0; 3]), class("a", 1, [1; 3])]);
    assert_eq!(names, "data.labels: two classes have the name `a`; rename one");
    let ids = message(vec![class("a", 5, [0; 3]), class("b", 5, [1; 3])]);
    assert_eq!(ids, "data.labels: the classes `a` and `b` have the id 5; change one");
    let colors = message(vec![class("a", 0, [0, 85, 255]), class("b", 1, [0, 85, 255])]);
    assert_eq!(colors, "data.labels: the classes `a` and `b` have the colour #0055ff; change one");
    assert!(Labels::ids(0).is_err() && Labels::ids(4096).is_ok() && Labels::ids(usize::MAX).is_err());
    // The first colours of the PASCAL VOC data set.
    assert_eq!([0, 1, 2, 3].map(Labels::color), [[0; 3], [128, 0, 0], [0, 128, 0], [128, 128, 0]]);
    let mut config = config(LabelKind::Colors);
    config.data.labels.as_mut().unwrap().classes.pop();
    let message = config.validate().unwrap_err().to_string();
    assert!(message.contains("data.input_channels: 4, but data.labels has 3 classes"), "{message}");
}

/// Trains two steps and returns the run's folder.
fn trained(folder: &Path, config: &Pix2PixConfig) -> std::path::PathBuf {
    let map = png(&color_map(40, 40).into());
    let pairs = pairs(&folder.join("pairs"), "x.png", &map, [40, 40], config);
    let mut config = config.clone();
    config.training.epochs = 2;
    let out = folder.join("run");
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    trainer.fit(&pairs, Some(&pairs), &out, |_| ControlFlow::Continue(())).unwrap();
    // Samples show the label map in the colours of its classes.
    let grid = trainer.sample_grid(&pairs, 1).unwrap();
    let labels = labels(LabelKind::Colors);
    let input = labels.to_image(&labels.planes(&color_map(40, 40).into(), [32, 32]).unwrap());
    assert_eq!(imageops::crop_imm(&grid, 0, 0, 32, 32).to_image(), input);
    out
}

#[test]
fn a_run_records_its_classes_and_translates_label_maps() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(LabelKind::Colors);
    let out = trained(folder.path(), &config);
    let saved = Pix2PixConfig::load(out.join("config.json")).unwrap();
    assert_eq!(saved.data.labels, Some(labels(LabelKind::Colors)));
    assert_eq!((saved.discriminator.input_channels, saved.generator.input_channels), (4, 4));
    let (metadata, _) = split_weights(&out.join("generator.safetensors"));
    assert!(metadata["__metadata__"]["pix2pix.config"].as_str().unwrap().contains("class 3"));

    // The map has more pixels than a tile, and a size that the network does not take.
    let translator = Translator::load(&out, &device::cpu()).unwrap().with_mode(Mode::IMAGE);
    let map = DynamicImage::from(color_map(90, 70));
    let path = folder.path().join("map.png");
    map.save(&path).unwrap();
    let planes = labels(LabelKind::Colors).planes(&map, [70, 90]).unwrap();
    let values = translator.translate_array(planes.values(), [4, 70, 90]).unwrap();
    let expected = data::PlanarImage::new(values, [3, 70, 90]).to_image();
    assert_eq!(translator.translate(&map).unwrap(), expected);
    assert_eq!(translator.translate_file(&path).unwrap(), expected);
    assert_eq!(
        translator.translate_batch(&[map.clone(), map.clone()]).unwrap(),
        [(); 2].map(|()| expected.clone())
    );
    let tiled = translator.clone().with_tiles(64).unwrap().translate(&map).unwrap();
    let worst = tiled.as_bytes().iter().zip(expected.as_bytes()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(1), "{worst:?}");

    // Classes cannot change within a run.
    let mut other = config.clone();
    other.data.labels.as_mut().unwrap().classes.reverse();
    let error = Trainer::resume_or_new(&out, other, &device::cpu()).unwrap_err().to_string();
    assert!(
        error.contains("data.labels.classes: [") && error.contains("cannot change within a run"),
        "{error}"
    );
}

#[test]
fn maps_of_ids_that_look_black_are_recognised() {
    let ids = |image: DynamicImage| data::class_ids(&image);
    let map = id_map(64, 64);
    assert_eq!(ids(map.clone().into()), Some(vec![0, 1, 2, 3]));
    assert_eq!(ids(DynamicImage::from(map.clone()).to_rgb8().into()), Some(vec![0, 1, 2, 3]));
    let mut void = map;
    void.put_pixel(3, 3, Luma([255]));
    assert_eq!(ids(void.into()), Some(vec![0, 1, 2, 3, 255]));
    // A drawing in black and white, a black image, a dark photograph with noise, colours.
    let drawing = GrayImage::from_fn(64, 64, |x, _| Luma([if x == 30 { 255 } else { 0 }]));
    let noise = GrayImage::from_fn(64, 64, |x, y| Luma([((x * 7919 + y * 104_729) % 61) as u8]));
    for other in [drawing.into(), DynamicImage::new_luma8(64, 64), noise.into(), color_map(64, 64).into()] {
        assert_eq!(ids(other), None);
    }
}
