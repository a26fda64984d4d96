//! What `check` keeps of a pair after it has read the pair's files once.

use std::hash::{DefaultHasher, Hasher};

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, RgbImage};

use super::labels::Colours;
use super::shift::{self, Offset};

/// The number of features of a half.
pub(crate) const FEATURES: usize = 5;
/// The side of the reduced image that verifies near-duplicates.
const SMALL: u32 = 16;

/// The properties of one half of a pair.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    /// Width and height.
    pub(crate) size: [u32; 2],
    pub(crate) channels: u8,
    pub(crate) bits: u8,
    /// The largest sample of an image with more than 8 bits.
    pub(crate) deep_max: Option<u16>,
    /// Whether all pixels are equal.
    pub(crate) is_constant: bool,
    /// Whether all pixels are grey, and the largest of their levels.
    pub(crate) grey_max: Option<u8>,
    /// The number of colours, up to a limit.
    pub(crate) colours: usize,
    /// A hash of all pixels.
    pub(crate) exact: u64,
    /// A perceptual hash: signs of differences between neighbours in a reduced image.
    pub(crate) perceptual: u64,
    /// A reduced grey image.
    pub(crate) small: Vec<u8>,
    /// Numbers that tell label maps, edges and photographs apart.
    pub(crate) features: [f32; FEATURES],
}

/// The properties of a pair.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) halves: [Half; 2],
    pub(crate) offset: Offset,
    /// Whether the halves continue each other, as the halves of one photograph do.
    pub(crate) is_continuous: bool,
}

/// The number of colours at which counting stops.
pub(crate) const MAX_COLOURS: usize = 4096;

impl Signature {
    /// Computes the signature of A and B, and adds their colours to those of the data set.
    pub(crate) fn of(halves: [&DynamicImage; 2], colours: &mut [Colours; 2]) -> Self {
        let [(a, edges_a), (b, edges_b)] = [0, 1].map(|side| half(halves[side], &mut colours[side]));
        let is_continuous = is_continuous(halves);
        Self { offset: shift::offset(&edges_a, &edges_b), halves: [a, b], is_continuous }
    }
}

fn half(image: &DynamicImage, colours: &mut Colours) -> (Half, Vec<f32>) {
    let rgb = image.to_rgb8();
    let color = image.color();
    let channels = color.channel_count();
    let bits = (color.bits_per_pixel() / u16::from(channels)) as u8;
    let grey = grey(&rgb);
    let edges = shift::edges(&grey);
    let distinct = colours.add(&rgb);
    let first = rgb.get_pixel(0, 0);
    let is_grey = rgb.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]);
    let mut hasher = DefaultHasher::new();
    hasher.write_u32(rgb.width());
    hasher.write(image.as_bytes());
    let half = Half {
        size: [rgb.width(), rgb.height()],
        channels,
        bits,
        deep_max: (bits == 16).then(|| image.to_luma16().iter().copied().max().unwrap_or(0)),
        is_constant: rgb.pixels().all(|pixel| pixel == first),
        grey_max: is_grey.then(|| grey.iter().copied().max().unwrap_or(0)),
        colours: distinct,
        exact: hasher.finish(),
        perceptual: perceptual(&grey),
        small: imageops::resize(&grey, SMALL, SMALL, FilterType::Triangle).into_raw(),
        features: features(&rgb, &grey),
    };
    (half, edges)
}

/// Returns whether the step from A's last column to B's first is not larger than steps between columns nearby. Flat
/// surroundings, such as white borders, decide nothing.
fn is_continuous([a, b]: [&DynamicImage; 2]) -> bool {
    const NEARBY: u32 = 6;
    let (width, height) = (a.width(), a.height());
    if width <= NEARBY || height < 2 || (b.width(), b.height()) != (width, height) {
        return false;
    }
    let [a, b] = [a.crop_imm(width - NEARBY, 0, NEARBY, height), b.crop_imm(0, 0, NEARBY, height)]
        .map(|i| i.to_rgb8());
    let step = |[p, q]: [(&RgbImage, u32); 2]| -> f32 {
        let sum: u32 = (0..height)
            .flat_map(|y| (0..3).map(move |c| (y, c)))
            .map(|(y, c)| u32::from(p.0.get_pixel(p.1, y).0[c].abs_diff(q.0.get_pixel(q.1, y).0[c])))
            .sum();
        sum as f32 / (3 * height) as f32
    };
    let activity = [&a, &b].map(|image| {
        let mut steps: Vec<f32> = (1..NEARBY).map(|x| step([(image, x - 1), (image, x)])).collect();
        steps.sort_by(f32::total_cmp);
        steps[steps.len() / 2]
    });
    let usual = activity[0].min(activity[1]);
    let column = |image: &RgbImage, x: u32| -> Vec<f32> {
        (0..height).map(|y| image.get_pixel(x, y).0.iter().map(|level| f32::from(*level)).sum()).collect()
    };
    usual > 1.0
        && step([(&a, NEARBY - 1), (&b, 0)]) < 1.5 * usual
        && correlation(&column(&a, NEARBY - 1), &column(&b, 0)) > 0.8
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let [mean_a, mean_b] = [mean(a), mean(b)];
    let [mut both, mut of_a, mut of_b] = [0.0f32; 3];
    for (a, b) in a.iter().zip(b) {
        let [a, b] = [a - mean_a, b - mean_b];
        both += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    both / (of_a * of_b).sqrt().max(1.0)
}

/// Returns the luma of ITU-R 601, as the training does.
fn grey(image: &RgbImage) -> GrayImage {
    let luma = |[r, g, b]: [u8; 3]| (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000;
    let levels = image.pixels().map(|pixel| luma(pixel.0) as u8).collect();
    GrayImage::from_raw(image.width(), image.height(), levels).expect("a level for every pixel")
}

/// Returns one bit for each of 8×8 horizontal differences in a reduced image.
fn perceptual(grey: &GrayImage) -> u64 {
    let small = imageops::resize(grey, 9, 8, FilterType::Triangle);
    let bits = (0..8).flat_map(|y| (0..8).map(move |x| (x, y)));
    bits.fold(0, |hash, (x, y)| {
        hash << 1 | u64::from(small.get_pixel(x, y).0[0] > small.get_pixel(x + 1, y).0[0])
    })
}

/// Returns the logarithm of the number of coarse colours, the fraction of flat pixels, the logarithm of the gradient's
/// mean, the mean saturation and the mean luma.
fn features(rgb: &RgbImage, grey: &GrayImage) -> [f32; FEATURES] {
    let (width, height) = grey.dimensions();
    let mut coarse = vec![false; 1 << 12];
    for pixel in rgb.pixels() {
        coarse[pixel.0.iter().fold(0, |bin, level| bin << 4 | usize::from(level >> 4))] = true;
    }
    let coarse = coarse.into_iter().filter(|is_used| *is_used).count();
    let (mut flat, mut energy, mut count) = (0.0f32, 0.0f64, 0.0f32);
    for y in 1..height {
        for x in 1..width {
            let level = |x, y| i32::from(grey.get_pixel(x, y).0[0]);
            let change = (level(x, y) - level(x - 1, y)).abs() + (level(x, y) - level(x, y - 1)).abs();
            flat += f32::from(u8::from(change <= 1));
            energy += f64::from(change);
            count += 1.0;
        }
    }
    let count = count.max(1.0);
    let pixels = (width * height).max(1) as f64;
    let saturation: u64 = rgb
        .pixels()
        .map(|pixel| {
            let [r, g, b] = pixel.0;
            u64::from(r.max(g).max(b) - r.min(g).min(b))
        })
        .sum();
    let luma: u64 = grey.iter().map(|level| u64::from(*level)).sum();
    [
        (coarse as f32).ln(),
        flat / count,
        (energy as f32 / count + 0.1).ln(),
        (saturation as f64 / pixels / 255.0) as f32,
        (luma as f64 / pixels / 255.0) as f32,
    ]
}
