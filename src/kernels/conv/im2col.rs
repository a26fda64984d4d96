//! Convolutions as one matrix product over gathered patches (im2col): right for every shape.
//!
//! A column holds the patch of the large map that one position of the small map sees. Weights are used as they lie in
//! memory: a row of `[O, C·kernel·kernel]` is one filter.

use std::ops::Range;

use rayon::prelude::*;

use super::batched_gemm::{Sizes, Strides, multiply, pitch};
use super::feature_map::Map;
use super::geometry::Geometry;
use super::im2col_small;
use crate::kernels::buffer_pool::{self, Workspace};

/// Values of gathered patches held at a time (32 MiB); larger maps are done piece by piece.
const COLUMNS: usize = 1 << 23;
/// The same where the weight is so small that reading it again costs nothing (1 MiB): they stay in the cache.
const THIN_COLUMNS: usize = 1 << 18;

/// Matrices below this size are too few tasks for the threads: their sums are cut into pieces.
const SMALL_PRODUCT: usize = 1 << 16;

/// From the large map to the small one.
pub(super) fn down(g: &Geometry, large: Map, weight: &[f32]) -> Vec<f32> {
    let large = large.settle(g.large_plane());
    let mut small = buffer_pool::take(g.small_len());
    for chunk in chunks(g) {
        let positions = chunk.positions(g);
        if g.pictures == 1 && g.small_plane() <= im2col_small::HANDFUL {
            im2col_small::down(g, &chunk, &large, weight, &mut small);
            continue;
        }
        let pitch = pitch(positions);
        let mut columns = Workspace::new(g.patch() * pitch);
        gather(g, &chunk, &large, &mut columns);
        let sizes = Sizes { count: 1, rows: g.small[0], columns: positions, inner: g.patch(), adds: false };
        let weight = (weight, Strides::rows(g.patch()));
        let columns = (&columns[..], Strides::rows(pitch));
        if let Some(start) = chunk.start_within_one_picture(g) {
            multiply(sizes, (&mut small[start..], Strides::rows(g.small_plane())), weight, columns);
        } else {
            let mut product = Workspace::new(g.small[0] * positions);
            multiply(sizes, (&mut product, Strides::rows(positions)), weight, columns);
            exchange(g, &chunk, &product, &mut small);
        }
    }
    small
}

/// From the small map to the large one; the adjoint of [`down`] in the map.
pub(super) fn up(g: &Geometry, small: Map, weight: &[f32]) -> Vec<f32> {
    let mut large = buffer_pool::take(g.large_len());
    for chunk in chunks(g) {
        let positions = chunk.positions(g);
        if positions <= im2col_small::FEW {
            im2col_small::up(g, &chunk, small, weight, &mut large);
            continue;
        }
        let pitch = pitch(positions);
        let mut columns = Workspace::new(g.patch() * pitch);
        let sizes = Sizes { count: 1, rows: g.patch(), columns: positions, inner: g.small[0], adds: false };
        let out = (&mut columns[..], Strides::rows(pitch));
        let weight = (weight, Strides::rows(g.patch()).transposed());
        let packed = Positions::new(g, &chunk, small);
        multiply(sizes, out, weight, packed.matrix());
        scatter(g, &chunk, &columns, &mut large);
    }
    large
}

/// The place without its padding, unless it lies there.
pub(super) fn inside_of(len: usize, place: usize, padding: usize) -> Option<usize> {
    place.checked_sub(padding).filter(|place| *place < len)
}

/// The gradient of the weight; the adjoint of [`down`] in the weight.
pub(super) fn weight(g: &Geometry, large: Map, small: Map) -> Vec<f32> {
    let large = large.settle(g.large_plane());
    let mut weight = buffer_pool::take(g.weight_len());
    for (index, chunk) in chunks(g).into_iter().enumerate() {
        let positions = chunk.positions(g);
        let pitch = pitch(positions);
        let mut columns = Workspace::new(g.patch() * pitch);
        gather(g, &chunk, &large, &mut columns);
        let packed = Positions::new(g, &chunk, small);
        let (values, strides) = packed.matrix();
        // Where the weight is small and the map is large, each piece of the map gives a weight, summed in order.
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
        let mut product = Workspace::new(pieces * g.weight_len());
        multiply(sizes, (&mut product, out_strides), a, b);
        for piece in product.chunks(g.weight_len()) {
            let parts = weight.par_chunks_mut(SMALL_PRODUCT).zip(piece.par_chunks(SMALL_PRODUCT));
            parts.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
        }
    }
    weight
}

/// The largest divisor of `value` up to `limit`.
fn divisor_up_to(value: usize, limit: usize) -> usize {
    (1..=limit).rev().find(|divisor| value.is_multiple_of(*divisor)).unwrap_or(1)
}

/// Some rows of the small map: of one picture, or all rows of several.
pub(super) struct Chunk {
    pub(super) pictures: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Chunk {
    pub(super) fn positions(&self, g: &Geometry) -> usize {
        self.pictures.len() * self.picture_positions(g)
    }

    pub(super) fn picture_positions(&self, g: &Geometry) -> usize {
        self.rows.len() * g.small[2]
    }

    /// Zeros a plane of the large map before its first chunk is added to it.
    pub(super) fn clear_once(&self, plane: &mut [f32]) {
        if self.rows.start == 0 {
            plane.fill(0.0);
        }
    }

    /// Where the chunk begins in the small map, if a matrix can lie there as it is.
    fn start_within_one_picture(&self, g: &Geometry) -> Option<usize> {
        let start = self.pictures.start * g.small[0] * g.small_plane() + self.rows.start * g.small[2];
        (self.pictures.len() == 1).then_some(start)
    }
}

/// Cuts the small map so that the patches of each piece fit into [`COLUMNS`] values, or [`THIN_COLUMNS`].
fn chunks(g: &Geometry) -> Vec<Chunk> {
    let [_, rows, width] = g.small;
    let held = if g.weight_len() < SMALL_PRODUCT { THIN_COLUMNS } else { COLUMNS };
    let fitting = (held / (g.patch() * width)).max(1);
    if fitting >= rows {
        let pictures = fitting / rows;
        let starts = (0..g.pictures).step_by(pictures);
        return starts
            .map(|start| Chunk { pictures: start..(start + pictures).min(g.pictures), rows: 0..rows })
            .collect();
    }
    let pieces = |picture: usize| {
        let starts = (0..rows).step_by(fitting);
        starts.map(move |start| Chunk {
            pictures: picture..picture + 1,
            rows: start..(start + fitting).min(rows),
        })
    };
    (0..g.pictures).flat_map(pieces).collect()
}

/// The values of a chunk of the small map as a matrix `[O, positions]`.
pub(super) enum Positions<'a> {
    InPlace(&'a [f32], Strides),
    Copied(Workspace, Strides),
}

impl<'a> Positions<'a> {
    pub(super) fn new(g: &Geometry, chunk: &Chunk, small: Map<'a>) -> Self {
        if let (Some(start), Some(values)) = (chunk.start_within_one_picture(g), small.in_place())
            && pitch(g.small_plane()) == g.small_plane()
        {
            return Self::InPlace(&values[start..], Strides::rows(g.small_plane()));
        }
        let (plane, piece) = (g.small_plane(), chunk.picture_positions(g));
        let pitch = pitch(chunk.positions(g));
        let mut copy = Workspace::new(g.small[0] * pitch);
        copy.par_chunks_mut(pitch).enumerate().for_each(|(channel, row)| {
            for (place, picture) in row.chunks_exact_mut(piece).zip(chunk.pictures.clone()) {
                let values = &small.plane(plane, picture, channel)[chunk.rows.start * g.small[2]..];
                place.copy_from_slice(&values[..piece]);
                small.rectify(place);
            }
        });
        Self::Copied(copy, Strides::rows(pitch))
    }

    pub(super) fn matrix(&self) -> (&[f32], Strides) {
        match self {
            Self::InPlace(values, strides) => (values, *strides),
            Self::Copied(values, strides) => (values, *strides),
        }
    }
}

/// Copies a product `[O, pictures·h·w]` into the small map `[N, O, h, w]`.
fn exchange(g: &Geometry, chunk: &Chunk, product: &[f32], small: &mut [f32]) {
    let (plane, positions) = (g.small_plane(), chunk.positions(g));
    let first = chunk.pictures.start * g.small[0] * plane;
    let count = chunk.pictures.len() * g.small[0] * plane;
    small[first..first + count].par_chunks_mut(plane).enumerate().for_each(|(index, place)| {
        let (picture, channel) = (index / g.small[0], index % g.small[0]);
        place.copy_from_slice(&product[channel * positions + picture * plane..][..plane]);
    });
}

/// The part of a row of the small map whose tap `k` lies inside a row of `len` values, and where it begins there.
fn inside(g: &Geometry, k: usize, width: usize, len: usize) -> (Range<usize>, usize) {
    let first = g.padding.saturating_sub(k).div_ceil(g.stride);
    let end = (len + g.padding).saturating_sub(k).div_ceil(g.stride).min(width);
    (first..end.max(first), (first * g.stride + k).saturating_sub(g.padding))
}

/// The row of the large map that tap `k` of row `row` of the small map sees, unless it lies in the padding.
fn source_row(g: &Geometry, row: usize, k: usize) -> Option<usize> {
    inside_of(g.large[1], row * g.stride + k, g.padding)
}

/// Fills `columns`, `[C·kernel·kernel, positions]`.
fn gather(g: &Geometry, chunk: &Chunk, large: &[f32], columns: &mut [f32]) {
    let (taps, positions, width) = (g.kernel * g.kernel, chunk.positions(g), g.small[2]);
    columns.par_chunks_mut(pitch(positions)).enumerate().for_each(|(index, column)| {
        let (channel, ky, kx) = (index / taps, index % taps / g.kernel, index % g.kernel);
        let (within, start) = inside(g, kx, width, g.large[2]);
        let mut places = column[..positions].chunks_mut(width);
        for picture in chunk.pictures.clone() {
            let plane = &large[(picture * g.large[0] + channel) * g.large_plane()..][..g.large_plane()];
            for (row, place) in chunk.rows.clone().zip(&mut places) {
                let Some(source) = source_row(g, row, ky).filter(|_| !within.is_empty()) else {
                    place.fill(0.0);
                    continue;
                };
                let source = &plane[source * g.large[2] + start..];
                place[..within.start].fill(0.0);
                place[within.end..].fill(0.0);
                let place = &mut place[within.clone()];
                match g.stride {
                    1 => place.copy_from_slice(&source[..within.len()]),
                    2 => place.iter_mut().zip(source.chunks(2)).for_each(|(place, pair)| *place = pair[0]),
                    stride => place
                        .iter_mut()
                        .zip(source.iter().step_by(stride))
                        .for_each(|(place, value)| *place = *value),
                }
            }
        }
    });
}

/// Adds `columns`, `[C·kernel·kernel, positions]`, to the places they were gathered from.
fn scatter(g: &Geometry, chunk: &Chunk, columns: &[f32], large: &mut [f32]) {
    let (taps, positions, width) = (g.kernel * g.kernel, chunk.positions(g), g.small[2]);
    let planes = chunk.pictures.start * g.large[0]..chunk.pictures.end * g.large[0];
    let (start, end) = (planes.start * g.large_plane(), planes.end * g.large_plane());
    large[start..end].par_chunks_mut(g.large_plane()).enumerate().for_each(|(index, plane)| {
        chunk.clear_once(plane);
        let (picture, channel) = (index / g.large[0], index % g.large[0]);
        for tap in 0..taps {
            let (ky, kx) = (tap / g.kernel, tap % g.kernel);
            let (within, start) = inside(g, kx, width, g.large[2]);
            if within.is_empty() {
                continue;
            }
            let column = &columns[(channel * taps + tap) * pitch(positions)..][..positions];
            let column = &column[picture * chunk.picture_positions(g)..];
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
