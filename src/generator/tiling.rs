//! The types that the parts of a generator exchange when it translates a large image tile by tile.

use burn::tensor::Tensor;

use crate::layers::TilePosition;

/// A layer of the head or of the tail, by its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerAt {
    Head(usize),
    Tail(usize),
}

/// The tail's input for one tile.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The tile's part of each of the body's outputs, `[1, C, h, w]`.
    pub(crate) maps: Vec<Tensor<4>>,
    /// The head's outputs for the same tile, except that of its last layer.
    pub(crate) skips: Vec<Tensor<4>>,
    /// The tile's position in the body's outputs.
    pub(crate) place: TilePosition,
}
