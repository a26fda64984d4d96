//! Makes images of noise with a generator that takes no input: [`Sampler`].

use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use image::DynamicImage;

use super::Translator;
use crate::data::{IMAGE_CHANNELS, to_images};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::layers::{Mode, in_thread_pool, noise};

/// The number of images that are made at once.
const AT_ONCE: u64 = 32;

/// Makes images of noise with a generator that takes no input image, such as that of DCGAN.
///
/// Normalisation uses the running statistics of the training, so that an image is a function of the weights, the seed and
/// its index, whatever images are made with it.
///
/// # Examples
/// ```
/// # #[cfg(feature = "flex")] {
/// use pix2pix::{Backbone, GeneratorConfig, Sampler, device};
///
/// let mut config = GeneratorConfig::new(3, 3).with_base_channels(2);
/// config.backbone = Backbone::Dcgan { depth: 4, noise: 10 };
/// let sampler = Sampler::new(config.try_init(&device::cpu())?, &device::cpu())?;
/// let images = sampler.sample(7, 0..3)?;
/// assert_eq!((images.len(), images[0].width()), (3, 16));
/// # }
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    generator: Generator,
    device: Device,
}

impl Sampler {
    /// Loads a generator from a run folder, a weights file, or a `.pth` file of PyTorch's DCGAN example.
    ///
    /// # Errors
    /// As [`Translator::load`] and [`from_translator`](Self::from_translator).
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::from_translator(Translator::load(path, device)?)
    }

    /// Creates a sampler from a generator in memory.
    ///
    /// # Errors
    /// [`Error::Device`] if the device computes wrongly; otherwise as [`from_translator`](Self::from_translator).
    pub fn new(generator: Generator, device: &Device) -> Result<Self> {
        Self::from_translator(Translator::new(generator, device)?)
    }

    /// Takes the generator of a loaded translator.
    ///
    /// # Errors
    /// [`Error::Config`] if the generator translates images instead of making them of noise, or if an image cannot have
    /// its channels.
    pub fn from_translator(translator: Translator) -> Result<Self> {
        let config = translator.generator.config();
        if config.noise().is_none() {
            let problem = format!(
                "{} translates images, and makes none without an input; use `pix2pix translate` (`Translator`)",
                config.backbone
            );
            return Err(Error::config("generator.backbone", problem));
        }
        if !IMAGE_CHANNELS.contains(&config.output_channels) {
            let problem = format!("{} is not 1, 3 or 4, the channels of an image", config.output_channels);
            return Err(Error::config("generator.output_channels", problem));
        }
        Ok(Self { generator: translator.generator, device: translator.device })
    }

    /// Makes the images with these indices. Other seeds and indices give other images.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails, for instance because it is out of memory.
    pub fn sample(&self, seed: u64, indices: Range<u64>) -> Result<Vec<DynamicImage>> {
        let values = self.generator.config().noise().unwrap_or_default();
        let mut images = vec![];
        let mut first = indices.start;
        while first < indices.end {
            let last = first.saturating_add(AT_ONCE).min(indices.end);
            let rows = (first..last).map(|index| noise([1, values], seed, index, &self.device));
            let noise = Tensor::cat(rows.collect(), 0);
            let made = in_thread_pool(&self.device, || self.generator.forward(noise, Mode::RUNNING));
            images.extend(to_images(made)?);
            first = last;
        }
        Ok(images)
    }

    /// Returns the generator.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;
    use crate::generator::{Backbone, GeneratorConfig};

    fn generator(backbone: Backbone) -> Generator {
        let config = GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(backbone);
        config.init_seeded(3, &device::cpu())
    }

    #[test]
    fn an_image_is_a_function_of_seed_and_index() {
        let dcgan = generator(Backbone::Dcgan { depth: 4, noise: 5 });
        let sampler = Sampler::new(dcgan, &device::cpu()).unwrap();
        let images = sampler.sample(1, 0..40).unwrap();
        assert_eq!(images.len(), 40);
        assert_eq!(images[33..36], sampler.sample(1, 33..36).unwrap()[..]);
        assert!(images[0] != images[1] && images[0] != sampler.sample(2, 0..1).unwrap()[0]);
        assert!(sampler.sample(1, 3..3).unwrap().is_empty());
    }

    #[test]
    fn generators_of_the_other_kind_are_refused_with_the_command_to_use() {
        let unet = generator(Backbone::Unet { depth: 2 });
        let message = Sampler::new(unet, &device::cpu()).unwrap_err().to_string();
        assert!(
            message.contains("unet:2 translates images") && message.contains("pix2pix translate"),
            "{message}"
        );
        let dcgan = generator(Backbone::Dcgan { depth: 4, noise: 5 });
        let translator = Translator::new(dcgan, &device::cpu()).unwrap();
        let image = DynamicImage::new_rgb8(16, 16);
        for error in [
            translator.translate(&image).map(drop),
            translator.translate_batch(&[image]).map(drop),
            translator.translate_array(&[0.0; 3 * 16 * 16], [3, 16, 16]).map(drop),
        ] {
            let message = error.unwrap_err().to_string();
            assert!(
                message.contains("dcgan:4:5 makes images of noise") && message.contains("pix2pix sample"),
                "{message}"
            );
        }
    }
}
