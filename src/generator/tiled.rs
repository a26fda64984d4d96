//! A generator in three parts, so that large images need little memory: the head and the tail have small receptive
//! fields and work on tiles; the body between them works on small maps of the whole image.
//!
//! Normalisation by the image's own statistics needs those of the whole image. They are computed layer by layer over
//! all tiles and folded into the layer's convolution, so the tiles give the same output as the whole image.

use burn::tensor::Tensor;

use super::config::{Backbone, GeneratorConfig, RESNET_STEPS};
use super::tiling::{LayerAt, Piece};
use super::{Generator, Network};
use crate::error::Result;
use crate::layers::{Arithmetic, Mode, Moments, channels_at};

/// Why a DCGAN does not come here.
const NO_INPUT: &str = "`Translator` refuses a generator without an input image";

/// A generator that translates one image tile by tile.
#[derive(Debug)]
pub(crate) struct TiledGenerator {
    generator: Generator,
    split: usize,
    mode: Mode,
}

impl GeneratorConfig {
    /// Returns the number of downsampling layers to run tile by tile, so that peak memory stays at that of one
    /// `tile`×`tile` image.
    pub(crate) fn tiled_levels(&self, pixels: usize, tile: usize) -> usize {
        let (Backbone::Unet { depth } | Backbone::EncoderDecoder { depth }) = self.backbone else {
            return RESNET_STEPS;
        };
        // The number of values in the map of a level, for each pixel of the image. A whole image costs about twice the
        // map of level 1, because the maps of full resolution add to it.
        let cost = |level: usize| channels_at(self.base_channels, level - 1) as f64 / 4f64.powi(level as i32);
        let fits = |level: &usize| cost(*level) * pixels as f64 <= 2.0 * cost(1) * (tile * tile) as f64;
        (1..depth).find(fits).unwrap_or(depth - 1)
    }
}

impl TiledGenerator {
    /// Splits the generator where its head has halved the resolution `split` times.
    pub(crate) fn new(mut generator: Generator, split: usize, mode: Mode) -> Self {
        // Folding changes the weights of most layers for each image, so cached filters would not be used again.
        generator.change_arithmetic(&mut Arithmetic::without_cache);
        Self { generator, split, mode: mode.seeded() }
    }

    /// Returns the side, in pixels, of the square that one value of the head's last map covers.
    pub(crate) fn unit(&self) -> usize {
        1 << self.split
    }

    /// Returns the number of layers in the head.
    pub(crate) fn head_layers(&self) -> usize {
        match &self.generator.network {
            Network::Unet(_) => self.split,
            Network::Resnet(_) => self.split + 1, // the first convolution keeps the resolution
            Network::Dcgan(_) => unreachable!("{NO_INPUT}"),
        }
    }

    /// Returns the number of layers in the tail; the last one gives the output image.
    pub(crate) fn tail_layers(&self) -> usize {
        self.head_layers()
    }

    /// Returns whether the first `layers` layers of the tail take skip connections from the head.
    pub(crate) fn has_skips(&self, layers: usize) -> bool {
        layers > 1 && matches!(&self.generator.network, Network::Unet(network) if network.has_skips())
    }

    /// Returns the outputs of the first `layers` layers of the head; the last output is not normalised.
    pub(crate) fn head(&self, x: Tensor<4>, layers: usize) -> Vec<Tensor<4>> {
        match &self.generator.network {
            Network::Unet(network) => network.head(x, layers),
            Network::Resnet(network) => vec![network.head(x, layers)],
            Network::Dcgan(_) => unreachable!("{NO_INPUT}"),
        }
    }

    /// Maps the head's last output for the whole image, not yet normalised, to the tail's input.
    pub(crate) fn body(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        match &self.generator.network {
            Network::Unet(network) => network.body(x, self.split, self.mode),
            Network::Resnet(network) => vec![network.body(x, self.mode)],
            Network::Dcgan(_) => unreachable!("{NO_INPUT}"),
        }
    }

    /// Returns the output of the tail's layer `layers − 1`, not normalised; for the last layer, the output image.
    pub(crate) fn tail(&self, piece: Piece, layers: usize) -> Tensor<4> {
        match &self.generator.network {
            Network::Unet(network) => network.tail(piece, layers, self.split, self.mode),
            Network::Resnet(network) => network.tail(piece, layers),
            Network::Dcgan(_) => unreachable!("{NO_INPUT}"),
        }
    }

    /// Folds a layer's norm into its convolution. The statistics are the running ones if the mode uses them, else
    /// those that `gather` computes from the layer's output.
    ///
    /// # Errors
    /// Those of `gather`.
    pub(crate) fn fold_norm(
        &mut self,
        layer: LayerAt,
        gather: impl FnOnce(&Self) -> Result<Moments>,
    ) -> Result<()> {
        let norm = match &self.generator.network {
            Network::Unet(network) => network.norm(layer, self.split),
            Network::Resnet(network) => network.norm(layer),
            Network::Dcgan(_) => unreachable!("{NO_INPUT}"),
        };
        let Some(norm) = norm else { return Ok(()) };
        let affine = norm.affine(norm.known(self.mode).map_or_else(|| gather(self), Ok)?);
        match &mut self.generator.network {
            Network::Unet(network) => network.fold(layer, self.split, affine),
            Network::Resnet(network) => network.fold(layer, affine),
            Network::Dcgan(_) => unreachable!("{NO_INPUT}"),
        }
        Ok(())
    }
}
