//! Cuts the small map of a convolution into chunks whose patches fit into the CPU's cache.

use std::ops::Range;

use rayon::prelude::*;

use super::batched_gemm::{Strides, pitch};
use super::feature_map::FeatureMap;
use crate::kernels::buffer_pool::Buffer;
use crate::kernels::geometry::Geometry;

/// The largest number of gathered values in memory at a time (32 MiB). Larger maps are processed chunk by chunk.
const MAX_VALUES: usize = 1 << 23;
/// The same limit for small weights (1 MiB): they are cheap to read again, and the patches stay in the CPU's cache.
const MAX_VALUES_SMALL_WEIGHT: usize = 1 << 18;

/// Weights and products with fewer values count as small.
pub(super) const SMALL_PRODUCT: usize = 1 << 16;

/// Some rows of the small map of one image, or all rows of several images.
pub(super) struct Chunk {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Chunk {
    /// Returns the number of positions of the chunk.
    pub(super) fn positions(&self, g: &Geometry) -> usize {
        self.images.len() * self.image_positions(g)
    }

    /// Returns the number of positions of the chunk in each of its images.
    pub(super) fn image_positions(&self, g: &Geometry) -> usize {
        self.rows.len() * g.small[2]
    }

    /// Zeroes a plane of the large map before its first chunk is added.
    pub(super) fn clear_once(&self, plane: &mut [f32]) {
        if self.rows.start == 0 {
            plane.fill(0.0);
        }
    }

    /// Returns the offset of the chunk in the small map, if the chunk is a strided matrix there.
    pub(super) fn start_within_one_image(&self, g: &Geometry) -> Option<usize> {
        let start = self.images.start * g.small[0] * g.small_plane() + self.rows.start * g.small[2];
        (self.images.len() == 1).then_some(start)
    }
}

/// Cuts the small map so that the patches of each chunk fit into [`MAX_VALUES`].
pub(super) fn chunks(g: &Geometry) -> Vec<Chunk> {
    let [_, rows, width] = g.small;
    let max_values = if g.weight_len() < SMALL_PRODUCT { MAX_VALUES_SMALL_WEIGHT } else { MAX_VALUES };
    let fitting = (max_values / (g.patch() * width)).max(1);
    if fitting >= rows {
        let images = fitting / rows;
        let starts = (0..g.images).step_by(images);
        return starts
            .map(|start| Chunk { images: start..(start + images).min(g.images), rows: 0..rows })
            .collect();
    }
    let pieces = |image: usize| {
        let starts = (0..rows).step_by(fitting);
        starts.map(move |start| Chunk { images: image..image + 1, rows: start..(start + fitting).min(rows) })
    };
    (0..g.images).flat_map(pieces).collect()
}

/// The values of a chunk of the small map as a matrix `[O, positions]`, copied only if they do not lie in memory as
/// one.
pub(super) enum Positions<'a> {
    InPlace(&'a [f32], Strides),
    Copied(Buffer, Strides),
}

impl<'a> Positions<'a> {
    pub(super) fn new(g: &Geometry, chunk: &Chunk, small: FeatureMap<'a>) -> Self {
        if let (Some(start), Some(values)) = (chunk.start_within_one_image(g), small.in_place())
            && pitch(g.small_plane()) == g.small_plane()
        {
            return Self::InPlace(&values[start..], Strides::rows(g.small_plane()));
        }
        let (plane, piece) = (g.small_plane(), chunk.image_positions(g));
        let pitch = pitch(chunk.positions(g));
        let mut copy = Buffer::new(g.small[0] * pitch);
        copy.par_chunks_mut(pitch).enumerate().for_each(|(channel, row)| {
            for (row, image) in row.chunks_exact_mut(piece).zip(chunk.images.clone()) {
                let values = &small.plane(plane, image, channel)[chunk.rows.start * g.small[2]..];
                row.copy_from_slice(&values[..piece]);
                small.activate(row);
            }
        });
        Self::Copied(copy, Strides::rows(pitch))
    }

    /// Returns the matrix and its strides.
    pub(super) fn matrix(&self) -> (&[f32], Strides) {
        match self {
            Self::InPlace(values, strides) => (values, *strides),
            Self::Copied(values, strides) => (values, *strides),
        }
    }
}

/// Maps a coordinate of the padded map to the map of `len` values, or returns `None` inside the padding.
pub(super) fn unpad(len: usize, padded: usize, padding: usize) -> Option<usize> {
    padded.checked_sub(padding).filter(|coordinate| *coordinate < len)
}
