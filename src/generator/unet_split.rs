//! A U-Net cut at a level: the encoder blocks down to it are the head, the decoder blocks up from it the tail.

use super::UNet;
use crate::Tensor;
use crate::generator::{Layer, Piece};
use crate::layers::{Mode, NormLayer, dropout, normalised, tanh};

impl UNet {
    pub(crate) fn has_skips(&self) -> bool {
        self.has_skips
    }

    /// The outputs of the first encoder blocks, the last one's before its normalisation; the others' is folded.
    pub(crate) fn head(&self, mut x: Tensor<4>, layers: usize) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(layers);
        for block in &self.encoder[..layers] {
            x = block.raw(x);
            maps.push(x.clone());
        }
        maps
    }

    /// From the map of level `split` before its normalisation to what the decoder makes for the same level, with the
    /// skip connection of that level before it.
    pub(crate) fn body(&self, x: Tensor<4>, split: usize, mode: Mode) -> Vec<Tensor<4>> {
        let blocks = self.decoder.len() - split;
        let mut x = normalised(&self.encoder[split - 1].norm, x, mode);
        let mut skips = vec![x.clone()];
        for block in &self.encoder[split..] {
            x = block.forward(x, mode);
            skips.push(x.clone());
        }
        skips.pop(); // the bottleneck itself has no partner
        let mut skip = None;
        for (index, block) in self.decoder[..blocks].iter().enumerate() {
            x = block.forward(skip.take(), x, index, mode);
            skip = skips.pop().filter(|_| self.has_skips);
        }
        skip.into_iter().chain([x]).collect()
    }

    /// The first `layers` decoder blocks of the tail, on a piece.
    pub(crate) fn tail(&self, piece: Piece, layers: usize, split: usize, mode: Mode) -> Tensor<4> {
        let first = self.decoder.len() - split;
        let Piece { mut maps, mut skips, place } = piece;
        let mut x = maps.swap_remove(maps.len() - 1);
        let mut skip = maps.pop();
        for index in first..first + layers {
            let block = &self.decoder[index];
            x = block.up.forward(skip.take(), x);
            if index + 1 == first + layers {
                break; // its normalisation is not known yet
            }
            let place = place.times(2 << (index - first));
            x = dropout(x, block.dropout, index, mode, Some(place));
            skip = skips.pop();
        }
        if layers == split { tanh(x) } else { x }
    }

    pub(crate) fn norm(&self, layer: Layer, split: usize) -> Option<&NormLayer> {
        match layer {
            Layer::Head(index) => self.encoder[index].norm.as_ref(),
            Layer::Tail(index) => self.decoder[self.decoder.len() - split + index].norm.as_ref(),
        }
    }

    /// Folds `affine`, which stands for a layer's normalisation, into its convolution.
    pub(crate) fn fold(&mut self, layer: Layer, split: usize, affine: [Tensor<1>; 2]) {
        match layer {
            Layer::Head(index) => {
                let block = &mut self.encoder[index];
                (block.conv, block.norm) = (block.conv.scaled(affine), None);
            }
            Layer::Tail(index) => {
                let index = self.decoder.len() - split + index;
                let block = &mut self.decoder[index];
                (block.up, block.norm) = (block.up.scaled(affine), None);
            }
        }
    }
}
