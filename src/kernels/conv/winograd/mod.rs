//! Convolutions with fewer multiplications than their definition has (Winograd 1980; Lavin & Gray 2016).
//!
//! A convolution with stride 2 and a 4×4 kernel is the sum of four convolutions with stride 1 and a 2×2 kernel, one
//! for each phase of the large map (the decomposable Winograd method, arXiv 2002.00552). Each is cut into tiles, and
//! tiles, filters and outputs are transformed so that the convolution becomes one matrix product for each of the
//! tile's places. The two gradients use the transposed transforms of the same three.
#![allow(clippy::needless_range_loop)] // formulas with several indices read best with all of them written out

mod filter_transform;
mod matrices;
mod simd;
mod strided;
mod tile_transform;

use std::ops::Range;

use super::batched_gemm::{Sizes, Strides, multiply, pitch};
use super::feature_map::Map;
use super::geometry::Geometry;
use crate::kernels::buffer_pool::{self, Workspace};

/// Values of transformed maps held at a time (16 MiB), so that they are still in the cache when they are used; a larger
/// batch is done piece by piece.
const HELD: usize = 1 << 22;

/// A convolution cut into tiles of `M` by `M` values of the small map: F(`M`, `R`) with tiles of `T` = `M` + `R` − 1.
pub(super) struct Winograd<'a, const M: usize, const R: usize, const T: usize> {
    g: &'a Geometry,
    /// Those worked on.
    pictures: Range<usize>,
    /// Tiles of one picture, down and across.
    tiles: [usize; 2],
}

impl<'a, const M: usize, const R: usize, const T: usize> Winograd<'a, M, R, T> {
    /// The kernel must have `R` taps for each phase.
    pub(super) fn new(g: &'a Geometry) -> Self {
        assert!(g.kernel == R * g.stride && T == M + R - 1, "F({M}, {R}) does not suit {g:?}");
        let tiles = [g.small[1].div_ceil(M), g.small[2].div_ceil(M)];
        Self { g, pictures: 0..g.pictures, tiles }
    }

    /// The pieces of the batch.
    fn pieces(&self) -> impl Iterator<Item = Self> + use<'a, M, R, T> {
        let (g, tiles) = (self.g, self.tiles);
        let picture = (self.channels() + g.small[0]) * self.places() * tiles[0] * tiles[1];
        let count = (HELD / picture).max(1);
        (0..g.pictures).step_by(count).map(move |start| Self {
            g,
            pictures: start..(start + count).min(g.pictures),
            tiles,
        })
    }

    /// From the large map to the small one, by [`filters`](Self::filters).
    pub(super) fn down(&self, large: Map, filters: &[f32]) -> Vec<f32> {
        let mut small = buffer_pool::take(self.g.small_len());
        for piece in self.pieces() {
            let inputs = piece.inputs(large);
            let mut products = Workspace::new(piece.g.small[0] * piece.stack());
            multiply(
                Sizes {
                    rows: piece.g.small[0],
                    columns: piece.all_tiles(),
                    inner: piece.channels(),
                    ..piece.sizes()
                },
                (&mut products, piece.map_strides()),
                (filters, piece.filter_strides()),
                (&inputs, piece.map_strides()),
            );
            drop(inputs);
            piece.outputs(&products, &mut small);
        }
        small
    }

    /// From the small map to the large one; the adjoint of [`down`](Self::down) in the map.
    pub(super) fn up(&self, small: Map, filters: &[f32]) -> Vec<f32> {
        let mut large = buffer_pool::take(self.g.large_len());
        for piece in self.pieces() {
            let spread = piece.outputs_adjoint(small);
            let mut products = Workspace::new(piece.channels() * piece.stack());
            multiply(
                Sizes {
                    rows: piece.channels(),
                    columns: piece.all_tiles(),
                    inner: piece.g.small[0],
                    ..piece.sizes()
                },
                (&mut products, piece.map_strides()),
                (filters, piece.filter_strides().transposed()),
                (&spread, piece.map_strides()),
            );
            drop(spread);
            piece.inputs_adjoint(&products, &mut large);
        }
        large
    }

    /// The gradient of the weight; the adjoint of [`down`](Self::down) in the weight.
    pub(super) fn weight(&self, large: Map, small: Map) -> Vec<f32> {
        let mut products = Workspace::new(self.g.small[0] * self.places() * self.channels());
        for (index, piece) in self.pieces().enumerate() {
            let inputs = piece.inputs(large);
            let spread = piece.outputs_adjoint(small);
            multiply(
                Sizes {
                    rows: piece.g.small[0],
                    columns: piece.channels(),
                    inner: piece.all_tiles(),
                    adds: index > 0,
                    ..piece.sizes()
                },
                (&mut products, piece.filter_strides()),
                (&spread, piece.map_strides()),
                (&inputs, piece.map_strides().transposed()),
            );
        }
        let mut weight = buffer_pool::take(self.g.weight_len());
        self.filters_adjoint(&products, &mut weight);
        weight
    }

    /// Channels of the large map's phases.
    fn channels(&self) -> usize {
        self.g.large[0] * self.g.stride * self.g.stride
    }

    /// Places of a tile, each with a matrix product of its own.
    fn places(&self) -> usize {
        T * T
    }

    /// From one place to the next within a channel of a transformed map.
    fn pitch(&self) -> usize {
        pitch(self.all_tiles())
    }

    /// Values of one channel of a transformed map.
    fn stack(&self) -> usize {
        self.places() * self.pitch()
    }

    /// Tiles of all pictures worked on.
    fn all_tiles(&self) -> usize {
        self.pictures.len() * self.tiles[0] * self.tiles[1]
    }

    fn sizes(&self) -> Sizes {
        Sizes { count: self.places(), rows: 0, columns: 0, inner: 0, adds: false }
    }

    /// Transformed maps are `[channels, places, tiles]`, so that the threads can fill them channel by channel.
    fn map_strides(&self) -> Strides {
        Strides { stack: self.pitch(), row: self.stack(), column: 1 }
    }

    /// Transformed filters are `[O, places, channels]`.
    fn filter_strides(&self) -> Strides {
        Strides { stack: self.channels(), row: self.places() * self.channels(), column: 1 }
    }
}
