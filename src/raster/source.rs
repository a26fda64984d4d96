//! The samples of a picture as they lie in memory, read piece by piece as numbers in `[-1, 1]`.

use image::DynamicImage;
use rayon::prelude::*;

use super::decode::reflected;

/// Weights of red, green and blue in grey by ITU-R 601, as the PyTorch original's loader has them; `image` itself
/// weighs by Rec. 709.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// Values below which a picture is read by one thread.
const SMALL: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
enum Samples<'a> {
    /// 0 to 255.
    Byte(&'a [u8]),
    /// 0 to 65 535.
    Word(&'a [u16]),
    /// 0 to 1, as in pictures of floating-point numbers.
    Unit(&'a [f32]),
    /// −1 to 1, as networks take them.
    Network(&'a [f32]),
}

/// Where a channel that a network takes comes from.
#[derive(Clone, Copy, Debug)]
enum Channel {
    Stored(usize),
    /// Red, green and blue weighed.
    Grey,
    /// Alpha of a picture that has none.
    Opaque,
}

/// A picture, or an array of any number of channels, without a copy.
#[derive(Clone, Debug)]
pub(crate) struct Pixels<'a> {
    samples: Samples<'a>,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// From a channel to the next, and from a pixel to the next.
    strides: [usize; 2],
    channels: Vec<Channel>,
    /// The place of alpha among the stored channels.
    alpha: Option<usize>,
}

impl<'a> Pixels<'a> {
    /// A picture as grey (1), colour (3), or colour with alpha (4 channels); `None` for types yet unknown.
    pub(crate) fn of(picture: &'a DynamicImage, channels: usize) -> Option<Self> {
        use DynamicImage as D;
        let samples = match picture {
            D::ImageLuma8(buffer) => Samples::Byte(buffer),
            D::ImageLumaA8(buffer) => Samples::Byte(buffer),
            D::ImageRgb8(buffer) => Samples::Byte(buffer),
            D::ImageRgba8(buffer) => Samples::Byte(buffer),
            D::ImageLuma16(buffer) => Samples::Word(buffer),
            D::ImageLumaA16(buffer) => Samples::Word(buffer),
            D::ImageRgb16(buffer) => Samples::Word(buffer),
            D::ImageRgba16(buffer) => Samples::Word(buffer),
            D::ImageRgb32F(buffer) => Samples::Unit(buffer),
            D::ImageRgba32F(buffer) => Samples::Unit(buffer),
            _ => return None,
        };
        let color = picture.color();
        let stored = usize::from(color.channel_count());
        let alpha = color.has_alpha().then(|| stored - 1);
        let of_colour = |index| Channel::Stored(if color.has_color() { index } else { 0 });
        let channels = match channels {
            1 if color.has_color() => vec![Channel::Grey],
            count => (0..count)
                .map(|index| match index {
                    3 => alpha.map_or(Channel::Opaque, Channel::Stored),
                    index => of_colour(index),
                })
                .collect(),
        };
        let size = [picture.height() as usize, picture.width() as usize];
        Some(Self { samples, size, strides: [1, stored], channels, alpha })
    }

    /// An array `[channels, height, width]` in `[-1, 1]`, whose length must be that.
    pub(crate) fn array(values: &'a [f32], [channels, height, width]: [usize; 3]) -> Self {
        Self {
            samples: Samples::Network(values),
            size: [height, width],
            strides: [height * width, 1],
            channels: (0..channels).map(Channel::Stored).collect(),
            alpha: None,
        }
    }

    /// Whether the samples have more than 8 bits.
    pub(crate) fn is_deep(&self) -> bool {
        !matches!(self.samples, Samples::Byte(_))
    }

    /// Whether there are values that no network can take: one of them would spread over the whole output. Those of a
    /// picture are cut off at 0 and 1, so that only NaN is left.
    pub(crate) fn has_unusable_numbers(&self) -> bool {
        match self.samples {
            Samples::Byte(_) | Samples::Word(_) => false,
            Samples::Unit(samples) => samples.iter().any(|value| value.is_nan()),
            Samples::Network(samples) => samples.iter().any(|value| !value.is_finite()),
        }
    }

    /// The opacity alone, if the picture has any.
    pub(crate) fn alpha(&self) -> Option<Self> {
        Some(Self { channels: vec![Channel::Stored(self.alpha?)], ..self.clone() })
    }

    /// The part from `[top, left]` on as `[channels, height, width]`; outside of the picture, its border mirrors it
    /// without repeating itself.
    pub(crate) fn window(&self, [top, left]: [isize; 2], [height, width]: [usize; 2]) -> Vec<f32> {
        let [from_height, from_width] = self.size;
        let columns: Vec<usize> = (0..width).map(|x| reflected(left + x as isize, from_width)).collect();
        let mut values = vec![0.0; self.channels.len() * height * width];
        let fill = |(index, out): (usize, &mut [f32])| {
            let row = reflected(top + (index % height) as isize, from_height) * from_width;
            let places = columns.iter().map(|column| (row + column) * self.strides[1]);
            match self.channels[index / height] {
                Channel::Stored(channel) => self.read(channel, places, out, |out, value| *out = value),
                Channel::Opaque => out.fill(1.0),
                Channel::Grey => {
                    for (channel, weight) in GREY.into_iter().enumerate() {
                        self.read(channel, places.clone(), out, |out, value| *out += weight * value);
                    }
                }
            }
        };
        // The loader's threads read small pictures, and should not wait for the workers who train.
        if values.len() < SMALL {
            values.chunks_mut(width.max(1)).enumerate().for_each(fill);
        } else {
            values.par_chunks_mut(width.max(1)).enumerate().for_each(fill);
        }
        values
    }

    fn read(
        &self,
        channel: usize,
        places: impl Iterator<Item = usize>,
        out: &mut [f32],
        put: impl Fn(&mut f32, f32),
    ) {
        let start = channel * self.strides[0];
        let all = out.iter_mut().zip(places.map(|place| start + place));
        match self.samples {
            Samples::Byte(samples) => {
                all.for_each(|(out, place)| put(out, f32::from(samples[place]) / 127.5 - 1.0));
            }
            Samples::Word(samples) => {
                all.for_each(|(out, place)| put(out, f32::from(samples[place]) / 32_767.5 - 1.0));
            }
            Samples::Unit(samples) => {
                all.for_each(|(out, place)| put(out, samples[place].clamp(0.0, 1.0) * 2.0 - 1.0));
            }
            Samples::Network(samples) => all.for_each(|(out, place)| put(out, samples[place])),
        }
    }
}
