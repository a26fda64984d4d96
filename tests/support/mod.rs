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

/// Changes the configuration in a weights file, as JSON, and removes the checksum of its text, which older files do not
/// have.
pub(crate) fn edit_settings(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let (mut header, tensors) = split_weights(path);
    let text = &mut header["__metadata__"]["pix2pix.config"];
    let mut fields = serde_json::from_str(text.as_str().unwrap()).unwrap();
    edit(&mut fields);
    assert!(fields.as_object_mut().unwrap().remove("config_crc32c").is_some());
    *text = fields.to_string().into();
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], header.as_bytes(), &tensors].concat()).unwrap();
}

/// Lists the names in `folder`, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
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

/// Returns a PNG file with a palette. Its pixels have `bits` bits each and hold `indices`, row by row.
pub(crate) fn palette_png(width: u32, bits: u8, indices: &[u8], colors: &[[u8; 3]]) -> Vec<u8> {
    let height = indices.len() as u32 / width;
    let mut pixels = vec![];
    for row in indices.chunks(width as usize) {
        pixels.push(0); // no filter
        for byte in row.chunks(8 / usize::from(bits)) {
            let shifts = (1..).map(|place| 8 - place * bits);
            pixels.push(byte.iter().zip(shifts).map(|(index, shift)| index << shift).sum());
        }
    }
    // One stored block of deflate, and the checksum of zlib.
    let length = pixels.len() as u16;
    let (a, b) = pixels.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let ends = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let data = [&[0x78, 1, 1], &ends[..], &pixels, &((b << 16) | a).to_be_bytes()].concat();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, 3, 0, 0, 0]].concat();
    let chunks = [(b"IHDR", header), (b"PLTE", colors.concat()), (b"IDAT", data), (b"IEND", vec![])];
    let chunks = chunks.map(|(name, data)| {
        let body = [&name[..], &data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    });
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

/// Returns the checksum of a chunk of a PNG file.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1)))
    })
}
