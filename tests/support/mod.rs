//! A small configuration, images and pairs that several tests share.
#![allow(dead_code, reason = "no test binary uses all of them")]

use std::path::Path;

use image::{Rgb, RgbImage};
use pix2pix::Pix2PixConfig;

/// Returns the paper's recipe for images of 32 pixels and networks of a few channels.
pub(crate) fn small_config() -> Pix2PixConfig {
    let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
    config.generator.base_channels = 4;
    config.discriminator.base_channels = 4;
    config.data.workers = 1;
    config
}

/// Returns an image whose pixels depend on their position and on `seed`.
pub(crate) fn picture(width: u32, height: u32, seed: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, seed.wrapping_mul(37)])
    })
}

/// Splits a weights file into its metadata and the bytes of its tensors.
pub(crate) fn split_weights(path: &Path) -> (serde_json::Value, Vec<u8>) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors = bytes.split_off(8 + header);
    (serde_json::from_slice(&bytes[8..]).unwrap(), tensors)
}

/// Writes side-by-side pairs `0.png`, `1.png` … of images of `size`×`size` pixels; the target is the inverted input.
pub(crate) fn write_pairs(folder: &Path, count: u8, size: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let input = picture(size, size, index);
        let mut both = RgbImage::new(2 * size, size);
        image::imageops::replace(&mut both, &input, 0, 0);
        let mut target = input;
        image::imageops::invert(&mut target);
        image::imageops::replace(&mut both, &target, i64::from(size), 0);
        both.save(folder.join(format!("{index}.png"))).unwrap();
    }
}
