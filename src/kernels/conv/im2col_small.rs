//! Deep layers, whose maps have few positions: patches are rows, as rows of a few positions would leave vectors empty.

use rayon::prelude::*;

use super::batched_gemm::{Sizes, Strides, multiply};
use super::feature_map::Map;
use super::geometry::Geometry;
use super::im2col::{Chunk, Positions, inside_of};
use super::skinny_gemm;
use crate::kernels::buffer_pool::Workspace;

/// Positions up to which patches are rows, not columns, on the way up: reading the weights is most of the work.
pub(super) const FEW: usize = 64;

/// The same on the way down, where a sum along each patch is then quicker than sums side by side.
pub(super) const HANDFUL: usize = 4;

/// From the large map of one picture to the small one.
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

/// From the small map to the large one.
pub(super) fn up(g: &Geometry, chunk: &Chunk, small: Map, weight: &[f32], large: &mut [f32]) {
    let (positions, patch) = (chunk.positions(g), g.patch());
    let packed = Positions::new(g, chunk, small);
    let (values, strides) = packed.matrix();
    let patches = skinny_gemm::multiply((values, strides), positions, (weight, patch));
    let taps = g.kernel * g.kernel;
    let [_, height, width] = g.large;
    let planes = chunk.pictures.start * g.large[0] * g.large_plane();
    let count = chunk.pictures.len() * g.large[0] * g.large_plane();
    large[planes..planes + count].par_chunks_mut(g.large_plane()).enumerate().for_each(|(index, plane)| {
        chunk.clear_once(plane);
        let (picture, channel) = (index / g.large[0], index % g.large[0]);
        let first = picture * chunk.picture_positions(g);
        for position in 0..chunk.picture_positions(g) {
            let (row, column) = (chunk.rows.start + position / g.small[2], position % g.small[2]);
            let patch = &patches[(first + position) * patch + channel * taps..][..taps];
            for (ky, patch) in patch.chunks_exact(g.kernel).enumerate() {
                let Some(target) = inside_of(height, row * g.stride + ky, g.padding) else { continue };
                let target = &mut plane[target * width..][..width];
                for (kx, value) in patch.iter().enumerate() {
                    if let Some(place) = inside_of(width, column * g.stride + kx, g.padding) {
                        target[place] += value;
                    }
                }
            }
        }
    });
}

/// The patches as rows, `[positions, C·kernel·kernel]`.
fn gather(g: &Geometry, chunk: &Chunk, large: &[f32]) -> Workspace {
    let mut patches = Workspace::new(chunk.positions(g) * g.patch());
    let [_, height, width] = g.large;
    patches.par_chunks_mut(g.patch()).enumerate().for_each(|(position, patch)| {
        let (picture, position) =
            (position / chunk.picture_positions(g), position % chunk.picture_positions(g));
        let picture = chunk.pictures.start + picture;
        let (row, column) = (chunk.rows.start + position / g.small[2], position % g.small[2]);
        for (channel, taps) in patch.chunks_exact_mut(g.kernel * g.kernel).enumerate() {
            let plane = &large[(picture * g.large[0] + channel) * g.large_plane()..][..g.large_plane()];
            for (ky, taps) in taps.chunks_exact_mut(g.kernel).enumerate() {
                let source = inside_of(height, row * g.stride + ky, g.padding);
                for (kx, tap) in taps.iter_mut().enumerate() {
                    let place = inside_of(width, column * g.stride + kx, g.padding);
                    *tap = match (source, place) {
                        (Some(source), Some(place)) => plane[source * width + place],
                        _ => 0.0,
                    };
                }
            }
        }
    });
    patches
}
