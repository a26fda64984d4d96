//! Convolutions with fewer multiplications than their definition has (Winograd 1980; Lavin and Gray 2016).
//!
//! A convolution with stride 2 and a 4×4 kernel is the sum of four convolutions with stride 1 and a 2×2 kernel, one for
//! each phase of the large map (the decomposable Winograd method, arXiv 2002.00552). Each is cut into tiles. Transforms
//! of the tiles, the filters and the outputs turn the convolution into one matrix product for each position of a tile.
//! The two gradients use the transposes of the same three transforms.
#![allow(clippy::needless_range_loop)] // a formula with several indices is clearest with all of them written out

mod filter_transform;
mod matrices;
mod simd;
mod strided;
mod tile_transform;
mod tiling;

pub(super) use tiling::Winograd;

use super::batched_gemm::multiply;
use super::feature_map::FeatureMap;
use crate::kernels::buffer_pool::{self, Buffer};

impl<const M: usize, const R: usize, const T: usize> Winograd<'_, M, R, T> {
    /// Computes the small map from the large one with [transformed filters](Self::filters).
    pub(super) fn down(&self, large: FeatureMap, filters: &[f32]) -> Vec<f32> {
        let mut small = buffer_pool::take(self.g.small_len());
        for piece in self.pieces() {
            let inputs = piece.inputs(large);
            let mut products = Buffer::new(piece.g.small[0] * piece.channel_len());
            multiply(
                piece.sizes([piece.g.small[0], piece.all_tiles(), piece.channels()], false),
                (&mut products, piece.map_strides()),
                (filters, piece.filter_strides()),
                (&inputs, piece.map_strides()),
            );
            drop(inputs);
            piece.outputs(&products, &mut small);
        }
        small
    }

    /// Computes the large map from the small one: the adjoint of [`down`](Self::down) with respect to the map.
    pub(super) fn up(&self, small: FeatureMap, filters: &[f32]) -> Vec<f32> {
        let mut large = buffer_pool::take(self.g.large_len());
        for piece in self.pieces() {
            let spread = piece.outputs_adjoint(small);
            let mut products = Buffer::new(piece.channels() * piece.channel_len());
            multiply(
                piece.sizes([piece.channels(), piece.all_tiles(), piece.g.small[0]], false),
                (&mut products, piece.map_strides()),
                (filters, piece.filter_strides().transposed()),
                (&spread, piece.map_strides()),
            );
            drop(spread);
            piece.inputs_adjoint(&products, &mut large);
        }
        large
    }

    /// Computes the gradient of the weight: the adjoint of [`down`](Self::down) with respect to the weight.
    pub(super) fn weight(&self, large: FeatureMap, small: FeatureMap) -> Vec<f32> {
        let mut products = Buffer::new(self.g.small[0] * self.positions() * self.channels());
        for (index, piece) in self.pieces().enumerate() {
            let inputs = piece.inputs(large);
            let spread = piece.outputs_adjoint(small);
            multiply(
                piece.sizes([piece.g.small[0], piece.channels(), piece.all_tiles()], index > 0),
                (&mut products, piece.filter_strides()),
                (&spread, piece.map_strides()),
                (&inputs, piece.map_strides().transposed()),
            );
        }
        let mut weight = buffer_pool::take(self.g.weight_len());
        self.filters_adjoint(&products, &mut weight);
        weight
    }
}
