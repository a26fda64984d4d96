//! Pictures through a trained generator: [`Translator`].

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::TensorData;
use image::DynamicImage;

use crate::config::Pix2PixConfig;
use crate::data::{PICTURE_CHANNELS, Planes, open};
use crate::weights::{self, GENERATOR_FILE};
use crate::{Device, Error, Generator, Mode, Result, Tensor};

/// Translates pictures of any size: pads them by reflection to what the network needs, and cuts the output back.
///
/// The default mode is the paper's with the noise of seed 0, so the same picture gives the same output again.
#[derive(Debug)]
pub struct Translator {
    generator: Generator,
    config: Pix2PixConfig,
    mode: Mode,
    tiles: Option<Tiles>,
    device: Device,
}

#[derive(Clone, Copy, Debug)]
struct Tiles {
    size: usize,
    overlap: usize,
}

impl Translator {
    /// Loads a generator from a run folder or a weights file; the file says how the network is built.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read
    /// - [`Error::Checkpoint`] if it is damaged, or carries no configuration
    /// - [`Error::Weights`] if its parameters do not fit the configuration
    /// - [`Error::Config`] if the network's channels are not those of a picture
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        let file = if path.is_dir() { path.join(GENERATOR_FILE) } else { PathBuf::from(path) };
        let (named, config) = weights::load(&file)?;
        let config = config.ok_or_else(|| Error::corrupt(&file, "it carries no pix2pix configuration"))?;
        let config = Pix2PixConfig::from_json(&config).map_err(|problem| Error::corrupt(&file, problem))?;
        config.generator.validate()?;
        let device = device.clone().without_autodiff();
        let generator = weights::apply(config.generator.init(&device), named, &file, str::to_owned)?;
        Self::new(generator, &config, &device)
    }

    /// A translator over a generator in memory, which `config` describes.
    ///
    /// # Errors
    /// [`Error::Config`] if the network's channels are not those of a picture: 1, 3 or 4.
    pub fn new(generator: Generator, config: &Pix2PixConfig, device: &Device) -> Result<Self> {
        let channels = [config.generator.input_channels, config.generator.output_channels];
        for (field, value) in
            ["generator.input_channels", "generator.output_channels"].into_iter().zip(channels)
        {
            if !PICTURE_CHANNELS.contains(&value) {
                let problem =
                    format!("{value} is not 1, 3 or 4, the channels of a picture; use the generator itself");
                return Err(Error::config(field, problem));
            }
        }
        Ok(Self {
            // A trainer's generator shares its running statistics with all clones; `valid` copies them.
            generator: generator.valid(),
            config: config.clone(),
            mode: Mode::PAPER.with_noise(0),
            tiles: None,
            device: device.clone().without_autodiff(),
        })
    }

    /// Writes the generator and its configuration as a weights file, which [`load`](Self::load) reads.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        weights::save(&self.generator, &self.config.to_json(), path.as_ref())
    }

    /// The generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The configuration of the run that made the generator.
    pub fn config(&self) -> &Pix2PixConfig {
        &self.config
    }

    /// Sets how normalisation and dropout behave.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Works on overlapping squares of `size` pixels and blends them, which bounds the memory for large pictures.
    ///
    /// Each square is normalised alone unless the mode uses running statistics, so squares of very different content
    /// can differ in tone.
    ///
    /// # Errors
    /// [`Error::Config`] if `size` is not divisible by the network's multiple, or not above twice the overlap.
    pub fn with_tiles(mut self, size: usize, overlap: usize) -> Result<Self> {
        let multiple = self.generator.multiple();
        if size < self.config.generator.smallest() || !size.is_multiple_of(multiple) {
            return Err(Error::config("tile", format!("{size} is not a multiple of {multiple}")));
        }
        if size <= 2 * overlap {
            return Err(Error::config("overlap", format!("{overlap} is not below half the tile of {size}")));
        }
        self.tiles = Some(Tiles { size, overlap });
        Ok(self)
    }

    /// Translates a picture; the output has its size.
    ///
    /// # Errors
    /// [`Error::Image`] if the picture has no pixels.
    pub fn translate(&self, picture: &DynamicImage) -> Result<DynamicImage> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if width == 0 || height == 0 {
            return Err(Error::image(Path::new("picture"), "it has no pixels"));
        }
        let input = Planes::from_picture(picture.clone(), self.config.generator.input_channels);
        let output = match self.tiles {
            Some(tiles) if width > tiles.size || height > tiles.size => self.tiled(&input, tiles),
            _ => self.whole(&input),
        };
        Ok(output.to_picture())
    }

    /// Translates the picture in a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Image`] if it is no picture.
    pub fn translate_file(&self, path: impl AsRef<Path>) -> Result<DynamicImage> {
        self.translate(&open(path.as_ref())?)
    }

    /// The whole picture at once.
    fn whole(&self, input: &Planes) -> Planes {
        let [_, height, width] = input.shape;
        let multiple = self.generator.multiple();
        let [padded_height, padded_width] =
            [height, width].map(|size| size.next_multiple_of(multiple).max(self.config.generator.smallest()));
        let [top, left] = [padded_height - height, padded_width - width].map(|margin| margin / 2);
        let padded = input.window([-(top as isize), -(left as isize)], [padded_height, padded_width]);
        let output = self.run(padded);
        output.window([top as isize, left as isize], [height, width])
    }

    /// Overlapping squares, each pixel a mean weighted by its distance from the squares' borders.
    fn tiled(&self, input: &Planes, tiles: Tiles) -> Planes {
        let [_, height, width] = input.shape;
        let shape = [self.config.generator.output_channels, height, width];
        let mut sums = vec![0.0; shape.iter().product()];
        let mut weights = vec![0.0; height * width];
        let ramp = |i: usize| (i.min(tiles.size - 1 - i) + 1).min(tiles.overlap + 1) as f32;
        for top in tiles.starts(height) {
            for left in tiles.starts(width) {
                let output = self.run(input.window([top as isize, left as isize], [tiles.size; 2]));
                for y in 0..tiles.size.min(height - top) {
                    for x in 0..tiles.size.min(width - left) {
                        let weight = ramp(y) * ramp(x);
                        let place = (top + y) * width + left + x;
                        weights[place] += weight;
                        for channel in 0..shape[0] {
                            sums[channel * height * width + place] +=
                                weight * output.values[(channel * tiles.size + y) * tiles.size + x];
                        }
                    }
                }
            }
        }
        for plane in sums.chunks_exact_mut(height * width) {
            plane.iter_mut().zip(&weights).for_each(|(sum, weight)| *sum /= weight);
        }
        Planes { shape, values: sums }
    }

    fn run(&self, input: Planes) -> Planes {
        let [channels, height, width] = input.shape;
        let data = TensorData::new(input.values, [1, channels, height, width]);
        let output = self.generator.forward_with(Tensor::from_data(data, &self.device), self.mode);
        let values = output.into_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default();
        Planes { shape: [self.config.generator.output_channels, height, width], values }
    }
}

impl Tiles {
    /// Where squares begin along a side: evenly, the last one ending with the picture.
    fn starts(self, length: usize) -> Vec<usize> {
        let room = length.saturating_sub(self.size);
        let count = room.div_ceil(self.size - self.overlap);
        (0..=count).map(|i| (room * i).checked_div(count).unwrap_or(0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_picture_with_their_overlap() {
        let tiles = Tiles { size: 64, overlap: 16 };
        for length in [1, 64, 65, 100, 112, 113, 1000] {
            let starts = tiles.starts(length);
            assert_eq!(starts[0], 0);
            assert!(starts.last().unwrap() + 64 >= length);
            assert!(starts.windows(2).all(|two| two[0] < two[1] && two[0] + 64 >= two[1] + 16), "{starts:?}");
        }
    }
}
