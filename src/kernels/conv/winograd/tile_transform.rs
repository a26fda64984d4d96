//! Feature maps to transformed tiles and back.
//!
//! Rows are taken apart into planes, so that neighbouring tiles lie next to each other: with `M` outputs a tile,
//! plane `r` holds the values `r`, `M + r`, `2·M + r`, … of a row.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrices::Transform;
use super::simd::{accumulate, apply, each, load, store};
use super::strided::{put_every, take_every};
use super::{Map, Winograd, Workspace};

/// Rows of one line of tiles, before and after the first of the two passes.
struct Scratch {
    rows: Vec<f32>,
    halves: Vec<f32>,
}

/// One channel's share of a transform.
struct Share<'a, const M: usize, const R: usize, const T: usize> {
    winograd: &'a Winograd<'a, M, R, T>,
    direction: Direction<'a>,
    /// Of the channel, or of picture and channel.
    index: usize,
    to: &'a mut [f32],
    scratch: &'a mut Scratch,
}

/// What is computed, and from what.
#[derive(Clone, Copy)]
enum Direction<'a> {
    Inputs(Map<'a>),
    InputsAdjoint(&'a [f32]),
    Outputs(&'a [f32]),
    OutputsAdjoint(Map<'a>),
}

impl<const M: usize, const R: usize, const T: usize> Winograd<'_, M, R, T> {
    /// Bᵀ·d·B of every tile of the large map, `[stride²·C, places, tiles]`.
    pub(super) fn inputs(&self, large: Map) -> Workspace {
        let mut tiles = Workspace::new(self.channels() * self.stack());
        self.transform(Direction::Inputs(large), &mut tiles, self.stack());
        tiles
    }

    /// The transpose of [`inputs`](Self::inputs): overlapping tiles are added up.
    pub(super) fn inputs_adjoint(&self, tiles: &[f32], large: &mut [f32]) {
        let picture = self.g.large[0] * self.g.large_plane();
        let large = &mut large[self.pictures.start * picture..self.pictures.end * picture];
        self.transform(Direction::InputsAdjoint(tiles), large, self.g.large_plane());
    }

    /// The small map from products `[O, places, tiles]`.
    pub(super) fn outputs(&self, products: &[f32], small: &mut [f32]) {
        let picture = self.g.small[0] * self.g.small_plane();
        let small = &mut small[self.pictures.start * picture..self.pictures.end * picture];
        self.transform(Direction::Outputs(products), small, self.g.small_plane());
    }

    /// The transpose of [`outputs`](Self::outputs), `[O, places, tiles]`.
    pub(super) fn outputs_adjoint(&self, small: Map) -> Workspace {
        let mut tiles = Workspace::new(self.g.small[0] * self.stack());
        self.transform(Direction::OutputsAdjoint(small), &mut tiles, self.stack());
        tiles
    }

    /// Fills `to` piece by piece, each of which is one channel's.
    fn transform(&self, direction: Direction, to: &mut [f32], piece: usize) {
        let arch = pulp::Arch::new();
        // A load or store near the end may reach further than the last row.
        let buffer = || vec![0.0; (T + 1) * self.row_len()];
        to.par_chunks_mut(piece).enumerate().for_each_init(
            || Scratch { rows: buffer(), halves: buffer() },
            |scratch, (index, to)| arch.dispatch(Share { winograd: self, direction, index, to, scratch }),
        );
    }

    /// Values of a plane: one for each tile across, and those that the last tile reaches beyond.
    fn plane_len(&self) -> usize {
        self.tiles[1] + (T - 1) / M
    }

    /// Room for the `M` planes of one row, in whole registers.
    fn row_len(&self) -> usize {
        const WIDEST: usize = 16;
        M * self.plane_len().next_multiple_of(WIDEST)
    }

    /// Where place (`i`, `j`) of a line of tiles lies within one channel; pictures count from the first worked on.
    #[inline(always)]
    fn line(&self, picture: usize, down: usize, i: usize, j: usize) -> std::ops::Range<usize> {
        let start = (i * T + j) * self.pitch() + (picture * self.tiles[0] + down) * self.tiles[1];
        start..start + self.tiles[1]
    }

    /// Row `row` of a phase as a row of the large map, unless it lies in the padding.
    #[inline(always)]
    fn source_row(&self, phase: usize, row: usize) -> Option<usize> {
        let row = (row * self.g.stride + phase / self.g.stride).checked_sub(self.g.padding)?;
        (row < self.g.large[1]).then_some(row)
    }

    /// Where plane `r` of a phase begins in a row of the large map.
    #[inline(always)]
    fn source_start(&self, phase: usize, r: usize) -> isize {
        (self.g.stride * r + phase % self.g.stride) as isize - self.g.padding as isize
    }
}

impl<const M: usize, const R: usize, const T: usize> WithSimd for Share<'_, M, R, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.direction {
            Direction::Inputs(large) => self.inputs(simd, large),
            Direction::InputsAdjoint(tiles) => self.inputs_adjoint(simd, tiles),
            Direction::Outputs(products) => self.outputs(simd, products),
            Direction::OutputsAdjoint(small) => self.outputs_adjoint(simd, small),
        }
    }
}

impl<const M: usize, const R: usize, const T: usize> Share<'_, M, R, T> {
    #[inline(always)]
    fn inputs<S: Simd>(self, simd: S, large: Map) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (phase, channel) = (self.index / g.large[0], self.index % g.large[0]);
        let (plane, len) = (w.plane_len(), w.row_len());
        let Scratch { rows, halves } = self.scratch;
        for picture in 0..w.pictures.len() {
            let map = large.plane(g.large_plane(), w.pictures.start + picture, channel);
            for down in 0..w.tiles[0] {
                for (i, row) in rows.chunks_exact_mut(len).take(T).enumerate() {
                    match w.source_row(phase, down * M + i) {
                        Some(source) => {
                            let source = &map[source * g.large[2]..][..g.large[2]];
                            for (r, out) in row.chunks_exact_mut(plane).take(M).enumerate() {
                                take_every(g.stride * M, w.source_start(phase, r), source, out);
                            }
                            large.rectify(&mut row[..M * plane]);
                        }
                        None => row.fill(0.0),
                    }
                }
                for x in (0..M * plane).step_by(S::F32_LANES) {
                    let rows = each::<S, T>(simd, |k| load(simd, rows, k * len + x));
                    let half = apply(simd, &Transform::<M, R, T>::INPUT, rows);
                    (0..T).for_each(|i| store(simd, halves, i * len + x, half[i]));
                }
                for i in 0..T {
                    for x in (0..w.tiles[1]).step_by(S::F32_LANES) {
                        let half =
                            each::<S, T>(simd, |k| load(simd, halves, i * len + k % M * plane + k / M + x));
                        let full = apply(simd, &Transform::<M, R, T>::INPUT, half);
                        (0..T)
                            .for_each(|j| store(simd, &mut self.to[w.line(picture, down, i, j)], x, full[j]));
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn inputs_adjoint<S: Simd>(self, simd: S, tiles: &[f32]) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (picture, channel) = (self.index / g.large[0], self.index % g.large[0]);
        let (plane, len) = (w.plane_len(), w.row_len());
        let Scratch { rows, halves } = self.scratch;
        // Values that no tile reaches stay zero.
        self.to.fill(0.0);
        for phase in 0..g.stride * g.stride {
            let tiles = &tiles[(phase * g.large[0] + channel) * w.stack()..][..w.stack()];
            let mut put = |row: usize, values: &[f32]| {
                if let Some(target) = w.source_row(phase, row) {
                    let target = &mut self.to[target * g.large[2]..][..g.large[2]];
                    for (r, values) in values.chunks_exact(plane).take(M).enumerate() {
                        put_every(g.stride * M, w.source_start(phase, r), target, values);
                    }
                }
            };
            // A line of tiles gives T rows. The last R − 1 are complete only with those of the next line.
            rows.fill(0.0);
            for down in 0..w.tiles[0] {
                halves.fill(0.0);
                for i in 0..T {
                    for x in (0..w.tiles[1]).step_by(S::F32_LANES) {
                        let full = each::<S, T>(simd, |k| load(simd, &tiles[w.line(picture, down, i, k)], x));
                        let half = apply(simd, &Transform::<M, R, T>::INPUT_TRANSPOSED, full);
                        for j in 0..T {
                            accumulate(simd, halves, i * len + j % M * plane + j / M + x, half[j]);
                        }
                    }
                }
                for x in (0..M * plane).step_by(S::F32_LANES) {
                    let half = each::<S, T>(simd, |k| load(simd, halves, k * len + x));
                    let full = apply(simd, &Transform::<M, R, T>::INPUT_TRANSPOSED, half);
                    for i in 0..T {
                        if i < R - 1 {
                            accumulate(simd, rows, i * len + x, full[i]);
                        } else {
                            store(simd, rows, i * len + x, full[i]);
                        }
                    }
                }
                (0..M).for_each(|i| put(down * M + i, &rows[i * len..][..len]));
                rows.copy_within(M * len..T * len, 0);
            }
            (0..R - 1).for_each(|i| put(w.tiles[0] * M + i, &rows[i * len..][..len]));
        }
    }

    #[inline(always)]
    fn outputs<S: Simd>(self, simd: S, products: &[f32]) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (picture, channel) = (self.index / g.small[0], self.index % g.small[0]);
        let products = &products[channel * w.stack()..][..w.stack()];
        let (across, len) = (w.tiles[1], w.row_len());
        let width = across.next_multiple_of(S::F32_LANES);
        let Scratch { rows, halves } = self.scratch;
        for down in 0..w.tiles[0] {
            for i in 0..T {
                for x in (0..across).step_by(S::F32_LANES) {
                    let full = each::<S, T>(simd, |k| load(simd, &products[w.line(picture, down, i, k)], x));
                    let half = apply(simd, &Transform::<M, R, T>::OUTPUT_TRANSPOSED, full);
                    (0..M).for_each(|j| store(simd, halves, i * len + j * width + x, half[j]));
                }
            }
            for x in (0..M * width).step_by(S::F32_LANES) {
                let half = each::<S, T>(simd, |k| load(simd, halves, k * len + x));
                let full = apply(simd, &Transform::<M, R, T>::OUTPUT_TRANSPOSED, half);
                (0..M).for_each(|i| store(simd, rows, i * len + x, full[i]));
            }
            let targets = self.to.chunks_exact_mut(g.small[2]).skip(down * M).take(M);
            for (target, row) in targets.zip(rows.chunks_exact(len)) {
                (0..M).for_each(|j| put_every(M, j as isize, target, &row[j * width..][..across]));
            }
        }
    }

    #[inline(always)]
    fn outputs_adjoint<S: Simd>(self, simd: S, small: Map) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (across, len) = (w.tiles[1], w.row_len());
        let width = across.next_multiple_of(S::F32_LANES);
        let Scratch { rows, halves } = self.scratch;
        for picture in 0..w.pictures.len() {
            let map = small.plane(g.small_plane(), w.pictures.start + picture, self.index);
            for down in 0..w.tiles[0] {
                for (i, row) in rows.chunks_exact_mut(len).take(M).enumerate() {
                    match map.chunks_exact(g.small[2]).nth(down * M + i) {
                        Some(source) => {
                            let planes = row.chunks_exact_mut(width).take(M).enumerate();
                            planes.for_each(|(j, out)| take_every(M, j as isize, source, out));
                            small.rectify(&mut row[..M * width]);
                        }
                        None => row.fill(0.0),
                    }
                }
                for x in (0..M * width).step_by(S::F32_LANES) {
                    let full = each::<S, M>(simd, |k| load(simd, rows, k * len + x));
                    let half = apply(simd, &Transform::<M, R, T>::OUTPUT, full);
                    (0..T).for_each(|i| store(simd, halves, i * len + x, half[i]));
                }
                for i in 0..T {
                    for x in (0..across).step_by(S::F32_LANES) {
                        let half = each::<S, M>(simd, |k| load(simd, halves, i * len + k * width + x));
                        let full = apply(simd, &Transform::<M, R, T>::OUTPUT, half);
                        (0..T)
                            .for_each(|j| store(simd, &mut self.to[w.line(picture, down, i, j)], x, full[j]));
                    }
                }
            }
        }
    }
}
