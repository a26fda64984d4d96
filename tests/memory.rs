//! The memory that translating an image much larger than a tile takes. Alone in its process, because it measures the
//! process.
//!
//! `PIX2PIX_LARGE=1` uses the paper's U-Net and 8192×8192 pixels, which takes minutes.
#![cfg(all(feature = "flex", target_os = "linux"))]

use image::{DynamicImage, RgbImage};
use pix2pix::{Mode, Pix2PixConfig, Translator, device};

/// Returns the peak memory of this process in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn large_images_take_bounded_memory() {
    let is_large = std::env::var_os("PIX2PIX_LARGE").is_some_and(|value| value == "1");
    let (channels, side, tile, most) = if is_large { (64, 8192, 1024, 3_000) } else { (8, 2048, 512, 400) };
    let mut config = Pix2PixConfig::paper();
    config.generator.base_channels = channels;
    let generator = config.generator.init_seeded(1, &device::cpu());
    let translator = Translator::new(generator, &device::cpu()).unwrap().with_tiles(tile).unwrap();
    let input = RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, ((x * y) >> 10) as u8]));
    let input = DynamicImage::ImageRgb8(input);
    let modes = [Mode::IMAGE, Mode::PAPER.with_noise(0)];
    for mode in &modes[..if is_large { 2 } else { 1 }] {
        let output = translator.clone().with_mode(*mode).translate(&input).unwrap();
        assert_eq!((output.width(), output.height()), (side, side));
        println!("{mode:?}: {} MiB", peak());
        assert!(peak() < most, "{mode:?}: {} MiB of {most}", peak());
    }
}
