//! Decodes small files of known pixels: what a decoder gets wrong is rejected.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use pix2pix::data::{ImageLimits, MemoryBudget, load_image, read_image};

/// A JPEG frame: its size, the sampling factors of its three channels, and how its scans are stored.
#[derive(Clone, Copy, Debug)]
struct Jpeg {
    size: [usize; 2],
    sampling: [usize; 2],
    is_split: bool,
    is_progressive: bool,
    /// Blocks or MCUs between two restart markers; 0 for none.
    restart: usize,
}

/// Bits of a scan: bytes with FF escaped.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        for bit in (0..width).rev() {
            self.held = self.held << 1 | (value >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.held as u8);
                if self.held as u8 == 0xff {
                    self.bytes.push(0);
                }
                (self.held, self.count) = (0, 0);
            }
        }
    }

    fn pad(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }

    /// Puts the difference of a DC value, and the end of the block unless only DC values are stored. The codes are
    /// those of [`Jpeg::file`]: category c is c in 4 bits, and the end is 0 in 1 bit.
    fn block(&mut self, difference: i32, has_end: bool) {
        let category = 32 - difference.unsigned_abs().leading_zeros();
        self.put(category, 4);
        let value = if difference < 0 { difference - 1 } else { difference };
        self.put(value as u32 & ((1 << category) - 1), category);
        if has_end {
            self.put(0, 1);
        }
    }
}

impl Jpeg {
    /// Returns the level of a channel in its block: flat, different for each block.
    fn level(channel: usize, [y, x]: [usize; 2]) -> i32 {
        match channel {
            0 => 40 + ((x * 37 + y * 59) % 170) as i32,
            1 => 100 + ((x * 13 + y * 7) % 50) as i32,
            _ => 110 + ((x * 5 + y * 17) % 40) as i32,
        }
    }

    /// Returns the pixels of a channel at its own resolution, in full.
    fn luma(&self, x: usize, y: usize) -> i32 {
        Self::level(0, [y / 8, x / 8])
    }

    fn file(&self) -> Vec<u8> {
        let [height, width] = self.size.map(|size| size as u16).map(u16::to_be_bytes);
        let mut file = vec![0xff, 0xd8];
        let mut segment = |marker: u8, data: &[u8]| {
            file.extend([0xff, marker]);
            file.extend((data.len() as u16 + 2).to_be_bytes());
            file.extend(data);
        };
        // All quantisation factors are 8, so that a DC value is the level itself.
        segment(0xdb, &[&[0][..], &[8; 64]].concat());
        let [h, v] = self.sampling;
        let frame =
            [&[8][..], &height, &width, &[3, 1, (h << 4 | v) as u8, 0, 2, 0x11, 0, 3, 0x11, 0]].concat();
        segment(if self.is_progressive { 0xc2 } else { 0xc0 }, &frame);
        let lengths = |count: u8, bits: usize| {
            let mut lengths = [0_u8; 16];
            lengths[bits - 1] = count;
            lengths
        };
        segment(0xc4, &[&[0][..], &lengths(12, 4), &(0..12).collect::<Vec<u8>>()].concat());
        segment(0xc4, &[&[0x10][..], &lengths(1, 1), &[0]].concat());
        segment(0xdd, &(self.restart as u16).to_be_bytes());
        let scans: Vec<Vec<usize>> =
            if self.is_split { (0..3).map(|c| vec![c]).collect() } else { vec![vec![0, 1, 2]] };
        for channels in scans {
            let mut head = vec![channels.len() as u8];
            head.extend(channels.iter().flat_map(|channel| [*channel as u8 + 1, 0]));
            head.extend(if self.is_progressive { [0, 0, 0] } else { [0, 63, 0] });
            file.extend([0xff, 0xda]);
            file.extend((head.len() as u16 + 2).to_be_bytes());
            file.extend(head);
            file.extend(self.scan(&channels));
        }
        file.extend([0xff, 0xd9]);
        file
    }

    fn scan(&self, channels: &[usize]) -> Vec<u8> {
        let [h, v] = self.sampling;
        let [rows, columns] = [self.size[0].div_ceil(8 * v), self.size[1].div_ceil(8 * h)];
        // Of a channel alone, only blocks with pixels are stored.
        let alone = channels.len() == 1;
        let [rows, columns] = match (alone, channels[0]) {
            (true, 0) => self.size.map(|size| size.div_ceil(8)),
            (true, _) => [self.size[0].div_ceil(v).div_ceil(8), self.size[1].div_ceil(h).div_ceil(8)],
            _ => [rows, columns],
        };
        let mut bits = Bits::default();
        let mut last = [0; 3];
        for unit in 0..rows * columns {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                bits.pad();
                bits.bytes.extend([0xff, 0xd0 + ((unit / self.restart - 1) % 8) as u8]);
                last = [0; 3];
            }
            let [y, x] = [unit / columns, unit % columns];
            for channel in channels {
                let [across, down] = if alone || *channel > 0 { [1, 1] } else { [h, v] };
                for block in 0..across * down {
                    let place = [y * down + block / across, x * across + block % across];
                    let value = Self::level(*channel, place) - 128;
                    bits.block(value - last[*channel], !self.is_progressive);
                    last[*channel] = value;
                }
            }
        }
        bits.pad();
        bits.bytes
    }
}

#[test]
fn every_jpeg_is_decoded_rightly_or_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.jpg");
    let (mut right, mut rejected) = (0, 0);
    for sampling in [[1, 1], [2, 1], [1, 2], [2, 2], [4, 1]] {
        for size in [[64, 64], [44, 52], [75, 100], [7, 9]] {
            for (is_split, is_progressive) in [(false, false), (true, false), (false, true), (true, true)] {
                for restart in [0, 1, 3] {
                    let jpeg = Jpeg { size, sampling, is_split, is_progressive, restart };
                    std::fs::write(&path, jpeg.file()).unwrap();
                    let image = match read_image(&path) {
                        Ok(image) => image.into_rgb8(),
                        Err(error) => {
                            assert!(is_split && !is_progressive, "{jpeg:?}: {error}");
                            assert!(error.to_string().contains("convert it"), "{error}");
                            rejected += 1;
                            continue;
                        }
                    };
                    right += 1;
                    assert_eq!([image.height() as usize, image.width() as usize], size);
                    // Luma, which does not depend on how chroma is upsampled.
                    let off = image.enumerate_pixels().filter(|(x, y, pixel)| {
                        let [r, g, b] = pixel.0.map(f32::from);
                        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
                        (luma - jpeg.luma(*x as usize, *y as usize) as f32).abs() > 4.0
                    });
                    assert_eq!(off.count(), 0, "{jpeg:?}");
                }
            }
        }
    }
    assert_eq!((right, rejected), (180, 60));
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[test]
fn a_png_without_its_end_mark_is_taken_and_one_without_pixels_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    let image = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 5, y as u8 * 7, (x * y) as u8]));
    let bytes = png(&image);
    for cut in 0..=12 {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        assert_eq!(read_image(&path).unwrap(), DynamicImage::ImageRgb8(image.clone()), "{cut}");
    }
    for cut in [40, 200] {
        std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        assert!(read_image(&path).is_err(), "{cut}");
    }
}

#[test]
fn images_above_the_limit_are_rejected_by_their_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    let mut bytes = png(&RgbImage::new(20, 10));
    bytes[16..24].copy_from_slice(&[0, 0, 64, 0, 0, 0, 64, 0]);
    std::fs::write(&path, bytes).unwrap();
    let message = read_image(&path).unwrap_err().to_string();
    assert!(message.contains("16384×16384") && message.contains("--max-megapixels"), "{message}");
    let gif = b"GIF89a\x40\x2d\x40\x2d\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    std::fs::write(&path, gif).unwrap();
    let message = read_image(&path).unwrap_err().to_string();
    assert!(message.contains("135 megapixels, above the limit of 128"), "{message}");
}

#[test]
fn a_loaded_image_holds_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.png");
    std::fs::write(&path, png(&RgbImage::new(20, 10))).unwrap();
    let limits = ImageLimits::new().with_budget(MemoryBudget::new(1 << 30));
    let loaded = load_image(&path, &limits, |_| 1000).unwrap();
    assert_eq!(limits.budget().used(), 20 * 10 * 3 + 1000);
    drop(loaded);
    assert_eq!(limits.budget().used(), 0);
}

/// A file made by other programs, and what they read from it.
#[derive(serde::Deserialize)]
struct Made {
    name: String,
    file: String,
    /// The index of its table of pixels; `None` if the file must be refused.
    pixels: Option<usize>,
    tolerance: u8,
}

#[derive(serde::Deserialize)]
struct AllMade {
    /// Red, green, blue and alpha of each pixel.
    tables: Vec<String>,
    files: Vec<Made>,
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// See `tests/golden/image_files.py`.
#[test]
fn files_of_other_programs_are_decoded_rightly_or_refused_with_a_remedy() {
    let made: AllMade = serde_json::from_str(include_str!("../golden/image_files.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let mut wrong = Vec::new();
    for Made { name, file, pixels, tolerance } in &made.files {
        std::fs::write(&path, from_hex(file)).unwrap();
        match (read_image(&path), pixels) {
            (Ok(image), Some(table)) => {
                let (found, expected) = (image.to_rgba8().into_raw(), from_hex(&made.tables[*table]));
                // The colour of a transparent pixel has no meaning.
                let is_visible = |at: usize| at % 4 == 3 || expected[at / 4 * 4 + 3] > 0;
                let worst = (0..expected.len().max(found.len()))
                    .filter(|at| is_visible(*at))
                    .map(|at| found.get(at).zip(expected.get(at)).map_or(255, |(a, b)| a.abs_diff(*b)));
                let worst = worst.max().unwrap_or(0);
                if worst > *tolerance {
                    wrong.push(format!("{name}: differs by {worst}"));
                }
            }
            (Ok(_), None) => wrong.push(format!("{name}: is read")),
            (Err(error), Some(_)) => wrong.push(format!("{name}: {error}")),
            (Err(error), None) => {
                if !["convert it", "image has 1, 3 or 4"]
                    .iter()
                    .any(|remedy| error.to_string().contains(remedy))
                {
                    wrong.push(format!("{name}: no remedy: {error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "of {} files:\n{}", made.files.len(), wrong.join("\n"));
}
