//! What a network gives, piece by piece, as a picture or an array.

use image::{DynamicImage, ImageBuffer};

use super::source::Pixels;

#[derive(Debug)]
enum Samples {
    Byte(Vec<u8>),
    Word(Vec<u16>),
    /// As networks give them.
    Network(Vec<f32>),
}

/// A picture or an array that is filled piece by piece.
#[derive(Debug)]
pub(crate) struct Canvas {
    samples: Samples,
    /// Height and width.
    size: [usize; 2],
    /// From a channel to the next, and from a pixel to the next.
    strides: [usize; 2],
}

impl Canvas {
    /// A picture of the size, the bits and the alpha of `input`, for `channels` of the network: 1, 3 or 4.
    pub(crate) fn like(input: &Pixels, channels: usize) -> Self {
        let alpha = input.alpha().filter(|_| channels != 4);
        let stored = channels + usize::from(alpha.is_some());
        let count = stored * input.size[0] * input.size[1];
        let samples =
            if input.is_deep() { Samples::Word(vec![0; count]) } else { Samples::Byte(vec![0; count]) };
        let mut canvas = Self { samples, size: input.size, strides: [1, stored] };
        if let Some(alpha) = alpha {
            for y in 0..input.size[0] as isize {
                let row = [1, input.size[1]];
                canvas.paint_channels(channels, &alpha.window([y, 0], row), row, [y, 0]);
            }
        }
        canvas
    }

    /// An array `[channels, height, width]`.
    pub(crate) fn array([channels, height, width]: [usize; 3]) -> Self {
        let samples = Samples::Network(vec![0.0; channels * height * width]);
        Self { samples, size: [height, width], strides: [height * width, 1] }
    }

    /// Puts a piece, `[channels, height, width]`, at `start`; what lies outside is left away.
    pub(crate) fn paint(&mut self, piece: &[f32], size: [usize; 2], start: [isize; 2]) {
        self.paint_channels(0, piece, size, start);
    }

    fn paint_channels(&mut self, first: usize, piece: &[f32], size: [usize; 2], [top, left]: [isize; 2]) {
        let [height, width] = size;
        let inside = |start: isize, len: usize, whole: usize| {
            let (begin, end) = (start.max(0), (start + len as isize).min(whole as isize));
            let count = (end - begin).max(0) as usize;
            let skipped = (begin - start) as usize;
            if count == 0 { (0..0, 0) } else { (skipped..skipped + count, begin as usize) }
        };
        let (rows, top) = inside(top, height, self.size[0]);
        let (columns, left) = inside(left, width, self.size[1]);
        for (channel, plane) in piece.chunks_exact(height * width).enumerate() {
            for (y, row) in rows.clone().enumerate() {
                let values = &plane[row * width..][columns.clone()];
                let place = ((top + y) * self.size[1] + left) * self.strides[1];
                let place = (first + channel) * self.strides[0] + place;
                let level = |value: f32, half: f32| ((value + 1.0) * half).round(); // a cast cuts off
                match &mut self.samples {
                    Samples::Byte(samples) => {
                        let places = samples[place..].iter_mut().step_by(self.strides[1]);
                        places.zip(values).for_each(|(place, value)| *place = level(*value, 127.5) as u8);
                    }
                    Samples::Word(samples) => {
                        let places = samples[place..].iter_mut().step_by(self.strides[1]);
                        places.zip(values).for_each(|(place, value)| *place = level(*value, 32_767.5) as u16);
                    }
                    Samples::Network(samples) => samples[place..][..values.len()].copy_from_slice(values),
                }
            }
        }
    }

    /// The array.
    ///
    /// # Panics
    /// If this is a picture.
    pub(crate) fn into_values(self) -> Vec<f32> {
        match self.samples {
            Samples::Network(values) => values,
            Samples::Byte(_) | Samples::Word(_) => panic!("the canvas is an image, not an array"),
        }
    }

    /// The picture.
    ///
    /// # Panics
    /// If this is an array.
    pub(crate) fn into_picture(self) -> DynamicImage {
        let [height, width] = self.size.map(|size| size as u32);
        let picture = match (self.samples, self.strides[1]) {
            (Samples::Byte(samples), 1) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
            }
            (Samples::Byte(samples), 2) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8)
            }
            (Samples::Byte(samples), 3) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
            }
            (Samples::Byte(samples), _) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8)
            }
            (Samples::Word(samples), 1) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma16)
            }
            (Samples::Word(samples), 2) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA16)
            }
            (Samples::Word(samples), 3) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb16)
            }
            (Samples::Word(samples), _) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba16)
            }
            (Samples::Network(_), _) => panic!("the canvas is an array, not an image"),
        };
        picture.expect("a sample for every channel of every pixel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the canvas is an array, not an image")]
    fn an_array_never_becomes_an_empty_image() {
        Canvas::array([3, 2, 2]).into_picture();
    }

    #[test]
    #[should_panic(expected = "the canvas is an image, not an array")]
    fn an_image_never_becomes_an_empty_array() {
        let image = DynamicImage::new_rgb8(2, 2);
        let pixels = Pixels::of(&image, 3).expect("a known type");
        Canvas::like(&pixels, 3).into_values();
    }
}
