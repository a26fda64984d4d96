//! The tiles of a convolution, and the layouts of transformed maps and filters.

use std::ops::Range;

use crate::kernels::conv::batched_gemm::{Sizes, Strides, pitch};
use crate::kernels::geometry::Geometry;

/// The largest number of values of transformed maps in memory at a time (16 MiB), so that they stay in the CPU's cache
/// between the transforms and the products. A larger batch is processed piece by piece.
const MAX_VALUES: usize = 1 << 22;

/// A convolution cut into tiles of `M` by `M` values of the small map: F(`M`, `R`) with tiles of `T` = `M` + `R` − 1.
///
/// A *position* is one of the `T·T` elements of a transformed tile. Each position has its own matrix product.
pub(crate) struct Winograd<'a, const M: usize, const R: usize, const T: usize> {
    pub(super) g: &'a Geometry,
    /// The images of this piece of the batch.
    pub(super) images: Range<usize>,
    /// The number of tiles of one image, down and across.
    pub(super) tiles: [usize; 2],
}

impl<'a, const M: usize, const R: usize, const T: usize> Winograd<'a, M, R, T> {
    /// Cuts a convolution whose kernel has `R` taps for each phase.
    pub(crate) fn new(g: &'a Geometry) -> Self {
        assert!(g.kernel == R * g.stride && T == M + R - 1, "F({M}, {R}) does not suit {g:?}");
        let tiles = [g.small[1].div_ceil(M), g.small[2].div_ceil(M)];
        Self { g, images: 0..g.images, tiles }
    }

    /// Cuts the batch into pieces of at most [`MAX_VALUES`].
    pub(super) fn pieces(&self) -> impl Iterator<Item = Self> + use<'a, M, R, T> {
        let (g, tiles) = (self.g, self.tiles);
        let image = (self.channels() + g.small[0]) * self.positions() * tiles[0] * tiles[1];
        let count = (MAX_VALUES / image).max(1);
        (0..g.images).step_by(count).map(move |start| Self {
            g,
            images: start..(start + count).min(g.images),
            tiles,
        })
    }

    /// Returns the number of channels of all phases of the large map together.
    pub(super) fn channels(&self) -> usize {
        self.g.large[0] * self.g.stride * self.g.stride
    }

    /// Returns the number of positions of a tile.
    pub(super) fn positions(&self) -> usize {
        T * T
    }

    /// Returns the distance from one position to the next within a channel of a transformed map.
    pub(super) fn pitch(&self) -> usize {
        pitch(self.all_tiles())
    }

    /// Returns the number of values of one channel of a transformed map.
    pub(super) fn channel_len(&self) -> usize {
        self.positions() * self.pitch()
    }

    /// Returns the number of tiles of all images of this piece.
    pub(super) fn all_tiles(&self) -> usize {
        self.images.len() * self.tiles[0] * self.tiles[1]
    }

    /// Returns the sizes of the products `[rows, inner]` by `[inner, columns]`, one for each position.
    pub(super) fn sizes(&self, [rows, columns, inner]: [usize; 3], adds: bool) -> Sizes {
        Sizes { count: self.positions(), rows, columns, inner, adds }
    }

    /// Returns the layout of transformed maps, `[channels, positions, tiles]`: a thread fills one channel at a time.
    pub(super) fn map_strides(&self) -> Strides {
        Strides { stack: self.pitch(), row: self.channel_len(), column: 1 }
    }

    /// Returns the layout of transformed filters, `[O, positions, channels]`.
    pub(super) fn filter_strides(&self) -> Strides {
        Strides { stack: self.channels(), row: self.positions() * self.channels(), column: 1 }
    }
}
