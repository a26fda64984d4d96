//! Convolutions as one matrix product over gathered patches (im2col), for every shape.
//!
//! A column holds the patch of the large map that one position of the small map depends on. The weight needs no copy: a
//! row of `[O, C·kernel·kernel]` is one filter.

use std::ops::Range;

use rayon::prelude::*;

use super::batched_gemm::{Sizes, Strides, multiply, pitch};
use super::chunks::{Chunk, Positions, SMALL_PRODUCT, chunks, unpad};
use super::feature_map::FeatureMap;
use super::im2col_small;
use crate::kernels::buffer_pool::{self, Buffer};
use crate::kernels::geometry::Geometry;

/// Computes the small map from the large one.
pub(super) fn down(g: &Geometry, large: FeatureMap, weight: &[f32]) -> Vec<f32> {
    let large = large.materialize(g.large_plane());
    let mut small = buffer_pool::take(g.small_len());
    for chunk in chunks(g) {
        let positions = chunk.positions(g);
        if g.images == 1 && g.small_plane() <= im2col_small::MAX_POSITIONS_DOWN {
            im2col_small::down(g, &chunk, &large, weight, &mut small);
            continue;
        }
        let pitch = pitch(positions);
        let mut columns = Buffer::new(g.patch() * pitch);
        gather(g, &chunk, &large, &mut columns);
        let sizes = Sizes { count: 1, rows: g.small[0], columns: positions, inner: g.patch(), adds: false };
        let weight = (weight, Strides::rows(g.patch()));
        let columns = (&columns[..], Strides::rows(pitch));
        if let Some(start) = chunk.start_within_one_image(g) {
            multiply(sizes, (&mut small[start..], Strides::rows(g.small_plane())), weight, columns);
        } else {
            let mut product = Buffer::new(g.small[0] * positions);
            multiply(sizes, (&mut product, Strides::rows(positions)), weight, columns);
            to_image_major(g, &chunk, &product, &mut small);
        }
    }
    small
}

/// Computes the large map from the small one: the adjoint of [`down`] with respect to the map.
pub(super) fn up(g: &Geometry, small: FeatureMap, weight: &[f32]) -> Vec<f32> {
    let mut large = buffer_pool::take(g.large_len());
    for chunk in chunks(g) {
        let positions = chunk.positions(g);
        if positions <= im2col_small::MAX_POSITIONS_UP {
            im2col_small::up(g, &chunk, small, weight, &mut large);
            continue;
        }
        let pitch = pitch(positions);
        let mut columns = Buffer::new(g.patch() * pitch);
        let sizes = Sizes { count: 1, rows: g.patch(), columns: positions, inner: g.small[0], adds: false };
        let out = (&mut columns[..], Strides::rows(pitch));
        let weight = (weight, Strides::rows(g.patch()).transposed());
        let packed = Positions::new(g, &chunk, small);
        multiply(sizes, out, weight, packed.matrix());
        scatter(g, &chunk, &columns, &mut large);
    }
    large
}

/// Computes the gradient of the weight: the adjoint of [`down`] with respect to the weight.
pub(super) fn weight(g: &Geometry, large: FeatureMap, small: FeatureMap) -> Vec<f32> {
    let large = large.materialize(g.large_plane());
    let mut weight = buffer_pool::take(g.weight_len());
    for (index, chunk) in chunks(g).into_iter().enumerate() {
        let positions = chunk.positions(g);
        let pitch = pitch(positions);
        let mut columns = Buffer::new(g.patch() * pitch);
        gather(g, &chunk, &large, &mut columns);
        let packed = Positions::new(g, &chunk, small);
        let (values, strides) = packed.matrix();
        // A small product has too few tasks for the threads. So the map is cut into pieces. Each piece gives
        // a partial gradient, and these are added in order.
        let pieces = if g.weight_len() < SMALL_PRODUCT { divisor_up_to(positions, 16) } else { 1 };
        let inner = positions / pieces;
        let sizes = Sizes { count: pieces, rows: g.small[0], columns: g.patch(), inner, adds: false };
        let stacked = |strides: Strides| Strides { stack: inner, ..strides };
        let a = (values, stacked(strides));
        let b = (&columns[..], stacked(Strides::rows(pitch).transposed()));
        let out_strides = Strides { stack: g.weight_len(), ..Strides::rows(g.patch()) };
        if index == 0 && pieces == 1 {
            multiply(sizes, (&mut weight, out_strides), a, b);
            continue;
        }
        if index == 0 {
            weight.fill(0.0);
        }
        let mut product = Buffer::new(pieces * g.weight_len());
        multiply(sizes, (&mut product, out_strides), a, b);
        for piece in product.chunks(g.weight_len()) {
            let parts = weight.par_chunks_mut(SMALL_PRODUCT).zip(piece.par_chunks(SMALL_PRODUCT));
            parts.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        }
    }
    weight
}

/// Returns the largest divisor of `value` up to `limit`.
fn divisor_up_to(value: usize, limit: usize) -> usize {
    (1..=limit).rev().find(|divisor| value.is_multiple_of(*divisor)).unwrap_or(1)
}

/// Copies a product `[O, images·h·w]` into the small map `[N, O, h, w]`.
fn to_image_major(g: &Geometry, chunk: &Chunk, product: &[f32], small: &mut [f32]) {
    let (plane, positions) = (g.small_plane(), chunk.positions(g));
    let first = chunk.images.start * g.small[0] * plane;
    let count = chunk.images.len() * g.small[0] * plane;
    small[first..first + count].par_chunks_mut(plane).enumerate().for_each(|(index, out)| {
        let (image, channel) = (index / g.small[0], index % g.small[0]);
        out.copy_from_slice(&product[channel * positions + image * plane..][..plane]);
    });
}

/// Returns the positions in a row of the small map whose tap `k` lies inside a row of `len` values, and the coordinate
/// of the first of these taps.
fn taps_inside(g: &Geometry, k: usize, width: usize, len: usize) -> (Range<usize>, usize) {
    let first = g.padding.saturating_sub(k).div_ceil(g.stride);
    let end = (len + g.padding).saturating_sub(k).div_ceil(g.stride).min(width);
    (first..end.max(first), (first * g.stride + k).saturating_sub(g.padding))
}

/// Returns the row of the large map that tap `k` of row `row` of the small map reads, or `None` inside the padding.
fn source_row(g: &Geometry, row: usize, k: usize) -> Option<usize> {
    unpad(g.large[1], row * g.stride + k, g.padding)
}

/// Fills `columns`, `[C·kernel·kernel, positions]`, with the patches of the large map.
fn gather(g: &Geometry, chunk: &Chunk, large: &[f32], columns: &mut [f32]) {
    let (taps, positions, width) = (g.kernel * g.kernel, chunk.positions(g), g.small[2]);
    columns.par_chunks_mut(pitch(positions)).enumerate().for_each(|(index, column)| {
        let (channel, ky, kx) = (index / taps, index % taps / g.kernel, index % g.kernel);
        let (within, start) = taps_inside(g, kx, width, g.large[2]);
        let mut rows = column[..positions].chunks_mut(width);
        for image in chunk.images.clone() {
            let plane = &large[(image * g.large[0] + channel) * g.large_plane()..][..g.large_plane()];
            for (row, out) in chunk.rows.clone().zip(&mut rows) {
                let Some(source) = source_row(g, row, ky).filter(|_| !within.is_empty()) else {
                    out.fill(0.0);
                    continue;
                };
                let source = &plane[source * g.large[2] + start..];
                out[..within.start].fill(0.0);
                out[within.end..].fill(0.0);
                let out = &mut out[within.clone()];
                match g.stride {
                    1 => out.copy_from_slice(&source[..within.len()]),
                    2 => out.iter_mut().zip(source.chunks(2)).for_each(|(out, pair)| *out = pair[0]),
                    stride => out
                        .iter_mut()
                        .zip(source.iter().step_by(stride))
                        .for_each(|(out, value)| *out = *value),
                }
            }
        }
    });
}

/// Adds `columns`, `[C·kernel·kernel, positions]`, to the patches of the large map: the adjoint of [`gather`].
fn scatter(g: &Geometry, chunk: &Chunk, columns: &[f32], large: &mut [f32]) {
    let (taps, positions, width) = (g.kernel * g.kernel, chunk.positions(g), g.small[2]);
    let planes = chunk.images.start * g.large[0]..chunk.images.end * g.large[0];
    let (start, end) = (planes.start * g.large_plane(), planes.end * g.large_plane());
    large[start..end].par_chunks_mut(g.large_plane()).enumerate().for_each(|(index, plane)| {
        chunk.clear_once(plane);
        let (image, channel) = (index / g.large[0], index % g.large[0]);
        for tap in 0..taps {
            let (ky, kx) = (tap / g.kernel, tap % g.kernel);
            let (within, start) = taps_inside(g, kx, width, g.large[2]);
            if within.is_empty() {
                continue;
            }
            let column = &columns[(channel * taps + tap) * pitch(positions)..][..positions];
            let column = &column[image * chunk.image_positions(g)..];
            for (row, values) in chunk.rows.clone().zip(column.chunks(width)) {
                let Some(target) = source_row(g, row, ky) else { continue };
                let target = &mut plane[target * g.large[2] + start..(target + 1) * g.large[2]];
                let values = &values[within.clone()];
                match g.stride {
                    1 => target.iter_mut().zip(values).for_each(|(target, value)| *target += value),
                    2 => target.chunks_mut(2).zip(values).for_each(|(pair, value)| pair[0] += value),
                    stride => target
                        .iter_mut()
                        .step_by(stride)
                        .zip(values)
                        .for_each(|(target, value)| *target += value),
                }
            }
        }
    });
}
