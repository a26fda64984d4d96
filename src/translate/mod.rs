//! Pictures through a trained generator: [`Translator`].

mod canvas;
mod tiles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::TensorData;
use image::DynamicImage;

use crate::config::Pix2PixConfig;
use crate::data::{DataConfig, NOT_A_NUMBER, PICTURE_CHANNELS, Pixels, open};
use crate::generator::tiled::TiledGenerator;
use crate::layers::Kept;
use crate::pytorch;
use crate::weights::{self, GENERATOR_FILE};
use crate::{Backbone, Device, Dropout, Error, Generator, Mode, Result, Statistics, Tensor, device};
use canvas::Canvas;
use tiles::Tiled;

/// Pixels of a tile's side unless the caller says otherwise.
const TILE: usize = 1024;

/// Translates pictures of any size: pads them by reflection to what the network needs, and cuts the output back.
///
/// The default mode is the paper's with the noise of seed 0, so the same picture gives the same output again. Pictures
/// of more than 1024×1024 pixels go through in tiles; see [`with_tiles`](Self::with_tiles). A clone shares the weights.
#[derive(Clone, Debug)]
pub struct Translator {
    generator: Generator,
    config: Pix2PixConfig,
    mode: Mode,
    tile: usize,
    device: Device,
}

impl Translator {
    /// Loads a generator from a run folder, a weights file, or a file of the PyTorch original; the file says how the
    /// network is built.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read
    /// - [`Error::Checkpoint`] if it is damaged, or no generator that is known
    /// - [`Error::Weights`] if its parameters do not fit the configuration
    /// - [`Error::Config`] if the configuration in it is out of range
    /// - [`Error::Device`] if the device computes wrongly
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        device::check(device)?;
        let path = path.as_ref();
        let file = if path.is_dir() { path.join(GENERATOR_FILE) } else { PathBuf::from(path) };
        let device = device.clone().without_autodiff();
        let Some(config) = weights::config(&file)? else { return Self::imported(&file, &device) };
        let config = Pix2PixConfig::from_json(&config).map_err(|problem| Error::corrupt(&file, problem))?;
        config.generator.validate()?;
        config.data.validate()?;
        let network = config.generator.init(&device);
        let generator = weights::apply(network, weights::load(&file)?, &file, str::to_owned)?;
        Ok(Self::of_run(generator, config, &device))
    }

    /// A generator of the PyTorch original, with its defaults for what the file does not tell.
    fn imported(file: &Path, device: &Device) -> Result<Self> {
        let generator = pytorch::Import::open(file)?.generator(device)?;
        let config = run_of(&generator, Pix2PixConfig::pytorch());
        Ok(Self::of_run(generator, config, device))
    }

    /// Creates a translator over a generator in memory.
    ///
    /// # Errors
    /// [`Error::Device`] if the device computes wrongly.
    pub fn new(generator: Generator, device: &Device) -> Result<Self> {
        device::check(device)?;
        let config = run_of(&generator, Pix2PixConfig::paper());
        Ok(Self::of_run(generator, config, device))
    }

    /// Creates a translator over the generator of the run that `config` describes.
    fn of_run(generator: Generator, config: Pix2PixConfig, device: &Device) -> Self {
        Self {
            // A trainer's generator shares its running statistics with all clones; `detached` copies them.
            generator: generator.detached().for_inference(),
            config,
            mode: Mode::PAPER.with_noise(0),
            tile: TILE,
            device: device.clone().without_autodiff(),
        }
    }

    /// Sets how the run that made the generator read its pairs, which [`save`](Self::save) writes into the weights file.
    ///
    /// # Errors
    /// [`Error::Config`] if a field is out of range, or its channels are not those of the generator.
    pub fn with_data(mut self, data: DataConfig) -> Result<Self> {
        data.validate()?;
        let generator = self.generator.config();
        for (field, value, expected) in [
            ("data.input_channels", data.input_channels, generator.input_channels),
            ("data.target_channels", data.target_channels, generator.output_channels),
        ] {
            if value != expected {
                return Err(Error::config(field, format!("{value}, but the generator has {expected}")));
            }
        }
        self.config.data = data;
        Ok(self)
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

    /// Sets the pixels of a tile's side: what a whole picture of `size`×`size` pixels needs bounds the memory, but for
    /// a few bytes a pixel. Larger pictures go through in tiles.
    ///
    /// Tiles agree: statistics of the picture are gathered over all of them, noise is cut from that of the whole
    /// picture, and the deep layers, which see all of it, work on small maps of it. The output is that of the whole
    /// picture but for rounding. It costs up to five times the computation per pixel, in the mode
    /// [`RUNNING`](Mode::RUNNING) up to 1.5 times.
    ///
    /// # Errors
    /// [`Error::Config`] if `size` is 0.
    pub fn with_tiles(mut self, size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::config("tile", "is 0; use the pixels of a side, for instance 1024"));
        }
        self.tile = size;
        Ok(self)
    }

    /// Translates a picture; the output has its size, its 8 or 16 bits, and its alpha.
    ///
    /// A picture of other channels than the network's input is made grey or colour; without alpha it is opaque.
    ///
    /// # Errors
    /// - [`Error::Image`] if the picture has no pixels, or one that is not a number (NaN)
    /// - [`Error::Config`] if the network's channels are not those of a picture: 1, 3 or 4
    pub fn translate(&self, picture: &DynamicImage) -> Result<DynamicImage> {
        let converted;
        let channels = self.picture_channels()?;
        let input = match Pixels::of(picture, channels[0]) {
            Some(input) => input,
            None => {
                converted = DynamicImage::from(picture.to_rgba16());
                Pixels::of(&converted, channels[0]).ok_or_else(|| unusable("of an unknown type"))?
            }
        };
        usable(&input)?;
        let mut canvas = Canvas::like(&input, channels[1]);
        self.paint(&input, &mut canvas);
        Ok(canvas.into_picture())
    }

    /// Translates the picture in a file, turned upright as its camera recorded; of an animation, the first picture.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Image`] if it is no picture, else as
    /// [`translate`](Self::translate).
    pub fn translate_file(&self, path: impl AsRef<Path>) -> Result<DynamicImage> {
        let path = path.as_ref();
        self.translate(&open(path)?).map_err(|error| match error {
            Error::Image { source, .. } => Error::image(path, source),
            other => other,
        })
    }

    /// Translates pictures, those of one size at once; each output is what [`translate`](Self::translate) gives.
    ///
    /// With noise or above the tile size they go through one by one.
    ///
    /// # Errors
    /// As [`translate`](Self::translate), for the first picture that fails.
    pub fn translate_batch(&self, pictures: &[DynamicImage]) -> Result<Vec<DynamicImage>> {
        let mut outputs: Vec<Option<DynamicImage>> = vec![None; pictures.len()];
        let channels = self.picture_channels()?;
        let mut groups: BTreeMap<[usize; 2], Vec<(usize, Pixels)>> = BTreeMap::new();
        for (index, picture) in pictures.iter().enumerate() {
            match Pixels::of(picture, channels[0]) {
                Some(input) if self.fits_with_others(&input) => {
                    groups.entry(self.padded(input.size)).or_default().push((index, input));
                }
                _ => outputs[index] = Some(self.translate(picture)?),
            }
        }
        for (size, group) in groups {
            let together = (self.tile.saturating_mul(self.tile) / (size[0] * size[1])).max(1);
            for group in group.chunks(together) {
                let inputs: Vec<&Pixels> = group.iter().map(|(_, input)| input).collect();
                let mut canvases: Vec<Canvas> =
                    inputs.iter().map(|input| Canvas::like(input, channels[1])).collect();
                self.whole(&inputs, &mut canvases);
                for ((index, _), canvas) in group.iter().zip(canvases) {
                    outputs[*index] = Some(canvas.into_picture());
                }
            }
        }
        Ok(outputs.into_iter().flatten().collect())
    }

    /// Translates an array `[channels, height, width]` of any number of channels, row by row and in `[-1, 1]`; the
    /// output has the network's channels and the same height and width.
    ///
    /// # Errors
    /// - [`Error::Config`] if `shape` is not that of `values`, or its channels not those of the network
    /// - [`Error::Image`] if there are no pixels, or if a value is NaN or infinite
    pub fn translate_array(&self, values: &[f32], shape: [usize; 3]) -> Result<Vec<f32>> {
        let [channels, height, width] = shape;
        let expected = self.generator.config().input_channels;
        if channels != expected {
            let problem = format!("{shape:?} has {channels} channels, but the network takes {expected}");
            return Err(Error::config("shape", problem));
        }
        if shape.iter().try_fold(1, |product: usize, size| product.checked_mul(*size)) != Some(values.len()) {
            return Err(Error::config("shape", format!("{shape:?} is not that of {} values", values.len())));
        }
        let input = Pixels::array(values, shape);
        usable(&input)?;
        let mut canvas = Canvas::array([self.generator.config().output_channels, height, width]);
        self.paint(&input, &mut canvas);
        Ok(canvas.into_values())
    }

    /// The network's channels, if they are those of pictures.
    fn picture_channels(&self) -> Result<[usize; 2]> {
        let channels = [self.generator.config().input_channels, self.generator.config().output_channels];
        let fields = ["generator.input_channels", "generator.output_channels"];
        for (field, value) in fields.into_iter().zip(channels) {
            if !PICTURE_CHANNELS.contains(&value) {
                let problem =
                    format!("{value} is not 1, 3 or 4, the channels of a picture; use `translate_array`");
                return Err(Error::config(field, problem));
            }
        }
        Ok(channels)
    }

    fn paint(&self, input: &Pixels, canvas: &mut Canvas) {
        let size = self.padded(input.size);
        if self.is_small(size) {
            return self.whole(&[input], std::slice::from_mut(canvas));
        }
        let split = self.generator.config().tiled_levels(size[0] * size[1], self.tile);
        let cut = TiledGenerator::new(self.generator.clone(), split, self.mode);
        let start = start(input.size, size);
        let tiled = Tiled { input, start, size, tile: self.tile, device: &self.device };
        Kept::default().among_workers(&self.device, || tiled.translate(cut, canvas));
    }

    /// Whole pictures of one padded size at once, each with its own statistics.
    fn whole(&self, inputs: &[&Pixels], canvases: &mut [Canvas]) {
        let size = self.padded(inputs[0].size);
        let pieces = inputs.iter().map(|input| tensor(input, start(input.size, size), size, &self.device));
        let mode = match self.mode.statistics {
            Statistics::Batch => Mode { statistics: Statistics::Image, ..self.mode },
            _ => self.mode,
        };
        let output = self.generator.forward(Tensor::cat(pieces.collect(), 0), mode);
        let output = values(output);
        let outputs = output.chunks_exact(output.len() / inputs.len());
        for ((input, canvas), output) in inputs.iter().zip(canvases).zip(outputs) {
            canvas.paint(output, size, start(input.size, size));
        }
    }

    /// Whether a picture may go through together with others and come out the same.
    fn fits_with_others(&self, input: &Pixels) -> bool {
        self.mode.dropout == Dropout::Off && usable(input).is_ok() && self.is_small(self.padded(input.size))
    }

    fn is_small(&self, [height, width]: [usize; 2]) -> bool {
        height.saturating_mul(width) <= self.tile.saturating_mul(self.tile)
    }

    /// The next size that the network takes.
    fn padded(&self, size: [usize; 2]) -> [usize; 2] {
        let config = self.generator.config();
        size.map(|size| size.next_multiple_of(config.size_multiple()).max(config.min_size()))
    }
}

/// A run that may have made `generator`: the preset, with its channels and the size of its bottleneck's pixel.
fn run_of(generator: &Generator, preset: Pix2PixConfig) -> Pix2PixConfig {
    let generator = generator.config();
    let mut config = preset;
    if let Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } = generator.backbone {
        config = config.with_size(1 << depth);
    }
    let mut config = config.with_channels(generator.input_channels, generator.output_channels);
    config.generator = generator.clone();
    config
}

/// Where the padded picture begins, with equal margins around the picture.
fn start(size: [usize; 2], padded: [usize; 2]) -> [isize; 2] {
    [0, 1].map(|axis| -(((padded[axis] - size[axis]) / 2) as isize))
}

/// A part of a picture, `[1, C, H, W]`.
fn tensor(input: &Pixels, start: [isize; 2], size: [usize; 2], device: &Device) -> Tensor<4> {
    let values = input.window(start, size);
    let channels = values.len() / (size[0] * size[1]);
    Tensor::from_data(TensorData::new(values, [1, channels, size[0], size[1]]), device)
}

/// The values of a tensor, row by row.
fn values<const D: usize>(map: Tensor<D>) -> Vec<f32> {
    map.into_data().convert::<f32>().try_into_vec::<f32>().unwrap_or_default()
}

fn usable(input: &Pixels) -> Result<()> {
    match () {
        () if input.size.contains(&0) => Err(unusable("it has no pixels")),
        () if input.has_unusable_numbers() => Err(unusable(NOT_A_NUMBER)),
        () => Ok(()),
    }
}

fn unusable(problem: &str) -> Error {
    Error::image(Path::new("picture"), problem)
}
