//! Imports networks from files of the PyTorch original: [`Import`].

use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::infer;
use super::names::{self, Naming};
use super::read::read;
use super::state_dict::{StateDict, without_unused_statistics};
use crate::discriminator::{Discriminator, DiscriminatorConfig};
use crate::error::{Error, Result};
use crate::generator::{Generator, GeneratorConfig};
use crate::{device, weights};

/// A network file of the PyTorch original, read into memory. Settings that the file does not contain get the original's
/// defaults: dropout with probability 0.5, in the layers where the original has it.
///
/// # Examples
/// ```no_run
/// use pix2pix::{device, pytorch::Import};
///
/// let device = device::best();
/// let generator = Import::open("latest_net_G.pth")?.generator(&device)?;
/// let discriminator =
///     Import::open("latest_net_D.pth")?.discriminator_for(generator.config(), &device)?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Import {
    path: PathBuf,
    state: StateDict,
}

impl Import {
    /// Reads a file: `.pth` (feature `pth`), either zip or legacy pickle, or safetensors.
    ///
    /// # Errors
    /// As [`read`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self { path: path.to_owned(), state: read(path)? })
    }

    /// Returns the parameters in the file.
    pub fn state(&self) -> &StateDict {
        &self.state
    }

    /// Creates the generator in the file, a U-Net or ResNet, and infers its configuration.
    ///
    /// # Errors
    /// - [`Error::Checkpoint`] if the configuration of the network in the file is out of range
    /// - [`Error::Weights`] if parameters are missing, unexpected or of another shape, compared with the most similar
    ///   generator, or with the original's U-Net if no generator is similar
    /// - [`Error::Device`] if [`device::check`] refuses the device
    pub fn generator(self, device: &Device) -> Result<Generator> {
        device::check(device)?;
        let (config, naming) =
            infer::generator(&self.state, device).map_err(|problem| self.corrupt(problem))?;
        self.build_generator(&config, naming, device)
    }

    /// Creates the generator in the file with the given configuration. A ResNet's blocks may have any of the known
    /// names.
    ///
    /// # Errors
    /// [`Error::Config`] if `config` is out of range; otherwise as [`generator`](Self::generator).
    pub fn generator_as(self, config: &GeneratorConfig, device: &Device) -> Result<Generator> {
        config.validate()?;
        device::check(device)?;
        let naming = infer::naming(&self.state, config, device).map_err(|problem| self.corrupt(problem))?;
        self.build_generator(config, naming, device)
    }

    /// Creates the discriminator in the file and infers its configuration.
    ///
    /// The file does not tell how the channels are divided. An even number is divided equally between input and image;
    /// an odd number means a discriminator without a condition. [`discriminator_for`](Self::discriminator_for) takes
    /// the division from a generator instead.
    ///
    /// # Errors
    /// As [`generator`](Self::generator).
    pub fn discriminator(self, device: &Device) -> Result<Discriminator> {
        self.infer_discriminator(None, device)
    }

    /// Creates the discriminator in the file, which belongs to a generator, and infers its configuration, with the
    /// input and output channels of the generator.
    ///
    /// # Errors
    /// As [`generator`](Self::generator).
    pub fn discriminator_for(self, generator: &GeneratorConfig, device: &Device) -> Result<Discriminator> {
        let channels = [generator.input_channels, generator.output_channels];
        self.infer_discriminator(Some(channels), device)
    }

    /// Creates the discriminator in the file with the given configuration.
    ///
    /// # Errors
    /// [`Error::Config`] if `config` is out of range; otherwise as [`generator`](Self::generator).
    pub fn discriminator_as(self, config: &DiscriminatorConfig, device: &Device) -> Result<Discriminator> {
        let network = config.try_init(device)?;
        let state = without_unused_statistics(self.state, config.norm);
        weights::apply(network, state, &self.path, |name| names::discriminator(config, name))
    }

    fn infer_discriminator(self, channels: Option<[usize; 2]>, device: &Device) -> Result<Discriminator> {
        device::check(device)?;
        let config =
            infer::discriminator(&self.state, channels, device).map_err(|problem| self.corrupt(problem))?;
        self.discriminator_as(&config, device)
    }

    fn build_generator(self, config: &GeneratorConfig, naming: Naming, device: &Device) -> Result<Generator> {
        let network = config.try_init(device)?;
        let state = without_unused_statistics(self.state, config.norm);
        weights::apply(network, state, &self.path, |name| names::generator(config, naming, name))
    }

    fn corrupt(&self, problem: String) -> Error {
        Error::corrupt(&self.path, problem)
    }
}
