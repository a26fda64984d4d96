//! Convolutions with fewer multiplications than their definition has (Winograd 1980; Lavin & Gray 2016).
//!
//! A convolution with stride 2 and a 4×4 kernel is the sum of four convolutions with stride 1 and a 2×2 kernel, one
//! for each phase of the large map (the decomposable Winograd method, arXiv 2002.00552). Each is cut into tiles, and
//! tiles, filters and outputs are transformed so that the convolution becomes one matrix product for each of the
//! tile's places. The two gradients use the transposed transforms of the same three.
#![allow(clippy::needless_range_loop)] // formulas with several indices read best with all of them written out

mod filters;
mod lanes;
mod maps;
mod rows;
mod transform;

use super::geometry::Geometry;
use super::map::Map;
use super::matmul::{Sizes, Strides, multiply, pitch};
use super::workspace::{self, Workspace};

/// A convolution cut into tiles of `M` by `M` values of the small map: F(`M`, `R`) with tiles of `T` = `M` + `R` − 1.
pub(super) struct Winograd<'a, const M: usize, const R: usize, const T: usize> {
    g: &'a Geometry,
    /// Tiles of one picture, down and across.
    tiles: [usize; 2],
}

impl<'a, const M: usize, const R: usize, const T: usize> Winograd<'a, M, R, T> {
    /// The kernel must have `R` taps for each phase.
    pub(super) fn new(g: &'a Geometry) -> Self {
        assert!(g.kernel == R * g.stride && T == M + R - 1, "F({M}, {R}) does not suit {g:?}");
        Self { g, tiles: [g.small[1].div_ceil(M), g.small[2].div_ceil(M)] }
    }

    /// From the large map to the small one.
    pub(super) fn down(&self, large: Map, weight: &[f32]) -> Vec<f32> {
        let filters = self.filters(weight);
        let inputs = self.inputs(large);
        let mut products = Workspace::new(self.g.small[0] * self.stack());
        multiply(
            Sizes {
                rows: self.g.small[0],
                columns: self.all_tiles(),
                inner: self.channels(),
                ..self.sizes()
            },
            (&mut products, self.map_strides()),
            (&filters, self.filter_strides()),
            (&inputs, self.map_strides()),
        );
        drop((filters, inputs));
        self.outputs(&products)
    }

    /// From the small map to the large one; the adjoint of [`down`](Self::down) in the map.
    pub(super) fn up(&self, small: Map, weight: &[f32]) -> Vec<f32> {
        let filters = self.filters(weight);
        let spread = self.outputs_adjoint(small);
        let mut products = Workspace::new(self.channels() * self.stack());
        multiply(
            Sizes {
                rows: self.channels(),
                columns: self.all_tiles(),
                inner: self.g.small[0],
                ..self.sizes()
            },
            (&mut products, self.map_strides()),
            (&filters, self.filter_strides().transposed()),
            (&spread, self.map_strides()),
        );
        drop((filters, spread));
        self.inputs_adjoint(&products)
    }

    /// The gradient of the weight; the adjoint of [`down`](Self::down) in the weight.
    pub(super) fn weight(&self, large: Map, small: Map) -> Vec<f32> {
        let inputs = self.inputs(large);
        let spread = self.outputs_adjoint(small);
        let mut products = Workspace::new(self.g.small[0] * self.places() * self.channels());
        multiply(
            Sizes {
                rows: self.g.small[0],
                columns: self.channels(),
                inner: self.all_tiles(),
                ..self.sizes()
            },
            (&mut products, self.filter_strides()),
            (&spread, self.map_strides()),
            (&inputs, self.map_strides().transposed()),
        );
        drop((inputs, spread));
        let mut weight = workspace::take(self.g.weight_len());
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

    /// Tiles of all pictures.
    fn all_tiles(&self) -> usize {
        self.g.pictures * self.tiles[0] * self.tiles[1]
    }

    fn sizes(&self) -> Sizes {
        Sizes { count: self.places(), rows: 0, columns: 0, inner: 0 }
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
