//! Pairs on disk: layouts, directions, augmentation, batches, and the messages of invalid inputs.
#![cfg(feature = "flex")]

use std::path::Path;

use crate::support::{crc32, picture, small_config, write_pairs};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma, RgbImage};
use pix2pix::data::{
    Batch, DataConfig, Direction, EpochCursor, PairedFolder, Preprocess, ResizeFilter, Sampling,
};
use pix2pix::{Error, Pix2PixConfig, Tensor, Trainer, device};

fn config() -> DataConfig {
    DataConfig::new().with_load_size(18).with_crop_size(16).with_workers(2)
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn batches(pairs: &PairedFolder, epoch: EpochCursor) -> Vec<(Vec<f32>, Vec<f32>)> {
    let batches = pairs.batches(epoch, &device::cpu());
    batches.map(Result::unwrap).map(|Batch { input, target }| (values(input), values(target))).collect()
}

fn fails(folder: &Path) -> Error {
    match PairedFolder::open(folder, &config()) {
        Err(error) => error,
        Ok(pairs) => {
            pairs.sequential(&device::cpu()).find_map(Result::err).expect("one of the pairs is invalid")
        }
    }
}

#[test]
fn both_layouts_and_directions_give_the_same_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let side_by_side = folder.path().join("one");
    write_pairs(&side_by_side, 3, 20);
    let separate = folder.path().join("two");
    for half in ["A", "B"] {
        std::fs::create_dir_all(separate.join(half)).unwrap();
    }
    for index in 0..3 {
        let both = image::open(side_by_side.join(format!("{index}.png"))).unwrap();
        both.crop_imm(0, 0, 20, 20).save(separate.join(format!("A/{index}.png"))).unwrap();
        both.crop_imm(20, 0, 20, 20).save(separate.join(format!("B/{index}.bmp"))).unwrap();
    }
    let open =
        |folder: &Path, direction| PairedFolder::open(folder, &config().with_direction(direction)).unwrap();
    for index in 0..3 {
        let pair = open(&side_by_side, Direction::AToB).pair(index).unwrap();
        assert_eq!(open(&separate, Direction::AToB).pair(index).unwrap(), pair);
        let swapped = open(&side_by_side, Direction::BToA).pair(index).unwrap();
        assert_eq!((&swapped.input, &swapped.target), (&pair.target, &pair.input));
        assert_eq!(pair.input.shape(), [3, 16, 16]);
    }
}

#[test]
fn crop_and_mirror_are_shared_by_both_halves() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 5, 18); // without resizing, the target is exactly the inverse of the input
    let pairs = PairedFolder::open(folder.path(), &config()).unwrap();
    let whole: Vec<Vec<f32>> = (0..5).map(|index| pairs.pair(index).unwrap().input.into_values()).collect();
    let mut differs = false;
    for epoch in 1..4 {
        for (input, target) in batches(&pairs, EpochCursor::new(epoch, 0)) {
            let worst = input.iter().zip(&target).map(|(a, b)| (a + b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "input and target were cropped differently: {worst}");
            differs |= !whole.contains(&input);
        }
    }
    assert!(differs);
}

#[test]
fn sampling_with_replacement_repeats_pairs() {
    let folder = tempfile::tempdir().unwrap();
    crate::support::write_pairs(folder.path(), 12, 16);
    let config = DataConfig::new().with_load_size(16).with_crop_size(16).with_mirror(false).with_workers(0);
    let distinct = |sampling: Sampling, epoch: usize| {
        let pairs = PairedFolder::open(folder.path(), &config.clone().with_sampling(sampling)).unwrap();
        let read = batches(&pairs, EpochCursor::new(epoch, 0));
        assert_eq!(read.len(), 12);
        let bits = read.into_iter().map(|(input, _)| input.into_iter().map(f32::to_bits).collect::<Vec<_>>());
        bits.collect::<std::collections::BTreeSet<_>>().len()
    };
    for epoch in 1..4 {
        assert_eq!(distinct(Sampling::Shuffled, epoch), 12);
        // The probability of twelve different pairs is 5e-5.
        assert!((4..12).contains(&distinct(Sampling::WithReplacement, epoch)));
    }
}

#[test]
fn order_and_augmentation_depend_only_on_seed_and_epoch() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 9, 24);
    let open = |workers| {
        PairedFolder::open(folder.path(), &config().with_batch_size(2).with_workers(workers)).unwrap()
    };
    let first = EpochCursor::new(1, 0);
    let reference = batches(&open(0), first);
    assert_eq!(reference.len(), 5);
    for workers in [1, 2, 3, 7] {
        assert!(batches(&open(workers), first) == reference, "{workers} workers");
    }
    assert!(batches(&open(2), EpochCursor::new(2, 0)) != reference);
    assert!(batches(&open(2), EpochCursor::new(1, 1)) != reference);
    // A resumed epoch has the same batches as an uninterrupted one.
    let rest = batches(&open(2), first.at_batch(3));
    assert!(rest == reference[3..]);
    assert_eq!(open(2).batches(first.at_batch(9), &device::cpu()).len(), 0);
}

#[test]
fn every_setting_changes_the_batches() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 6, 24);
    let run = |config: DataConfig| {
        batches(&PairedFolder::open(folder.path(), &config).unwrap(), EpochCursor::new(1, 0))
    };
    let reference = run(config());
    for changed in [
        config().with_direction(Direction::BToA),
        config().with_input_channels(1),
        config().with_target_channels(4),
        config().with_load_size(20),
        config().with_resize_filter(ResizeFilter::Bicubic),
        config().with_target_resize_filter(ResizeFilter::Nearest),
        config().with_crop_size(14),
        config().with_crop_size([14, 16]),
        config().with_load_size([18, 24]),
        config().with_preprocess(Preprocess::Crop),
        config().with_preprocess(Preprocess::None),
        config().with_preprocess(Preprocess::ScaleWidth).with_load_size([18, 20]),
        config().with_mirror(false),
        config().with_rotate90(true),
        config().with_scale_range([0.8, 1.25]),
        config().with_warp(0.03),
        config().with_batch_size(3),
    ] {
        assert!(run(changed.clone()) != reference, "{changed:?}");
    }
}

#[test]
fn grey_and_16_bit_images_of_every_file_type_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let ramp = |x: u32, y: u32| (x * 3 + y * 5) as u8;
    let grey = GrayImage::from_fn(32, 16, |x, y| Luma([ramp(x, y)]));
    let deep = ImageBuffer::from_fn(32, 16, |x, y| Luma([u16::from(ramp(x, y)) * 257]));
    let (grey, deep) = (DynamicImage::ImageLuma8(grey), DynamicImage::ImageLuma16(deep));
    grey.save(folder.path().join("a.png")).unwrap();
    deep.save(folder.path().join("b.png")).unwrap();
    grey.to_rgb8().save(folder.path().join("c.bmp")).unwrap();
    deep.to_rgb16().save(folder.path().join("d.tiff")).unwrap();
    grey.to_rgb8().save(folder.path().join("e.webp")).unwrap();
    grey.save(folder.path().join("f.jpg")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "not an image").unwrap();
    for channels in [1, 3] {
        let config = config().with_input_channels(channels).with_target_channels(channels);
        let pairs = PairedFolder::open(folder.path(), &config).unwrap();
        assert_eq!(pairs.len(), 6);
        let first = pairs.pair(0).unwrap();
        for index in 1..6 {
            let other = pairs.pair(index).unwrap();
            let tolerance = if index == 5 { 0.05 } else { 1e-5 }; // JPEG is lossy
            let worst = first
                .input
                .values()
                .iter()
                .zip(other.input.values())
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < tolerance, "file {index} with {channels} channels: {worst}");
        }
    }
}

#[test]
fn an_image_is_rotated_upright_by_its_exif_orientation() {
    // A JPEG of 16x32 whose EXIF block says "rotate by 90 degrees": upright it is 32x16.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.jpg");
    picture(16, 32, 1).save(&path).unwrap();
    let jpeg = std::fs::read(&path).unwrap();
    let exif: &[u8] = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat();
    std::fs::write(&path, turned).unwrap();
    let pair = PairedFolder::open(folder.path(), &config()).unwrap().pair(0).unwrap();
    assert_eq!(pair.input.shape(), [3, 16, 16]);
    // Red increases along x before the rotation, and along y after it.
    let red = &pair.input.values()[..16 * 16];
    assert!(red[15 * 16 + 8] > red[8] + 1.0, "{red:?}");
}

#[test]
fn a_folder_without_pairs_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let message = fails(folder.path()).to_string();
    assert!(message.contains("no pairs here") && message.contains("folders A and B"), "{message}");
    std::fs::create_dir(folder.path().join("train")).unwrap();
    let message = fails(folder.path()).to_string();
    assert!(message.contains("did you mean"), "{message}");
    let error = fails(&folder.path().join("nowhere"));
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("nowhere"));
}

#[test]
fn unmatched_names_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    for half in ["A", "B"] {
        std::fs::create_dir(folder.path().join(half)).unwrap();
        picture(16, 16, 1).save(folder.path().join(half).join("both.png")).unwrap();
    }
    picture(16, 16, 1).save(folder.path().join("A/lonely.png")).unwrap();
    picture(16, 16, 1).save(folder.path().join("B/other.png")).unwrap();
    let error = fails(folder.path());
    let Error::Pairs { unmatched, .. } = &error else { panic!("{error:?}") };
    assert_eq!(unmatched.len(), 2);
    let message = error.to_string();
    assert!(message.contains("lonely.png") && message.contains("other.png"), "{message}");
    assert!(message.contains("add the partner"), "{message}");
}

#[test]
fn files_that_are_not_images_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 1, 16);
    let good = std::fs::read(folder.path().join("0.png")).unwrap();
    let bad: [(&str, Vec<u8>); 3] = [
        ("truncated.png", good[..good.len() / 2].to_vec()),
        ("bomb.png", bomb(60_000)),
        ("large_bomb.png", bomb(16_000)), // its sides are allowed, its 768 MB are not
    ];
    for (name, bytes) in bad {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = fails(folder.path());
        assert!(matches!(error, Error::Image { .. }) && error.to_string().contains(name), "{error:?}");
        if name.contains("bomb") {
            assert!(error.to_string().to_lowercase().contains("limit"), "{error}");
        }
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn every_file_of_a_folder_is_used_or_listed_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 2, 16);
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let good = std::fs::read(folder.path().join("0.png")).unwrap();
    put("city/district/2.png", &good);
    put("misnamed.jpg", &good);
    put("without_extension", &good);
    for (name, bytes) in [
        ("text.jpg", &b"this is not an image"[..]),
        ("empty.png", b""),
        (".hidden/3.png", &good),
        ("__MACOSX/._0.png", &good),
        ("Thumbs.db", b"cache"),
        ("notes.txt", b"notes"),
        ("a.pgm", b"P5\n1 1\n255\n0"),
    ] {
        put(name, bytes);
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("/nowhere/1.png", folder.path().join("dangling.png")).unwrap();
    let pairs = PairedFolder::open(folder.path(), &config()).unwrap();
    assert_eq!(pairs.len(), 5, "{:?}", pairs.left_out());
    assert_eq!(pairs.left_out().len(), if cfg!(unix) { 8 } else { 7 }, "{:?}", pairs.left_out());
    assert!((0..pairs.len()).all(|index| pairs.pair(index).is_ok()));
    let reasons: Vec<String> = pairs.left_out().iter().map(|file| file.reason.to_string()).collect();
    for reason in ["not an image", "empty", "hidden", "system file", "convert it to PNG", "does not exist"] {
        assert!(
            reasons.iter().any(|found| found.contains(reason)) || cfg!(not(unix)),
            "{reason}: {reasons:?}"
        );
    }
}

#[test]
fn single_images_without_a_partner_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for (side, names) in [("A", &["1", "2", "x/3", "4"][..]), ("B", &["1", "2", "x/3"])] {
        for name in names {
            let path = folder.path().join(side).join(name).with_extension("png");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture(16, 16, 1).save(path).unwrap();
        }
    }
    picture(32, 16, 1).save(folder.path().join("on_top.png")).unwrap();
    let pairs = PairedFolder::open(folder.path(), &config()).unwrap();
    assert_eq!((pairs.len(), pairs.left_out().len()), (3, 2), "{:?}", pairs.left_out());
    let (train, val) = pairs.hold_out(0.1).unwrap();
    assert_eq!((train.len(), val.len()), (2, 1));
    assert!(train.hold_out(1.0).is_err() && val.hold_out(0.5).is_err());
}

/// Returns a PNG of a few bytes that claims to hold `side`×`side` pixels.
fn bomb(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    DynamicImage::ImageRgb8(RgbImage::new(1, 1))
        .write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png)
        .unwrap();
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let crc = crc32(&bytes[12..29]).to_be_bytes();
    bytes[29..33].copy_from_slice(&crc);
    bytes
}

#[test]
fn halves_of_different_size_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    picture(33, 16, 1).save(folder.path().join("odd.png")).unwrap();
    let message = fails(folder.path()).to_string();
    assert!(message.contains("odd.png: width 33 is odd"), "{message}");

    let separate = tempfile::tempdir().unwrap();
    for (half, size) in [("A", 16), ("B", 20)] {
        std::fs::create_dir(separate.path().join(half)).unwrap();
        picture(size, 16, 1).save(separate.path().join(half).join("x.png")).unwrap();
    }
    let message = fails(separate.path()).to_string();
    assert!(message.contains("[20, 16] pixels") && message.contains("has [16, 16]"), "{message}");
    assert!(message.contains("must have the same size"), "{message}");
}

#[test]
fn channels_of_networks_and_data_must_agree() {
    let mut config = Pix2PixConfig::paper();
    config.data = config.data.with_target_channels(1);
    let message = Trainer::new(config, &device::cpu()).unwrap_err().to_string();
    assert!(message.contains("data.target_channels: 1, but the generator has 3"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let config = Pix2PixConfig::paper().with_channels(5, 3);
    let message = PairedFolder::open(folder.path(), &config.data).unwrap_err().to_string();
    assert!(message.contains("data.input_channels: 5 is not 1 (grey), 3 (colour) or 4"), "{message}");
}

#[test]
fn an_unwritable_run_folder_is_an_error_before_training() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(&folder.path().join("train"), 1, 32);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = small_config();
    let pairs = PairedFolder::open(folder.path().join("train"), &config.data).unwrap();
    let mut trainer = Trainer::new(config, &device::cpu()).unwrap();
    let error = trainer.fit(&pairs, None, file.join("run"), |_| panic!("it trained")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("run"), "{error}");
    assert_eq!(trainer.steps(), 0);
}

#[test]
fn a_damaged_image_stops_the_run_after_saving_it() {
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train");
    write_pairs(&train, 3, 32);
    let good = std::fs::read(train.join("1.png")).unwrap();
    std::fs::write(train.join("1.png"), &good[..good.len() / 2]).unwrap();
    let run = folder.path().join("run");
    let mut config = small_config();
    config.training.epochs = 2;
    let pairs = PairedFolder::open(&train, &config.data).unwrap();
    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    let error = trainer.fit(&pairs, None, &run, |_| std::ops::ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::Image { .. }) && error.to_string().contains("1.png"), "{error}");
    let steps = trainer.steps();
    std::fs::write(train.join("1.png"), good).unwrap();
    let mut trainer = Trainer::resume_or_new(&run, config, &device::cpu()).unwrap();
    assert_eq!(trainer.steps(), steps);
    trainer.fit(&pairs, None, &run, |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert_eq!(trainer.steps(), 6);
}

#[test]
fn crops_may_be_rectangular() {
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join("train");
    write_pairs(&train, 3, 100);
    let mut config = small_config();
    config.data = config.data.with_load_size([72, 108]).with_crop_size([64, 96]).with_batch_size(2);
    config.validate().unwrap();
    let pairs = PairedFolder::open(&train, &config.data).unwrap();
    assert_eq!(pairs.pair(0).unwrap().input.shape(), [3, 64, 96]);
    let mut trainer = Trainer::new(config.clone(), &device::cpu()).unwrap();
    for batch in pairs.batches(EpochCursor::new(1, 0), &device::cpu()) {
        let batch = batch.unwrap();
        let count = batch.input.dims()[0];
        assert_eq!((batch.input.dims(), batch.target.dims()), ([count, 3, 64, 96], [count, 3, 64, 96]));
        trainer.step(batch);
    }
    assert_eq!(trainer.steps(), 2);
    let grid = trainer.sample_grid(&pairs, 2).unwrap();
    assert_eq!((grid.width(), grid.height()), (3 * 96, 2 * 64));
    assert!(trainer.evaluate(&pairs).unwrap().l1.is_finite());

    config.data.crop_size = [64, 80].into();
    let message = config.validate().unwrap_err().to_string();
    assert!(message.contains("data.crop_size: 64x80 is not divisible by 32"), "{message}");
}

#[test]
fn a_rectangular_crop_is_the_same_area_of_both_images() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 4, 40); // without resizing, the target is exactly the inverse of the input
    let config = config().with_load_size(40).with_crop_size([16, 30]);
    let pairs = PairedFolder::open(folder.path(), &config).unwrap();
    for (input, target) in batches(&pairs, EpochCursor::new(1, 0)) {
        assert_eq!(input.len(), 3 * 16 * 30);
        let worst = input.iter().zip(&target).map(|(a, b)| (a + b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "input and target were cropped differently: {worst}");
    }
}

#[test]
fn counts_of_zero_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(folder.path(), 3, 16);
    let pairs = PairedFolder::open(folder.path(), &config()).unwrap();
    assert_eq!(pairs.clone().head(2).unwrap().len(), 2);
    assert_eq!(pairs.clone().head(9).unwrap().len(), 3);
    let message = pairs.clone().head(0).unwrap_err().to_string();
    assert_eq!(message, "count: is 0; keep at least 1 pair");
    assert_eq!(pairs.clone().with_batch_size(2).unwrap().sequential(&device::cpu()).len(), 2);
    let message = pairs.with_batch_size(0).unwrap_err().to_string();
    assert_eq!(message, "batch_size: is 0; it must be at least 1");
}

#[test]
fn nearest_keeps_the_ids_of_a_label_map_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let ids = GrayImage::from_fn(33, 29, |x, y| Luma([(x / 3 * 7 + y / 2 * 5) as u8 % 40 * 6]));
    let photograph = DynamicImage::from(picture(33, 29, 4)).to_luma8();
    let mut both = GrayImage::new(66, 29);
    image::imageops::replace(&mut both, &ids, 0, 0);
    image::imageops::replace(&mut both, &photograph, 33, 0);
    both.save(folder.path().join("0.png")).unwrap();
    let config = config().with_input_channels(1).with_target_channels(1).with_crop_size(18);
    let sides = [
        config.clone().with_resize_filter(ResizeFilter::Nearest),
        config.clone().with_direction(Direction::BToA).with_target_resize_filter(ResizeFilter::Nearest),
    ];
    for config in sides {
        let pair = PairedFolder::open(folder.path(), &config).unwrap().pair(0).unwrap();
        let map = if config.direction == Direction::AToB { pair.input } else { pair.target };
        let map = map.to_image().into_luma8();
        // The pixel at the middle of each target pixel.
        let expected =
            GrayImage::from_fn(18, 18, |x, y| *ids.get_pixel((2 * x + 1) * 33 / 36, (2 * y + 1) * 29 / 36));
        assert_eq!(map, expected);
    }
    let json = serde_json::to_value(config).unwrap();
    assert!(json.get("target_resize_filter").is_none(), "it is left out where it is not used: {json}");
}
