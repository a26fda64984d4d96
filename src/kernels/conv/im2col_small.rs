//! im2col for the small maps of deep layers: one row per position instead of one column. Columns of a few positions
//! would not fill a SIMD register.

use rayon::prelude::*;

use super::batched_gemm::{Sizes, Strides, multiply};
use super::chunks::{Chunk, Positions, unpad};
use super::feature_map::FeatureMap;
use super::skinny_gemm;
use crate::kernels::buffer_pool::Buffer;
use crate::kernels::geometry::Geometry;

/// The largest number of positions for which [`up`] is faster than im2col: reading the weight is most of the work.
pub(super) const MAX_POSITIONS_UP: usize = 64;

/// The largest number of positions for which [`down`] is faster than im2col: there, dot products along each patch beat
/// sums across positions.
pub(super) const MAX_POSITIONS_DOWN: usize = 4;

/// Computes the small map of one image from the large one.
pub(super) fn down(g: &Geometry, chunk: &Chunk, large: &[f32], weight: &[f32], small: &mut [f32]) {
    let (positions, patch) = (chunk.positions(g), g.patch());
    let patches = gather(g, chunk, large);
    multiply(
        Sizes { count: 1, rows: g.small[0], columns: positions, inner: patch, adds: false },
        (small, Strides::rows(positions)),
        (weight, Strides::rows(patch)),
        (&patches, Strides::rows(patch).transposed()),
    );
}

/// Computes the large map from the small one.
pub(super) fn up(g: &Geometry, chunk: &Chunk, small: FeatureMap, weight: &[f32], large: &mut [f32]) {
    let (positions, patch) = (chunk.positions(g), g.patch());
    let packed = Positions::new(g, chunk, small);
    let (values, strides) = packed.matrix();
    let patches = skinny_gemm::multiply((values, strides), positions, (weight, patch));
    let taps = g.kernel * g.kernel;
    let [_, height, width] = g.large;
    let planes = chunk.images.start * g.large[0] * g.large_plane();
    let count = chunk.images.len() * g.large[0] * g.large_plane();
    large[planes..planes + count].par_chunks_mut(g.large_plane()).enumerate().for_each(|(index, plane)| {
        chunk.clear_once(plane);
        let (image, channel) = (index / g.large[0], index % g.large[0]);
        let first = image * chunk.image_positions(g);
        for position in 0..chunk.image_positions(g) {
            let (row, column) = (chunk.rows.start + position / g.small[2], position % g.small[2]);
            let patch = &patches[(first + position) * patch + channel * taps..][..taps];
            for (ky, patch) in patch.chunks_exact(g.kernel).enumerate() {
                let Some(target) = unpad(height, row * g.stride + ky, g.padding) else { continue };
                let target = &mut plane[target * width..][..width];
                for (kx, value) in patch.iter().enumerate() {
                    if let Some(x) = unpad(width, column * g.stride + kx, g.padding) {
                        target[x] += value;
                    }
                }
            }
        }
    });
}

/// Returns the patches as rows, `[positions, C·kernel·kernel]`.
fn gather(g: &Geometry, chunk: &Chunk, large: &[f32]) -> Buffer {
    let mut patches = Buffer::new(chunk.positions(g) * g.patch());
    let [_, height, width] = g.large;
    patches.par_chunks_mut(g.patch()).enumerate().for_each(|(position, patch)| {
        let (image, position) = (position / chunk.image_positions(g), position % chunk.image_positions(g));
        let image = chunk.images.start + image;
        let (row, column) = (chunk.rows.start + position / g.small[2], position % g.small[2]);
        for (channel, taps) in patch.chunks_exact_mut(g.kernel * g.kernel).enumerate() {
            let plane = &large[(image * g.large[0] + channel) * g.large_plane()..][..g.large_plane()];
            for (ky, taps) in taps.chunks_exact_mut(g.kernel).enumerate() {
                let source = unpad(height, row * g.stride + ky, g.padding);
                for (kx, tap) in taps.iter_mut().enumerate() {
                    let x = unpad(width, column * g.stride + kx, g.padding);
                    *tap = match (source, x) {
                        (Some(source), Some(x)) => plane[source * width + x],
                        _ => 0.0,
                    };
                }
            }
        }
    });
    patches
}
