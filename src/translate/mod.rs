//! Translates images with a trained generator: [`Translator`].

mod arrays;
mod sampler;
mod tiles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use image::DynamicImage;

use crate::config::{Pix2PixConfig, System};
use crate::data::{DataConfig, padded_size, write_image};
use crate::device;
use crate::error::{Error, Result};
use crate::files;
use crate::generator::tiled::TiledGenerator;
use crate::generator::{Backbone, Generator};
use crate::layers::{DropoutMode, Mode, in_thread_pool};
use crate::memory;
use crate::pytorch;
use crate::raster::{
    Canvas, IMAGE_CHANNELS, ImageHeader, ImageLimits, NOT_A_NUMBER, Pixels, PlanarImage, Region, load_image,
};
use crate::run::Checkpoint;
use crate::transfer::read_back;
use crate::weights::{self, BEST_FILE, GENERATOR_FILE, Precision};
pub use sampler::Sampler;
use tiles::{Tiled, tensor};

/// The default side of a tile in pixels.
const DEFAULT_TILE: usize = 1024;

/// Translates images of any size: pads them by reflection to a size that the network takes, and crops the output.
///
/// The default mode is the paper's with the noise of seed 0, so equal inputs give equal outputs. Images of more than
/// 1024×1024 pixels are translated in tiles; see [`with_tiles`](Self::with_tiles). A clone shares the weights.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Translator, device};
///
/// let translator = Translator::load("runs/facades", &device::best())?;
/// translator.translate_to("labels.png", "facade.png")?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Translator {
    generator: Generator,
    config: Pix2PixConfig,
    mode: Mode,
    tile: usize,
    resizes: bool,
    limits: ImageLimits,
    device: Device,
}

impl Translator {
    /// Loads a generator from a run folder, a weights file, or a file of the PyTorch original. The architecture comes
    /// from the file.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read
    /// - [`Error::Checkpoint`] if it is damaged, or not a known kind of generator
    /// - [`Error::Weights`] if its parameters do not fit the configuration
    /// - [`Error::Config`] if the configuration in it is out of range
    /// - [`Error::Device`] if the device computes wrongly
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        device::check(device)?;
        let path = path.as_ref();
        let file = if files::is_folder(path)? { path.join(GENERATOR_FILE) } else { PathBuf::from(path) };
        let device = device.clone().without_autodiff();
        let Some(config) = weights::config(&file)? else {
            return Self::from_import(pytorch::Import::open(&file)?, &device);
        };
        let config = Pix2PixConfig::from_json(&config).map_err(|problem| Error::corrupt(&file, problem))?;
        config.generator.validate()?;
        config.data.validate()?;
        let needed = size_of::<f32>() as u128 * config.generator.footprint([0; 2]).weights;
        memory::require(
            &format!("the generator of {}", file.display()),
            needed,
            "use a smaller one",
            &device,
        )?;
        let network = config.generator.init(&device);
        let generator = weights::load_into(network, &file)?;
        Ok(Self::of_run(generator, config, &device))
    }

    /// Loads the exported generator of a checkpoint of a run.
    ///
    /// # Errors
    /// As [`Checkpoint::generator`].
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Ok(Self::of_run(checkpoint.generator(device)?, checkpoint.config().clone(), device))
    }

    /// Loads a generator of the PyTorch original from an opened file. Settings that the file does not contain have the
    /// original's defaults.
    ///
    /// # Errors
    /// As [`Import::generator`](pytorch::Import::generator).
    ///
    /// # Examples
    /// ```no_run
    /// use pix2pix::{Translator, device, pytorch::Import};
    ///
    /// let import = Import::open("all_networks.pth")?.with_key("netG_A").with_dropout(0.0);
    /// let translator = Translator::from_import(import, &device::best())?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn from_import(import: pytorch::Import, device: &Device) -> Result<Self> {
        let device = device.clone().without_autodiff();
        let generator = import.generator(&device)?;
        let config = config_for(&generator, Pix2PixConfig::pytorch());
        Ok(Self::of_run(generator, config, &device))
    }

    /// Creates a translator from a generator in memory.
    ///
    /// # Errors
    /// [`Error::Device`] if the device computes wrongly.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{Backbone, GeneratorConfig, Translator, device};
    ///
    /// let mut config = GeneratorConfig::new(3, 3);
    /// (config.backbone, config.base_channels) = (Backbone::Unet { depth: 2 }, 2);
    /// let translator = Translator::new(config.try_init(&device::cpu())?, &device::cpu())?;
    /// let output = translator.translate(&pix2pix::image::DynamicImage::new_rgb8(30, 20))?;
    /// assert_eq!((output.width(), output.height()), (30, 20));
    /// # }
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn new(generator: Generator, device: &Device) -> Result<Self> {
        device::check(device)?;
        let config = config_for(&generator, Pix2PixConfig::paper());
        Ok(Self::of_run(generator, config, device))
    }

    /// Creates a translator from the generator of the run that `config` describes.
    fn of_run(generator: Generator, config: Pix2PixConfig, device: &Device) -> Self {
        Self {
            // A trainer's generator shares its running statistics with all clones; `detached` copies them.
            generator: generator.detached().for_inference(),
            config,
            mode: Mode::PAPER.with_noise(0),
            tile: DEFAULT_TILE,
            resizes: false,
            limits: ImageLimits::default(),
            device: device.clone().without_autodiff(),
        }
    }

    /// Sets the data configuration of the run that trained the generator. [`save`](Self::save) writes it into the file.
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

    /// Loads the generator of a run folder that had the best metric on the validation pairs.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`Error::Io`] if the run has no best generator.
    pub fn load_best(run: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::load(run.as_ref().join(BEST_FILE), device)
    }

    /// Writes the generator and its configuration as a weights file (safetensors), which [`load`](Self::load) reads.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; [`Error::Device`] if the device fails to return the weights;
    /// [`Error::Argument`] for the extensions `.pth`, `.pt` and `.ckpt`: such a file has no place for the configuration,
    /// and [`pytorch::save_generator`] writes it without.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_as(Precision::F32, path)
    }

    /// Writes a weights file as [`save`](Self::save), with weights of this precision: 16 bits halve the file.
    ///
    /// # Errors
    /// As [`save`](Self::save), and [`Error::Argument`] if the precision cannot hold a weight.
    pub fn save_as(&self, precision: Precision, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if ["pth", "pt", "ckpt"].iter().any(|other| extension.eq_ignore_ascii_case(other)) {
            let problem = format!(
                "{}: a weights file with its configuration is a .safetensors file; rename it, or write the weights \
                 alone with `pix2pix export`",
                path.display()
            );
            return Err(Error::argument("path", problem));
        }
        weights::save_as(&self.generator, precision, self.config.to_object(), path)
    }

    /// Returns the generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// Returns the configuration of the run that trained the generator.
    pub fn config(&self) -> &Pix2PixConfig {
        &self.config
    }

    /// Sets how normalisation and dropout behave.
    ///
    /// Each image counts as a batch: with [`Statistics::Batch`](crate::Statistics::Batch), it is normalised by its own statistics.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the side of a tile in pixels (default 1024). Larger images are translated in tiles. Peak memory is about
    /// that of one `size`×`size` image, plus a few bytes per pixel of the whole.
    ///
    /// The output equals that of the whole image up to rounding: statistics are gathered over all tiles, a tile's noise
    /// is cut from that of the whole image, and the deep layers run once, on small maps of the whole image. Tiles cost
    /// up to 5 times the computation per pixel, in the mode [`RUNNING`](Mode::RUNNING) up to 1.5 times.
    ///
    /// # Errors
    /// [`Error::Argument`] if `size` is 0.
    pub fn with_tiles(mut self, size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::argument("tile", "is 0; use the pixels of a side, for instance 1024"));
        }
        self.tile = size;
        Ok(self)
    }

    /// Sets whether images are resized to the scale at which the generator was trained, translated, and resized back
    /// (default: no).
    ///
    /// A generator that was trained on shrunk images needs this for images of the original size. The PyTorch original
    /// always resizes. [`DataConfig::training_size`] returns the size, and [`DataConfig::is_at_training_scale`] whether
    /// an image needs it. Arrays are never resized.
    #[must_use]
    pub fn with_resizing(mut self, resizes: bool) -> Self {
        self.resizes = resizes;
        self
    }

    /// Sets the limits on the image files that are read.
    #[must_use]
    pub fn with_limits(mut self, limits: ImageLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Translates an image. The output has the image's size, its 8 or 16 bits, and its alpha.
    ///
    /// The image is converted to the network's input channels: grey, colour, or colour with alpha, which is opaque if
    /// the image has none. If the network takes label maps ([`DataConfig::labels`]), the image is a label map: its
    /// pixels are classified, and each class becomes a channel; the output has 8 bits and no alpha.
    ///
    /// # Errors
    /// - [`Error::Image`] if the image has no pixels, a pixel is NaN, or a pixel is not of a class of the label map
    /// - [`Error::Config`] if the network has a number of channels that an image cannot have, that is, not 1, 3 or 4
    /// - [`Error::Device`] if the device fails, for instance because the GPU was lost or is out of memory
    pub fn translate(&self, image: &DynamicImage) -> Result<DynamicImage> {
        let converted;
        let channels = self.image_channels()?;
        if let Some(labels) = &self.config.data.labels {
            let map = labels.class_map(image)?;
            let input = map.pixels();
            usable(&input)?;
            let mut canvas = Canvas::like(&input, channels[1]);
            match self.resized_to(&input) {
                Some(size) => self.paint_resized(&map.coverage(size), &mut canvas)?,
                None => self.paint(&input, &mut canvas)?,
            }
            return Ok(canvas.into_image());
        }
        let input = match Pixels::of(image, channels[0]) {
            Some(input) => input,
            None => {
                converted = DynamicImage::from(image.to_rgba16());
                Pixels::of(&converted, channels[0])
                    .ok_or_else(|| unusable("its pixel type is not supported; convert it to 8 or 16 bits"))?
            }
        };
        usable(&input)?;
        let mut canvas = Canvas::like(&input, channels[1]);
        match self.resized_to(&input) {
            Some(size) => {
                let [filter, _] = self.config.data.resize_filters();
                let small = PlanarImage::resized_part(image, channels[0], Region::of(image), size, filter);
                self.paint_resized(&small.map_err(Error::in_memory_image)?, &mut canvas)?;
            }
            None => self.paint(&input, &mut canvas)?,
        }
        Ok(canvas.into_image())
    }

    /// Reads an image file as [`read_image`](crate::data::read_image) does, or a label map as
    /// [`Labels::read_image`](crate::data::Labels::read_image) does, and translates the image.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Image`] if it is not an image; otherwise as
    /// [`translate`](Self::translate).
    pub fn translate_file(&self, path: impl AsRef<Path>) -> Result<DynamicImage> {
        let path = path.as_ref();
        // The output has at most 16 bits, colour and alpha.
        let working = |header: &ImageHeader| header.pixels() * 8;
        let loaded = match &self.config.data.labels {
            Some(labels) => labels.load_image(path, &self.limits, working)?,
            None => load_image(path, &self.limits, working)?,
        };
        self.translate(&loaded.image).map_err(|error| match error {
            Error::Image { source, .. } => Error::image(path, source),
            other => other,
        })
    }

    /// Translates an image file, and writes the output as [`write_image`](crate::data::write_image) does. A network that
    /// was [trained on arrays](Self::takes_arrays) reads and writes arrays, as
    /// [`write_arrays`](crate::data::write_arrays) does.
    ///
    /// # Errors
    /// As [`translate_file`](Self::translate_file) for `input`, and as [`write_image`](crate::data::write_image) for
    /// `output`.
    pub fn translate_to(&self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<()> {
        if self.takes_arrays() {
            return self.translate_pages(input.as_ref(), output.as_ref());
        }
        write_image(&self.translate_file(input)?, output)
    }

    /// Translates images, those of one size together. Each output equals that of [`translate`](Self::translate).
    ///
    /// With noise, above the tile size, and for networks that take label maps, images are translated one by one.
    ///
    /// # Errors
    /// As [`translate`](Self::translate), for the first image that fails.
    pub fn translate_batch(&self, images: &[DynamicImage]) -> Result<Vec<DynamicImage>> {
        let mut outputs: Vec<Option<DynamicImage>> = vec![None; images.len()];
        let channels = self.image_channels()?;
        let mut groups: BTreeMap<[usize; 2], Vec<(usize, Pixels)>> = BTreeMap::new();
        for (index, image) in images.iter().enumerate() {
            let input = self.config.data.labels.is_none().then(|| Pixels::of(image, channels[0])).flatten();
            match input {
                Some(input) if self.fits_with_others(&input) => {
                    groups.entry(self.padded(input.size)).or_default().push((index, input));
                }
                _ => outputs[index] = Some(self.translate(image)?),
            }
        }
        for (size, group) in groups {
            let count = (self.tile.saturating_mul(self.tile) / (size[0] * size[1])).max(1);
            for group in group.chunks(count) {
                let inputs: Vec<&Pixels> = group.iter().map(|(_, input)| input).collect();
                let mut canvases: Vec<Canvas> =
                    inputs.iter().map(|input| Canvas::like(input, channels[1])).collect();
                self.whole(&inputs, &mut canvases)?;
                for ((index, _), canvas) in group.iter().zip(canvases) {
                    outputs[*index] = Some(canvas.into_image());
                }
            }
        }
        Ok(outputs.into_iter().map(|output| output.expect("every image has been translated")).collect())
    }

    /// Translates an array of any number of channels.
    ///
    /// # Shapes
    /// - `values`: `[C, H, W]`, given by `shape`, in `[-1, 1]`
    /// - returns `[C', H, W]` in `[-1, 1]`, where C' is the number of the network's output channels
    ///
    /// # Errors
    /// - [`Error::Argument`] if `shape` does not fit `values`, or its channels are not those of the network
    /// - [`Error::Image`] if there are no pixels, or if a value is NaN or infinite
    /// - [`Error::Device`] if the device fails
    pub fn translate_array(&self, values: &[f32], shape: [usize; 3]) -> Result<Vec<f32>> {
        self.check_input()?;
        let [channels, height, width] = shape;
        let expected = self.generator.config().input_channels;
        if channels != expected {
            let problem = format!("{shape:?} has {channels} channels, but the network takes {expected}");
            return Err(Error::argument("shape", problem));
        }
        if shape.iter().try_fold(1, |product: usize, size| product.checked_mul(*size)) != Some(values.len()) {
            return Err(Error::argument("shape", format!("{shape:?} does not fit {} values", values.len())));
        }
        let input = Pixels::array(values, shape);
        usable(&input)?;
        let mut canvas = Canvas::array([self.generator.config().output_channels, height, width]);
        self.paint(&input, &mut canvas)?;
        Ok(canvas.into_values())
    }

    /// Checks that the generator takes an input image.
    ///
    /// # Errors
    /// [`Error::Config`] if it makes images of noise.
    pub fn check_input(&self) -> Result<()> {
        let config = self.generator.config();
        match config.noise() {
            None => Ok(()),
            Some(_) => {
                let problem = format!(
                    "{} makes images of noise, and takes no image to translate; use `pix2pix sample` (`Sampler`)",
                    config.backbone
                );
                Err(Error::config("generator.backbone", problem))
            }
        }
    }

    /// Returns the network's input and output channels, if image files can hold them.
    fn image_channels(&self) -> Result<[usize; 2]> {
        self.check_input()?;
        if self.config.data.input_samples.is_some() || self.config.data.target_samples.is_some() {
            let problem = "the network was trained on arrays; use `translate_samples`";
            return Err(Error::config("data.input_samples", problem));
        }
        let channels = [self.generator.config().input_channels, self.generator.config().output_channels];
        let fields = ["generator.input_channels", "generator.output_channels"];
        for (field, value) in fields.into_iter().zip(channels) {
            let is_label_map = field == "generator.input_channels" && self.config.data.labels.is_some();
            if !is_label_map && !IMAGE_CHANNELS.contains(&value) {
                let problem =
                    format!("{value} is not 1, 3 or 4, the channels of an image; use `translate_array`");
                return Err(Error::config(field, problem));
            }
        }
        Ok(channels)
    }

    /// Translates one image, in tiles if it is large, and writes the output to `canvas`.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    fn paint(&self, input: &Pixels, canvas: &mut Canvas) -> Result<()> {
        let size = self.padded(input.size);
        if self.is_small(size) {
            return self.whole(&[input], std::slice::from_mut(canvas));
        }
        let split = self.generator.config().tiled_levels(size[0] * size[1], self.tile);
        let generator = TiledGenerator::new(self.generator.clone(), split, self.mode);
        let start = start(input.size, size);
        let tiled = Tiled { input, start, size, tile: self.tile, device: &self.device };
        in_thread_pool(&self.device, || tiled.translate(generator, canvas))
    }

    /// Returns the size to which an image is resized before translation, if that is not its own.
    fn resized_to(&self, input: &Pixels) -> Option<[usize; 2]> {
        let size = self.config.data.training_size(input.size.into()).into();
        (self.resizes && size != input.size).then_some(size)
    }

    /// Translates an image that was resized, and writes the output at the size of `canvas` to it.
    ///
    /// # Errors
    /// - [`Error::Image`] if the output cannot be resized
    /// - [`Error::Device`] if the device fails
    fn paint_resized(&self, image: &PlanarImage, canvas: &mut Canvas) -> Result<()> {
        let [_, height, width] = image.shape();
        let shape = [self.generator.config().output_channels, height, width];
        let mut output = Canvas::array(shape);
        self.paint(&Pixels::array(image.values(), image.shape()), &mut output)?;
        let own = canvas.size();
        let output = PlanarImage::new(output.into_values(), shape);
        let put = |part: &PlanarImage, left: usize| {
            let [_, height, width] = part.shape();
            canvas.paint(part.values(), [height, width], [0, left as isize]);
        };
        let [_, filter] = self.config.data.resize_filters();
        output.resized_in_columns(own, filter, put).map_err(Error::in_memory_image)
    }

    /// Refuses images of a padded size for which there is not enough memory.
    fn check_memory(&self, size: [usize; 2], count: usize) -> Result<()> {
        let needed =
            size_of::<f32>() as u128 * self.generator.config().footprint(size).largest * count as u128;
        let what = format!("translating {count} images of {}×{} pixels at once", size[1], size[0]);
        memory::require(&what, needed, "use a smaller `--tile`, or translate fewer at once", &self.device)
    }

    /// Translates whole images of one padded size together, each with its own statistics.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    fn whole(&self, inputs: &[&Pixels], canvases: &mut [Canvas]) -> Result<()> {
        let size = self.padded(inputs[0].size);
        self.check_memory(size, inputs.len())?;
        let pieces = inputs.iter().map(|input| tensor(input, start(input.size, size), size, &self.device));
        let output = self.generator.forward(Tensor::cat(pieces.collect(), 0), self.mode.per_image());
        let output = read_back(output)?;
        let outputs = output.chunks_exact(output.len() / inputs.len());
        for ((input, canvas), output) in inputs.iter().zip(canvases).zip(outputs) {
            canvas.paint(output, size, start(input.size, size));
        }
        Ok(())
    }

    /// Returns whether translating the image together with others leaves its output unchanged.
    fn fits_with_others(&self, input: &Pixels) -> bool {
        self.mode.dropout == DropoutMode::Off
            && usable(input).is_ok()
            && self.resized_to(input).is_none()
            && self.is_small(self.padded(input.size))
    }

    /// Returns whether an image of this padded size fits into one tile.
    fn is_small(&self, [height, width]: [usize; 2]) -> bool {
        height.saturating_mul(width) <= self.tile.saturating_mul(self.tile)
    }

    /// Rounds a size up to one that the network takes.
    fn padded(&self, size: [usize; 2]) -> [usize; 2] {
        let config = self.generator.config();
        padded_size(size, config.size_multiple(), config.min_size())
    }
}

/// Returns the preset with the channels of `generator` and the size at which its bottleneck is one pixel.
fn config_for(generator: &Generator, preset: Pix2PixConfig) -> Pix2PixConfig {
    let generator = generator.config();
    let mut config = preset;
    if let Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } = generator.backbone {
        config = config.with_size(1usize << depth).expect("every power of two is a valid size");
    }
    if let Backbone::Dcgan { depth, .. } = generator.backbone {
        config = config.with_system(System::Dcgan);
        config = config.with_size(1usize << depth).expect("every power of two from 8 is a valid size");
    }
    let mut config = config.with_channels(generator.input_channels, generator.output_channels);
    config.generator = generator.clone();
    config
}

/// Returns the top left corner of the padded image in coordinates of the image. The padding is equal on both sides.
fn start(size: [usize; 2], padded: [usize; 2]) -> [isize; 2] {
    [0, 1].map(|axis| -(((padded[axis] - size[axis]) / 2) as isize))
}

/// Rejects images without pixels, and values that are NaN or infinite.
fn usable(input: &Pixels) -> Result<()> {
    if input.size.contains(&0) {
        return Err(unusable("it has no pixels"));
    }
    if input.has_unusable_values() {
        return Err(unusable(NOT_A_NUMBER));
    }
    Ok(())
}

fn unusable(problem: &str) -> Error {
    Error::in_memory_image(problem)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::generator::GeneratorConfig;
    use crate::transfer::fault::{self, Fault};
    use crate::weights::{apply, collect};

    #[test]
    fn a_device_that_fails_at_any_read_gives_its_error() {
        let mut config = Pix2PixConfig::paper().with_size(16).unwrap().generator;
        config.base_channels = 2;
        let translator = Translator::new(config.init_seeded(1, &device::cpu()), &device::cpu()).unwrap();
        let without_dropout = translator.clone().with_mode(Mode::IMAGE);
        let image = DynamicImage::new_rgb8(48, 40);
        let values = vec![0.0; 3 * 48 * 40];
        let works: [&(dyn Fn() -> Result<()> + Sync); 4] = [
            &|| translator.translate(&image).map(drop),
            &|| translator.clone().with_tiles(32)?.translate(&image).map(drop),
            &|| without_dropout.translate_batch(&[image.clone(), image.clone()]).map(drop),
            &|| translator.translate_array(&values, [3, 40, 48]).map(drop),
        ];
        // On one thread, whose reads fail.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let attempt = |plan, work: &(dyn Fn() -> Result<()> + Sync)| {
            pool.install(|| {
                fault::plan(plan);
                let done = work();
                let reads = fault::reads();
                fault::plan(None);
                (reads, done)
            })
        };
        let reads = works.map(|work| {
            let (reads, done) = attempt(None, work);
            done.unwrap();
            for read in 0..reads {
                let error = attempt(Some(Fault::Once(read)), work).1.unwrap_err();
                assert!(matches!(error, Error::Device { .. }), "read {read} of {reads}: {error:?}");
            }
            reads
        });
        assert!(reads[1] > 10 && [reads[0], reads[2], reads[3]] == [1; 3], "{reads:?}");
    }

    #[test]
    fn values_that_are_not_numbers_are_refused_with_their_parameter() {
        let config =
            GeneratorConfig::new(1, 1).with_base_channels(2).with_backbone(Backbone::Unet { depth: 2 });
        let network = || config.init_seeded(1, &device::cpu());
        let good = collect(&network()).unwrap();
        assert!(apply(network(), good.clone(), Path::new("a"), str::to_owned).is_ok());
        for value in [f32::NAN, f32::INFINITY] {
            let mut named = good.clone();
            let (name, (_, values)) = named.iter_mut().next().unwrap();
            let name = name.clone();
            values[0] = value;
            let message = apply(network(), named, Path::new("a"), str::to_owned).unwrap_err().to_string();
            assert!(
                message.starts_with("a: ") && message.contains(&name) && message.contains("NaN"),
                "{message}"
            );
        }
    }
}
