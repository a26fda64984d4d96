//! Imports networks from files of the PyTorch original: [`Import`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::Device;

use super::index::Index;
use super::infer;
use super::names::{self, Naming};
use super::read::unwrapped;
use super::search::Networks;
use super::state_dict::{Shapes, StateDict, is_counter, without_unused_statistics};
use super::styles::Style;
use crate::discriminator::{Discriminator, DiscriminatorConfig};
use crate::error::{CheckpointProblem, Error, Result};
use crate::generator::{DropoutLayout, Generator, GeneratorConfig};
use crate::layers::{Norm, UpsampleKind};
use crate::{device, weights};

/// A file with networks of the PyTorch original, which are found wherever they lie in its dictionaries. Settings that the
/// file does not contain get the original's defaults: dropout with probability 0.5, in the layers where the original has
/// it.
///
/// Opening a file reads names and shapes. The values are read when a network is created.
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
#[derive(Debug)]
pub struct Import {
    index: Index,
    networks: Networks,
    key: Option<String>,
    dropout: Option<f64>,
    upsample: Option<UpsampleKind>,
}

impl Import {
    /// Opens a file: `.pth`, `.pt` or `.ckpt` (feature `pth`), either zip or legacy pickle, or safetensors.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read. [`Error::Checkpoint`] if it is damaged, has no tensors, or has another
    /// format, which the message names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let index = Index::open(path.as_ref())?;
        let networks = Networks::find(&index.shapes);
        Ok(Self { index, networks, key: None, dropout: None, upsample: None })
    }

    /// Chooses the network under `key`, for a file with several: a name in its dictionaries such as `params_ema` or
    /// `state_dict.netG`.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the probability of dropout, which a file does not contain: 0 for a generator that was trained without it.
    #[must_use]
    pub fn with_dropout(mut self, probability: f64) -> Self {
        self.dropout = Some(probability);
        self
    }

    /// Sets how the decoder of a U-Net resizes before its 3×3 convolutions, which a file does not contain:
    /// [`UpsampleKind::NearestConv`], which is assumed without this call, or [`UpsampleKind::BilinearConv`].
    #[must_use]
    pub fn with_upsample(mut self, upsample: UpsampleKind) -> Self {
        self.upsample = Some(upsample);
        self
    }

    /// Returns the names of the tensors in the file, and their shapes.
    pub fn shapes(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.index.shapes
    }

    /// Creates the generator in the file, a U-Net or ResNet, and infers its configuration.
    ///
    /// # Errors
    /// - [`Error::Checkpoint`] if the configuration of the network in the file is out of range, or it is a known network
    ///   of another implementation that computes something else
    /// - [`Error::Argument`] if [`with_upsample`](Self::with_upsample) contradicts the shapes in the file
    /// - [`Error::Weights`] if parameters are missing, unexpected or of another shape, compared with the most similar
    ///   generator, or with the original's U-Net if no generator is similar
    /// - [`Error::Device`] if [`device::check`] refuses the device
    pub fn generator(self, device: &Device) -> Result<Generator> {
        device::check(device)?;
        let part = self.generator_part()?;
        let (mut config, naming) =
            infer::generator(&part.shapes, device).map_err(|problem| self.corrupt(problem))?;
        if part.style != Style::Original {
            config.dropout_layout = DropoutLayout::Paper;
        }
        if let Some(probability) = self.dropout {
            config.dropout = probability;
            config.validate()?;
        }
        if let Some(upsample) = self.upsample {
            let resizes = |kind| kind != UpsampleKind::Transpose;
            if resizes(upsample) != resizes(config.upsample) {
                let problem = format!(
                    "{upsample} contradicts {}, whose decoder has the shapes of {}",
                    self.index.path.display(),
                    config.upsample
                );
                return Err(Error::argument("upsample", problem));
            }
            config.upsample = upsample;
        }
        self.build_generator(&part, &config, naming, device)
    }

    /// Creates the generator in the file with the given configuration. A ResNet's blocks may have any of the known
    /// names.
    ///
    /// # Errors
    /// [`Error::Config`] if `config` is out of range; otherwise as [`generator`](Self::generator).
    pub fn generator_as(self, config: &GeneratorConfig, device: &Device) -> Result<Generator> {
        config.validate()?;
        device::check(device)?;
        let part = self.generator_part()?;
        let naming = infer::naming(&part.shapes, config, device).map_err(|problem| self.corrupt(problem))?;
        self.build_generator(&part, config, naming, device)
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
        let part = self.discriminator_part()?;
        self.build_discriminator(&part, config, device)
    }

    fn infer_discriminator(self, channels: Option<[usize; 2]>, device: &Device) -> Result<Discriminator> {
        device::check(device)?;
        let part = self.discriminator_part()?;
        let config =
            infer::discriminator(&part.shapes, channels, device).map_err(|problem| self.corrupt(problem))?;
        self.build_discriminator(&part, &config, device)
    }

    fn build_generator(
        &self,
        part: &Part,
        config: &GeneratorConfig,
        naming: Naming,
        device: &Device,
    ) -> Result<Generator> {
        let network = config.try_init(device)?;
        let key = |name: &str| names::generator(config, naming, name);
        let state = self.read(part, weights::shapes(&network), config.norm, key)?;
        weights::apply(network, state, &self.index.path, key)
    }

    fn build_discriminator(
        &self,
        part: &Part,
        config: &DiscriminatorConfig,
        device: &Device,
    ) -> Result<Discriminator> {
        let network = config.try_init(device)?;
        let key = |name: &str| names::discriminator(config, name);
        let state = self.read(part, weights::shapes(&network), config.norm, key)?;
        weights::apply(network, state, &self.index.path, key)
    }

    /// Reads the parameters of a network with these `shapes`, once the file's names and shapes are known to be those;
    /// `key` returns the original's name of a parameter.
    fn read(
        &self,
        part: &Part,
        shapes: Shapes,
        norm: Norm,
        key: impl Fn(&str) -> String,
    ) -> Result<StateDict> {
        let expected = shapes.into_iter().map(|(name, shape)| (key(&name), shape)).collect();
        let found = without_unused_statistics(part.shapes.clone(), norm);
        weights::check_fit(&expected, &found, &self.index.path)?;
        let mut state = self.index.read(|name| part.key(&self.networks, name))?;
        part.style.adapt(&mut state);
        Ok(without_unused_statistics(state, norm))
    }

    /// Returns the part of the file that is the generator.
    fn generator_part(&self) -> Result<Part> {
        let Networks { generators, discriminators } = &self.networks;
        if generators.is_empty() && self.index.shapes.keys().any(|name| name.starts_with("network.")) {
            let problem = "it is a weights file of this program, which holds its own settings; load it without those \
                           for files of other programs";
            return Err(self.unsupported(problem.to_owned()));
        }
        if generators.is_empty() && self.key.is_none() && !discriminators.is_empty() {
            let problem = format!(
                "it holds a discriminator{} and no generator; name the file of the generator",
                named(discriminators)
            );
            return Err(self.unsupported(problem));
        }
        self.part("generators", generators)
    }

    /// Returns the part of the file that is the discriminator.
    fn discriminator_part(&self) -> Result<Part> {
        let Networks { generators, discriminators } = &self.networks;
        if discriminators.is_empty() && self.key.is_none() && !generators.is_empty() {
            let problem = format!(
                "it holds a generator{} and no discriminator; name the file of the discriminator",
                named(generators)
            );
            return Err(self.unsupported(problem));
        }
        self.part("discriminators", discriminators)
    }

    /// Returns the part of the file under the only one of these prefixes, or under that of the chosen key. Without any, it
    /// is the whole file, so that the error of loading it lists what is there.
    fn part(&self, kind: &str, prefixes: &BTreeSet<String>) -> Result<Part> {
        let prefix = match &self.key {
            Some(key) => {
                let fits = |prefix: &&String| {
                    let prefix = prefix.trim_end_matches('.');
                    prefix == key || unwrapped(prefix) == key || prefix.starts_with(&format!("{key}."))
                };
                let found: Vec<&String> = prefixes.iter().filter(fits).collect();
                match found.as_slice() {
                    [prefix] => Some(*prefix),
                    _ => {
                        let problem = format!(
                            "`{key}` is the name of {} {kind} in it; the names are{}",
                            found.len(),
                            named(prefixes)
                        );
                        return Err(self.unsupported(problem));
                    }
                }
            }
            None if prefixes.len() > 1 => {
                let flag = if kind == "generators" { "--key" } else { "--discriminator-key" };
                let problem = format!(
                    "it holds {} {kind}; choose one with `pix2pix import {flag} NAME`:{}",
                    prefixes.len(),
                    named(prefixes)
                );
                return Err(self.unsupported(problem));
            }
            None => prefixes.first(),
        };
        Part::new(prefix.cloned(), &self.networks, &self.index.shapes)
            .map_err(|problem| self.unsupported(problem))
    }

    fn corrupt(&self, problem: String) -> Error {
        Error::corrupt(&self.index.path, problem)
    }

    fn unsupported(&self, problem: String) -> Error {
        Error::Checkpoint { path: self.index.path.clone(), problem: CheckpointProblem::Unsupported(problem) }
    }
}

/// The part of a file that is one network.
struct Part {
    /// `None` for the whole file.
    prefix: Option<String>,
    style: Style,
    /// The shapes by the original's names.
    shapes: Shapes,
}

impl Part {
    /// Finds the names of a network.
    ///
    /// # Errors
    /// As [`Style::of`].
    fn new(
        prefix: Option<String>,
        networks: &Networks,
        shapes: &Shapes,
    ) -> std::result::Result<Self, String> {
        let mut part = Self { prefix, style: Style::Original, shapes: Shapes::new() };
        let named = |part: &Self| -> Shapes {
            let names =
                shapes.iter().filter_map(|(name, shape)| Some((part.key(networks, name)?, shape.clone())));
            names.collect()
        };
        part.style = Style::of(&named(&part))?;
        part.shapes = named(&part);
        part.style.without_removed_biases(&mut part.shapes);
        Ok(part)
    }

    /// Returns the original's name of a tensor, or `None` if it is not a part of the network.
    fn key(&self, networks: &Networks, name: &str) -> Option<String> {
        let name = match &self.prefix {
            Some(prefix) => networks.name_in(prefix, name)?,
            None => unwrapped(name),
        };
        (!is_counter(name)).then(|| self.style.key(name))
    }
}

/// Returns the names of networks as ` a, b`; empty for a network without a prefix.
fn named(prefixes: &BTreeSet<String>) -> String {
    let names = prefixes.iter().map(|prefix| prefix.trim_end_matches('.'));
    let names: Vec<String> =
        names.filter(|name| !name.is_empty()).take(10).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { String::new() } else { format!(" {}", names.join(", ")) }
}
