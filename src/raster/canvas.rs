//! An image or array that receives a network's output piece by piece.

use image::{DynamicImage, ImageBuffer};

use super::levels;
use super::source::Pixels;

#[derive(Debug)]
enum Buffer {
    Byte(Vec<u8>),
    Word(Vec<u16>),
    /// The network's own values.
    Network(Vec<f32>),
}

/// An image or an array that is written piece by piece.
#[derive(Debug)]
pub(crate) struct Canvas {
    buffer: Buffer,
    /// Height and width.
    size: [usize; 2],
    /// Distances in memory between channels, and between pixels.
    strides: [usize; 2],
}

impl Canvas {
    /// Creates an image with the size, bit depth and alpha of `input`, for 1, 3 or 4 output channels.
    pub(crate) fn like(input: &Pixels, channels: usize) -> Self {
        let alpha = input.alpha().filter(|_| channels != 4);
        let stored = channels + usize::from(alpha.is_some());
        let count = stored * input.size[0] * input.size[1];
        let buffer =
            if input.is_deep() { Buffer::Word(vec![0; count]) } else { Buffer::Byte(vec![0; count]) };
        let mut canvas = Self { buffer, size: input.size, strides: [1, stored] };
        if let Some(alpha) = alpha {
            for y in 0..input.size[0] as isize {
                let row = [1, input.size[1]];
                canvas.paint_channels(channels, &alpha.window([y, 0], row), row, [y, 0]);
            }
        }
        canvas
    }

    /// Creates an array `[channels, height, width]`.
    pub(crate) fn array([channels, height, width]: [usize; 3]) -> Self {
        let buffer = Buffer::Network(vec![0.0; channels * height * width]);
        Self { buffer, size: [height, width], strides: [height * width, 1] }
    }

    /// Returns height and width.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Writes a piece, `[channels, height, width]`, at `start`, and ignores its part outside the canvas.
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
                let offset = ((top + y) * self.size[1] + left) * self.strides[1];
                let offset = (first + channel) * self.strides[0] + offset;
                match &mut self.buffer {
                    Buffer::Byte(samples) => {
                        let row = samples[offset..].iter_mut().step_by(self.strides[1]);
                        row.zip(values).for_each(|(sample, value)| *sample = levels::to_u8(*value));
                    }
                    Buffer::Word(samples) => {
                        let row = samples[offset..].iter_mut().step_by(self.strides[1]);
                        row.zip(values).for_each(|(sample, value)| *sample = levels::to_u16(*value));
                    }
                    Buffer::Network(samples) => samples[offset..][..values.len()].copy_from_slice(values),
                }
            }
        }
    }

    /// Returns the array.
    ///
    /// # Panics
    /// If this is an image.
    pub(crate) fn into_values(self) -> Vec<f32> {
        match self.buffer {
            Buffer::Network(values) => values,
            Buffer::Byte(_) | Buffer::Word(_) => panic!("the canvas is an image, not an array"),
        }
    }

    /// Returns the image.
    ///
    /// # Panics
    /// If this is an array.
    pub(crate) fn into_image(self) -> DynamicImage {
        let [height, width] = self.size.map(|size| size as u32);
        let image = match (self.buffer, self.strides[1]) {
            (Buffer::Byte(samples), 1) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
            }
            (Buffer::Byte(samples), 2) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8)
            }
            (Buffer::Byte(samples), 3) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
            }
            (Buffer::Byte(samples), _) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8)
            }
            (Buffer::Word(samples), 1) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma16)
            }
            (Buffer::Word(samples), 2) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA16)
            }
            (Buffer::Word(samples), 3) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgb16)
            }
            (Buffer::Word(samples), _) => {
                ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba16)
            }
            (Buffer::Network(_), _) => panic!("the canvas is an array, not an image"),
        };
        image.expect("a sample for every channel of every pixel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the canvas is an array, not an image")]
    fn an_array_never_becomes_an_empty_image() {
        Canvas::array([3, 2, 2]).into_image();
    }

    #[test]
    #[should_panic(expected = "the canvas is an image, not an array")]
    fn an_image_never_becomes_an_empty_array() {
        let image = DynamicImage::new_rgb8(2, 2);
        let pixels = Pixels::of(&image, 3).expect("a known pixel type");
        Canvas::like(&pixels, 3).into_values();
    }
}
