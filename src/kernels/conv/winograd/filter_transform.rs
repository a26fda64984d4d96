//! The transform of filters, and its adjoint for the gradient of the weight.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrices::Transform;
use super::simd::{apply, each, load, store};
use super::tiling::Winograd;
use crate::kernels::buffer_pool::Buffer;

/// The part of a transform that one thread computes at a time: the filters of one channel of the small map.
struct FilterTransform<'a, const M: usize, const R: usize, const T: usize> {
    winograd: &'a Winograd<'a, M, R, T>,
    adjoint: bool,
    from: &'a [f32],
    to: &'a mut [f32],
    /// `[kernel², C]`.
    taps: &'a mut [f32],
}

impl<const M: usize, const R: usize, const T: usize> Winograd<'_, M, R, T> {
    /// Returns G·g·Gᵀ of every filter, `[O, positions, stride²·C]`.
    pub(crate) fn filters(&self, weight: &[f32]) -> Buffer {
        let mut filters = Buffer::new(self.g.small[0] * self.positions() * self.channels());
        self.transform_filters(
            false,
            (weight, self.g.patch()),
            (&mut filters, self.positions() * self.channels()),
        );
        filters
    }

    /// Computes the weight by the transpose of [`filters`](Self::filters).
    pub(super) fn filters_adjoint(&self, filters: &[f32], weight: &mut [f32]) {
        self.transform_filters(true, (filters, self.positions() * self.channels()), (weight, self.g.patch()));
    }

    fn transform_filters(&self, adjoint: bool, from: (&[f32], usize), to: (&mut [f32], usize)) {
        let arch = pulp::Arch::new();
        to.0.par_chunks_mut(to.1).zip(from.0.par_chunks(from.1)).for_each_init(
            || vec![0.0; self.g.patch()],
            |taps, (to, from)| arch.dispatch(FilterTransform { winograd: self, adjoint, from, to, taps }),
        );
    }

    /// Returns the range of tap (`a`, `b`) of a phase in `taps`, all channels.
    #[inline(always)]
    fn tap(&self, phase: usize, a: usize, b: usize) -> std::ops::Range<usize> {
        let stride = self.g.stride;
        let tap = (a * stride + phase / stride) * self.g.kernel + b * stride + phase % stride;
        tap * self.g.large[0]..(tap + 1) * self.g.large[0]
    }

    /// Returns the range of position (`i`, `j`) of a phase in a transformed filter, all channels.
    #[inline(always)]
    fn position(&self, phase: usize, i: usize, j: usize) -> std::ops::Range<usize> {
        let start = (i * T + j) * self.channels() + phase * self.g.large[0];
        start..start + self.g.large[0]
    }
}

impl<const M: usize, const R: usize, const T: usize> WithSimd for FilterTransform<'_, M, R, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.adjoint { self.adjoint(simd) } else { self.forward(simd) }
    }
}

impl<const M: usize, const R: usize, const T: usize> FilterTransform<'_, M, R, T> {
    #[inline(always)]
    fn forward<S: Simd>(self, simd: S) {
        let (w, g) = (self.winograd, self.winograd.g);
        transpose(self.from, g.kernel * g.kernel, self.taps);
        for phase in 0..g.stride * g.stride {
            for channel in (0..g.large[0]).step_by(S::F32_LANES) {
                let mut halves = [[simd.splat_f32s(0.0); T]; R];
                for (b, half) in halves.iter_mut().enumerate() {
                    let taps = each::<S, R>(simd, |a| load(simd, &self.taps[w.tap(phase, a, b)], channel));
                    *half = apply(simd, &Transform::<M, R, T>::FILTER, taps);
                }
                for i in 0..T {
                    let half = each::<S, R>(simd, |b| halves[b][i]);
                    let full = apply(simd, &Transform::<M, R, T>::FILTER, half);
                    (0..T).for_each(|j| store(simd, &mut self.to[w.position(phase, i, j)], channel, full[j]));
                }
            }
        }
    }

    #[inline(always)]
    fn adjoint<S: Simd>(self, simd: S) {
        let (w, g) = (self.winograd, self.winograd.g);
        for phase in 0..g.stride * g.stride {
            for channel in (0..g.large[0]).step_by(S::F32_LANES) {
                let mut halves = [[simd.splat_f32s(0.0); R]; T];
                for (i, half) in halves.iter_mut().enumerate() {
                    let full =
                        each::<S, T>(simd, |j| load(simd, &self.from[w.position(phase, i, j)], channel));
                    *half = apply(simd, &Transform::<M, R, T>::FILTER_TRANSPOSED, full);
                }
                for b in 0..R {
                    let half = each::<S, T>(simd, |i| halves[i][b]);
                    let taps = apply(simd, &Transform::<M, R, T>::FILTER_TRANSPOSED, half);
                    (0..R).for_each(|a| store(simd, &mut self.taps[w.tap(phase, a, b)], channel, taps[a]));
                }
            }
        }
        transpose(self.taps, g.large[0], self.to);
    }
}

/// Transposes `[rows, columns]` to `[columns, rows]`.
#[inline(always)]
fn transpose(values: &[f32], columns: usize, out: &mut [f32]) {
    let rows = values.len() / columns;
    for (row, values) in values.chunks_exact(columns).enumerate() {
        for (column, value) in values.iter().enumerate() {
            out[column * rows + row] = *value;
        }
    }
}
