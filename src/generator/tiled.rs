//! A generator cut in three, so that large pictures need little memory: the head and the tail see only a few pixels
//! around each of theirs and can work on tiles; the body between them works on small maps of the whole picture.
//!
//! Normalisation by the picture's own statistics needs those of the whole picture. They are gathered layer by layer
//! over all tiles, and folded into the layer's convolution. So the tiles agree: what they make is what the network
//! makes of the whole picture.

use super::{Backbone, Generator, GeneratorConfig, Network};
use crate::Tensor;
use crate::layers::{Mode, Moments, Place, channels_at};

/// A layer of the head or of the tail, by its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Head(usize),
    Tail(usize),
}

/// A piece of what the tail needs.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Of each of the body's maps.
    pub(crate) maps: Vec<Tensor<4>>,
    /// What the head made of the same piece: the maps of its levels but the last.
    pub(crate) skips: Vec<Tensor<4>>,
    /// Where the piece lies in the body's maps.
    pub(crate) place: Place,
}

/// A generator that is cut, for one picture.
#[derive(Debug)]
pub(crate) struct Cut {
    generator: Generator,
    split: usize,
    mode: Mode,
}

impl GeneratorConfig {
    /// How many times the head halves a picture of so many pixels, so that no step needs more memory than a whole
    /// picture of `tile`×`tile` pixels.
    pub(crate) fn split(&self, pixels: usize, tile: usize) -> usize {
        let (Backbone::Unet { depth } | Backbone::EncoderDecoder { depth }) = self.backbone else {
            return super::resnet::STEPS;
        };
        // The map of a level has its channels' values for each 4^level pixels. A whole picture costs about twice
        // what the maps of level 1 do, as those of full resolution come on top.
        let cost = |level: usize| channels_at(self.base_channels, level - 1) as f64 / 4f64.powi(level as i32);
        let fits = |level: &usize| cost(*level) * pixels as f64 <= 2.0 * cost(1) * (tile * tile) as f64;
        (1..depth).find(fits).unwrap_or(depth - 1)
    }
}

impl Cut {
    /// The generator cut where its head has halved the picture `split` times.
    pub(crate) fn new(generator: Generator, split: usize, mode: Mode) -> Self {
        Self { generator, split, mode: mode.settled() }
    }

    /// The pixels for which the head's last map has one value.
    pub(crate) fn unit(&self) -> usize {
        1 << self.split
    }

    /// The layers of the head, of which the last gives the body its map.
    pub(crate) fn head_layers(&self) -> usize {
        match &self.generator.network {
            Network::Unet(_) => self.split,
            Network::Resnet(_) => self.split + 1, // the first convolution keeps the resolution
        }
    }

    /// The layers of the tail, of which the last gives the picture.
    pub(crate) fn tail_layers(&self) -> usize {
        self.head_layers()
    }

    /// Whether a tail of so many layers takes anything from the head.
    pub(crate) fn has_skips(&self, layers: usize) -> bool {
        layers > 1 && matches!(&self.generator.network, Network::Unet(network) if network.has_skips())
    }

    /// The outputs of the first `layers` layers of the head, the last one's before its normalisation.
    pub(crate) fn head(&self, x: Tensor<4>, layers: usize) -> Vec<Tensor<4>> {
        match &self.generator.network {
            Network::Unet(network) => network.head(x, layers),
            Network::Resnet(network) => vec![network.head(x, layers)],
        }
    }

    /// The maps that the tail takes, from the head's last map of the whole picture before its normalisation.
    pub(crate) fn body(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        match &self.generator.network {
            Network::Unet(network) => network.body(x, self.split, self.mode),
            Network::Resnet(network) => vec![network.body(x, self.mode)],
        }
    }

    /// The output of layer `layers − 1` of the tail before its normalisation; if it is the last one, the picture.
    pub(crate) fn tail(&self, piece: Piece, layers: usize) -> Tensor<4> {
        match &self.generator.network {
            Network::Unet(network) => network.tail(piece, layers, self.split, self.mode),
            Network::Resnet(network) => network.tail(piece, layers),
        }
    }

    /// Folds a layer's normalisation into its convolution: by the statistics that the mode prescribes, else by those
    /// that `gather` finds in the layer's output.
    pub(crate) fn settle(&mut self, layer: Layer, gather: impl FnOnce(&Self) -> Moments) {
        let norm = match &self.generator.network {
            Network::Unet(network) => network.norm(layer, self.split),
            Network::Resnet(network) => network.norm(layer),
        };
        let Some(norm) = norm else { return };
        let affine = norm.affine(norm.known(self.mode).unwrap_or_else(|| gather(self)));
        match &mut self.generator.network {
            Network::Unet(network) => network.fold(layer, self.split, affine),
            Network::Resnet(network) => network.fold(layer, affine),
        }
    }
}
