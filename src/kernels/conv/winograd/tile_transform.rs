//! Transforms feature maps into tiles and back.
//!
//! The registers of the CPU hold the same element of neighbouring tiles, so these elements must be neighbours in memory.
//! To that end each row is split into `M` planes: plane `r` holds the values `r`, `M + r`, `2·M + r`, … of the row.
//! Tile `x` covers the values `M·x` to `M·x + T − 1`. Its element `k` is value `x + k / M` of plane `k % M`. For
//! F(2, 2), where `T` is 3:
//!
//! ```text
//! a row of one phase      0   1   2   3   4   5   6   7   8
//!   tile 0                └───────┘
//!   tile 1                        └───────┘
//!   tile 2                                └───────┘
//!
//! the same row in planes  │ 0   2   4   6   8 │ 1   3   5   7   · │ unused │
//!                         │◄──── plane_len ──►│◄──── plane_len ──►│
//!                         │◄───────────────── row_len ───────────────────►│
//!   tile 1                      ^   ^               ^                 its values 2, 3 and 4
//!
//! a transformed map       channel 0            channel 1            …
//!   a channel             position (0, 0)      position (0, 1)      …   T·T of them
//!   a position            image 0, line 0      image 0, line 1      …   image 1, line 0   …   unused
//!   a line                tile 0, tile 1, …    (`line` returns its range within the channel)
//!                         positions are `pitch` apart, channels are `channel_len` apart
//! ```
//!
//! A transform takes two passes: over the columns of a line of tiles (`rows` to `halves`), then over its rows (`halves`
//! to the transformed map). The adjoints take these passes in reverse order.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrices::Transform;
use super::simd::{accumulate, apply, each, load, store};
use super::strided::{put_every, take_every};
use super::tiling::Winograd;
use crate::kernels::buffer_pool::Buffer;
use crate::kernels::conv::feature_map::FeatureMap;

/// The rows of one line of tiles, before and after the first of the two passes.
struct Scratch {
    rows: Vec<f32>,
    halves: Vec<f32>,
}

/// The part of a transform that one thread computes at a time: one channel.
struct ChannelTransform<'a, const M: usize, const R: usize, const T: usize> {
    winograd: &'a Winograd<'a, M, R, T>,
    direction: Direction<'a>,
    /// The index of the channel, or `image · channels + channel` where `to` is a feature map.
    index: usize,
    to: &'a mut [f32],
    scratch: &'a mut Scratch,
}

/// The transform to compute, with its source.
#[derive(Clone, Copy)]
enum Direction<'a> {
    Inputs(FeatureMap<'a>),
    InputsAdjoint(&'a [f32]),
    Outputs(&'a [f32]),
    OutputsAdjoint(FeatureMap<'a>),
}

impl<const M: usize, const R: usize, const T: usize> Winograd<'_, M, R, T> {
    /// Returns Bᵀ·d·B of every tile of the large map, `[stride²·C, positions, tiles]`.
    pub(super) fn inputs(&self, large: FeatureMap) -> Buffer {
        let mut tiles = Buffer::new(self.channels() * self.channel_len());
        self.transform(Direction::Inputs(large), &mut tiles, self.channel_len());
        tiles
    }

    /// Computes the large map by the transpose of [`inputs`](Self::inputs), which adds up overlapping tiles.
    pub(super) fn inputs_adjoint(&self, tiles: &[f32], large: &mut [f32]) {
        let image = self.g.large[0] * self.g.large_plane();
        let large = &mut large[self.images.start * image..self.images.end * image];
        self.transform(Direction::InputsAdjoint(tiles), large, self.g.large_plane());
    }

    /// Computes the small map from products `[O, positions, tiles]`.
    pub(super) fn outputs(&self, products: &[f32], small: &mut [f32]) {
        let image = self.g.small[0] * self.g.small_plane();
        let small = &mut small[self.images.start * image..self.images.end * image];
        self.transform(Direction::Outputs(products), small, self.g.small_plane());
    }

    /// Returns the small map after the transpose of [`outputs`](Self::outputs), `[O, positions, tiles]`.
    pub(super) fn outputs_adjoint(&self, small: FeatureMap) -> Buffer {
        let mut tiles = Buffer::new(self.g.small[0] * self.channel_len());
        self.transform(Direction::OutputsAdjoint(small), &mut tiles, self.channel_len());
        tiles
    }

    /// Fills `to` in pieces of one channel each.
    fn transform(&self, direction: Direction, to: &mut [f32], piece: usize) {
        let arch = pulp::Arch::new();
        // A load or store near the end may reach beyond the last row.
        let buffer = || vec![0.0; (T + 1) * self.row_len()];
        to.par_chunks_mut(piece).enumerate().for_each_init(
            || Scratch { rows: buffer(), halves: buffer() },
            |scratch, (index, to)| {
                arch.dispatch(ChannelTransform { winograd: self, direction, index, to, scratch })
            },
        );
    }

    /// Returns the number of values of a plane: one for each tile across, and the rest of the last tile.
    fn plane_len(&self) -> usize {
        self.tiles[1] + (T - 1) / M
    }

    /// Returns the number of values reserved for the `M` planes of one row, a multiple of every register width.
    fn row_len(&self) -> usize {
        const MAX_LANES: usize = 16;
        M * self.plane_len().next_multiple_of(MAX_LANES)
    }

    /// Returns the range of position (`i`, `j`) of a line of tiles within one channel; `image` counts from the first
    /// image of this piece.
    #[inline(always)]
    fn line(&self, image: usize, down: usize, i: usize, j: usize) -> std::ops::Range<usize> {
        let start = (i * T + j) * self.pitch() + (image * self.tiles[0] + down) * self.tiles[1];
        start..start + self.tiles[1]
    }

    /// Returns the row of the large map that is row `row` of a phase, or `None` inside the padding.
    #[inline(always)]
    fn source_row(&self, phase: usize, row: usize) -> Option<usize> {
        let row = (row * self.g.stride + phase / self.g.stride).checked_sub(self.g.padding)?;
        (row < self.g.large[1]).then_some(row)
    }

    /// Returns where plane `r` of a phase starts in a row of the large map, negative inside the padding.
    #[inline(always)]
    fn source_start(&self, phase: usize, r: usize) -> isize {
        (self.g.stride * r + phase % self.g.stride) as isize - self.g.padding as isize
    }
}

impl<const M: usize, const R: usize, const T: usize> WithSimd for ChannelTransform<'_, M, R, T> {
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

impl<const M: usize, const R: usize, const T: usize> ChannelTransform<'_, M, R, T> {
    #[inline(always)]
    fn inputs<S: Simd>(self, simd: S, large: FeatureMap) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (phase, channel) = (self.index / g.large[0], self.index % g.large[0]);
        let (plane, len) = (w.plane_len(), w.row_len());
        let Scratch { rows, halves } = self.scratch;
        for image in 0..w.images.len() {
            let map = large.plane(g.large_plane(), w.images.start + image, channel);
            for down in 0..w.tiles[0] {
                for (i, row) in rows.chunks_exact_mut(len).take(T).enumerate() {
                    match w.source_row(phase, down * M + i) {
                        Some(source) => {
                            let source = &map[source * g.large[2]..][..g.large[2]];
                            for (r, out) in row.chunks_exact_mut(plane).take(M).enumerate() {
                                take_every(g.stride * M, w.source_start(phase, r), source, out);
                            }
                            large.activate(&mut row[..M * plane]);
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
                        (0..T).for_each(|j| store(simd, &mut self.to[w.line(image, down, i, j)], x, full[j]));
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn inputs_adjoint<S: Simd>(self, simd: S, tiles: &[f32]) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (image, channel) = (self.index / g.large[0], self.index % g.large[0]);
        let (plane, len) = (w.plane_len(), w.row_len());
        let Scratch { rows, halves } = self.scratch;
        // Values outside every tile stay zero.
        self.to.fill(0.0);
        for phase in 0..g.stride * g.stride {
            let tiles = &tiles[(phase * g.large[0] + channel) * w.channel_len()..][..w.channel_len()];
            let mut put = |row: usize, values: &[f32]| {
                if let Some(target) = w.source_row(phase, row) {
                    let target = &mut self.to[target * g.large[2]..][..g.large[2]];
                    for (r, values) in values.chunks_exact(plane).take(M).enumerate() {
                        put_every(g.stride * M, w.source_start(phase, r), target, values);
                    }
                }
            };
            // A line of tiles gives T rows. The next line adds to the last R − 1 of them.
            rows.fill(0.0);
            for down in 0..w.tiles[0] {
                halves.fill(0.0);
                for i in 0..T {
                    for x in (0..w.tiles[1]).step_by(S::F32_LANES) {
                        let full = each::<S, T>(simd, |k| load(simd, &tiles[w.line(image, down, i, k)], x));
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
        let (image, channel) = (self.index / g.small[0], self.index % g.small[0]);
        let products = &products[channel * w.channel_len()..][..w.channel_len()];
        let (across, len) = (w.tiles[1], w.row_len());
        let width = across.next_multiple_of(S::F32_LANES);
        let Scratch { rows, halves } = self.scratch;
        for down in 0..w.tiles[0] {
            for i in 0..T {
                for x in (0..across).step_by(S::F32_LANES) {
                    let full = each::<S, T>(simd, |k| load(simd, &products[w.line(image, down, i, k)], x));
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
    fn outputs_adjoint<S: Simd>(self, simd: S, small: FeatureMap) {
        let (w, g) = (self.winograd, self.winograd.g);
        let (across, len) = (w.tiles[1], w.row_len());
        let width = across.next_multiple_of(S::F32_LANES);
        let Scratch { rows, halves } = self.scratch;
        for image in 0..w.images.len() {
            let map = small.plane(g.small_plane(), w.images.start + image, self.index);
            for down in 0..w.tiles[0] {
                for (i, row) in rows.chunks_exact_mut(len).take(M).enumerate() {
                    match map.chunks_exact(g.small[2]).nth(down * M + i) {
                        Some(source) => {
                            let planes = row.chunks_exact_mut(width).take(M).enumerate();
                            planes.for_each(|(j, out)| take_every(M, j as isize, source, out));
                            small.activate(&mut row[..M * width]);
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
                        (0..T).for_each(|j| store(simd, &mut self.to[w.line(image, down, i, j)], x, full[j]));
                    }
                }
            }
        }
    }
}
