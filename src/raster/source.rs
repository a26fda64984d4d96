//! A view of the samples of an image in memory, which converts them to `[-1, 1]` on reading.

use image::DynamicImage;
use rayon::prelude::*;

use super::levels;

/// The numbers of channels that an image file can hold: grey, colour, colour with alpha.
pub(crate) const IMAGE_CHANNELS: [usize; 3] = [1, 3, 4];

/// The problem of an image or array with a NaN or infinite value, and the remedy.
pub(crate) const NOT_A_NUMBER: &str = "some of its values are NaN or infinite; replace them by finite ones";

/// Weights of red, green and blue in grey by ITU-R 601, as in the PyTorch original. The crate `image` uses Rec. 709.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// The smallest number of values that is read in parallel.
const MIN_PARALLEL: usize = 1 << 20;

/// A part of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// Top and left.
    pub(crate) start: [usize; 2],
    /// Height and width.
    pub(crate) size: [usize; 2],
}

impl Region {
    /// Returns the whole of an image.
    pub(crate) fn of(image: &DynamicImage) -> Self {
        Self { start: [0, 0], size: [image.height() as usize, image.width() as usize] }
    }
}

#[derive(Clone, Copy, Debug)]
enum Samples<'a> {
    /// 0 to 255.
    Byte(&'a [u8]),
    /// 0 to 65 535.
    Word(&'a [u16]),
    /// 0 to 1, as in images of floating-point numbers.
    Unit(&'a [f32]),
    /// −1 to 1, as in a network's input.
    Network(&'a [f32]),
    /// The class of each pixel. Each channel stands for a class: 1 at its pixels, −1 elsewhere.
    Class(&'a [u16]),
}

/// The origin of one of the network's input channels.
#[derive(Clone, Copy, Debug)]
enum Channel {
    Stored(usize),
    /// The weighted sum of red, green and blue.
    Grey,
    /// Full opacity, for an image without alpha.
    Opaque,
}

/// A view of an image, or of an array of any number of channels.
#[derive(Clone, Debug)]
pub(crate) struct Pixels<'a> {
    samples: Samples<'a>,
    /// Height and width.
    pub(crate) size: [usize; 2],
    /// Distances in memory between channels, and between pixels.
    strides: [usize; 2],
    channels: Vec<Channel>,
    /// The index of alpha among the stored channels.
    alpha: Option<usize>,
}

impl<'a> Pixels<'a> {
    /// Views an image as grey (1), colour (3), or colour with alpha (4 channels). Returns `None` for an unknown pixel
    /// type.
    pub(crate) fn of(image: &'a DynamicImage, channels: usize) -> Option<Self> {
        use DynamicImage as D;
        let samples = match image {
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
        let color = image.color();
        let stored = usize::from(color.channel_count());
        let alpha = color.has_alpha().then(|| stored - 1);
        let stored_colour = |index| Channel::Stored(if color.has_color() { index } else { 0 });
        let channels = match channels {
            1 if color.has_color() => vec![Channel::Grey],
            count => (0..count)
                .map(|index| match index {
                    3 => alpha.map_or(Channel::Opaque, Channel::Stored),
                    index => stored_colour(index),
                })
                .collect(),
        };
        let size = [image.height() as usize, image.width() as usize];
        Some(Self { samples, size, strides: [1, stored], channels, alpha })
    }

    /// Views an array `[channels, height, width]` in `[-1, 1]`; the caller has checked its length.
    pub(crate) fn array(values: &'a [f32], [channels, height, width]: [usize; 3]) -> Self {
        Self {
            samples: Samples::Network(values),
            size: [height, width],
            strides: [height * width, 1],
            channels: (0..channels).map(Channel::Stored).collect(),
            alpha: None,
        }
    }

    /// Views the classes of the pixels of a label map as a channel for each of `count` classes.
    pub(crate) fn classes(classes: &'a [u16], size: [usize; 2], count: usize) -> Self {
        let channels = (0..count).map(Channel::Stored).collect();
        Self { samples: Samples::Class(classes), size, strides: [0, 1], channels, alpha: None }
    }

    /// Returns whether the samples have more than 8 bits.
    pub(crate) fn is_deep(&self) -> bool {
        !matches!(self.samples, Samples::Byte(_) | Samples::Class(_))
    }

    /// Returns whether any sample is NaN or, in an array, infinite; normalisation would spread it over the whole
    /// output. Image samples are clamped to `[0, 1]`, so infinities are harmless there.
    pub(crate) fn has_unusable_values(&self) -> bool {
        match self.samples {
            Samples::Byte(_) | Samples::Word(_) | Samples::Class(_) => false,
            Samples::Unit(samples) => samples.iter().any(|value| value.is_nan()),
            Samples::Network(samples) => samples.iter().any(|value| !value.is_finite()),
        }
    }

    /// Views one of the channels alone.
    pub(crate) fn channel(&self, index: usize) -> Self {
        Self { channels: vec![self.channels[index]], ..self.clone() }
    }

    /// Views the alpha channel alone, if the image has one.
    pub(crate) fn alpha(&self) -> Option<Self> {
        Some(Self { channels: vec![Channel::Stored(self.alpha?)], ..self.clone() })
    }

    /// Reads the window at `[top, left]` as `[channels, height, width]`; reflection padding fills its part outside the
    /// image.
    pub(crate) fn window(&self, [top, left]: [isize; 2], [height, width]: [usize; 2]) -> Vec<f32> {
        let [from_height, from_width] = self.size;
        let columns: Vec<usize> = (0..width).map(|x| reflected(left + x as isize, from_width)).collect();
        let mut values = vec![0.0; self.channels.len() * height * width];
        let fill = |(index, out): (usize, &mut [f32])| {
            let row = reflected(top + (index % height) as isize, from_height) * from_width;
            let offsets = columns.iter().map(|column| (row + column) * self.strides[1]);
            match self.channels[index / height] {
                Channel::Stored(channel) => self.read(channel, offsets, out, |out, value| *out = value),
                Channel::Opaque => out.fill(1.0),
                Channel::Grey => {
                    for (channel, weight) in GREY.into_iter().enumerate() {
                        self.read(channel, offsets.clone(), out, |out, value| *out += weight * value);
                    }
                }
            }
        };
        // Small images are read by the loader's threads, which must not wait for the thread pool: it is training.
        if values.len() < MIN_PARALLEL {
            values.chunks_mut(width.max(1)).enumerate().for_each(fill);
        } else {
            values.par_chunks_mut(width.max(1)).enumerate().for_each(fill);
        }
        values
    }

    /// Calls `put` with the value of a stored channel at each of `offsets`.
    fn read(
        &self,
        channel: usize,
        offsets: impl Iterator<Item = usize>,
        out: &mut [f32],
        put: impl Fn(&mut f32, f32),
    ) {
        let start = channel * self.strides[0];
        let all = out.iter_mut().zip(offsets.map(|offset| start + offset));
        match self.samples {
            Samples::Byte(samples) => {
                all.for_each(|(out, at)| put(out, levels::from_u8(samples[at])));
            }
            Samples::Word(samples) => {
                all.for_each(|(out, at)| put(out, levels::from_u16(samples[at])));
            }
            Samples::Unit(samples) => {
                all.for_each(|(out, at)| put(out, samples[at].clamp(0.0, 1.0) * 2.0 - 1.0));
            }
            Samples::Network(samples) => all.for_each(|(out, at)| put(out, samples[at])),
            Samples::Class(classes) => all.for_each(|(out, at)| {
                put(out, if usize::from(classes[at]) == channel { 1.0 } else { -1.0 });
            }),
        }
    }
}

/// Returns the index in `0..length` that reflection padding reads at `index`. The border pixel is not repeated.
pub(crate) fn reflected(index: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    let folded = index.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_does_not_repeat_the_border_and_stays_inside_the_image() {
        let indices: Vec<usize> = (-4..8).map(|index| reflected(index, 4)).collect();
        assert_eq!(indices, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!((-3..3).map(|index| reflected(index, 1)).collect::<Vec<_>>(), [0; 6]);
        assert_eq!((-2..4).map(|index| reflected(index, 2)).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
    }
}
