//! The product of a skinny matrix and a wide one. The wide matrix is read once and nearly in order.
//!
//! Deep layers have few positions and weights of tens of megabytes, so reading the weight is most of the work. A general
//! product reads narrow strips from top to bottom. Their rows lie 32 KiB apart and evict each other from the cache.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::batched_gemm::Strides;
use crate::kernels::buffer_pool::Buffer;

/// The number of rows of the wide matrix that are read side by side.
const DEPTH: usize = 8;
/// The number of columns of one task, a multiple of every register width.
const COLUMNS: usize = 1024;

/// Returns `factorsᵀ · matrix`, `[rows, columns]`, of `factors`, `[depth, rows]`, and `matrix`, `[depth, columns]`.
pub(super) fn multiply(
    (factors, strides): (&[f32], Strides),
    rows: usize,
    (matrix, columns): (&[f32], usize),
) -> Buffer {
    let depth = matrix.len() / columns;
    // [depth / DEPTH, rows, DEPTH]: the factors in the order of their use, with zeros at the end.
    let mut ordered = Buffer::new(rows * depth.next_multiple_of(DEPTH));
    for (block, factors_of_block) in ordered.chunks_exact_mut(rows * DEPTH).enumerate() {
        for (index, factor) in factors_of_block.iter_mut().enumerate() {
            let (row, k) = (index / DEPTH, block * DEPTH + index % DEPTH);
            *factor = if k < depth { factors[k * strides.row + row] } else { 0.0 };
        }
    }
    let mut out = Buffer::new(rows * columns);
    // Task i computes the columns from i·COLUMNS on of every row.
    let mut strips: Vec<Vec<&mut [f32]>> =
        (0..columns.div_ceil(COLUMNS)).map(|_| Vec::with_capacity(rows)).collect();
    for row in out.chunks_exact_mut(columns) {
        row.chunks_mut(COLUMNS).zip(&mut strips).for_each(|(part, strip)| strip.push(part));
    }
    let arch = Arch::new();
    strips.into_par_iter().enumerate().for_each_init(
        || vec![0.0; rows * COLUMNS],
        |sums, (index, strip)| {
            sums.fill(0.0);
            let start = index * COLUMNS;
            arch.dispatch(Strip { sums, start, factors: &ordered, columns, matrix });
            let piece = 2 * arch.dispatch(Lanes);
            for (row, out) in strip.into_iter().enumerate() {
                let pieces = sums.chunks_exact(piece).skip(row).step_by(rows);
                out.chunks_mut(piece)
                    .zip(pieces)
                    .for_each(|(out, sums)| out.copy_from_slice(&sums[..out.len()]));
            }
        },
    );
    out
}

/// The columns of one task.
struct Strip<'a> {
    /// `[COLUMNS / two registers, rows, two registers]`.
    sums: &'a mut [f32],
    start: usize,
    /// `[depth / DEPTH, rows, DEPTH]`.
    factors: &'a [f32],
    columns: usize,
    matrix: &'a [f32],
}

impl WithSimd for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.sums.len() / COLUMNS;
        let width = COLUMNS.min(self.columns - self.start);
        let mut buffer = [0.0; DEPTH * COLUMNS];
        let blocks = self.matrix.chunks(DEPTH * self.columns).zip(self.factors.chunks_exact(rows * DEPTH));
        for (matrix, factors) in blocks {
            let is_whole = width == COLUMNS && matrix.len() == DEPTH * self.columns;
            let sources: [&[f32]; DEPTH] = if is_whole {
                std::array::from_fn(|k| &matrix[k * self.columns + self.start..][..COLUMNS])
            } else {
                for (row, copy) in matrix.chunks_exact(self.columns).zip(buffer.chunks_exact_mut(COLUMNS)) {
                    copy[..width].copy_from_slice(&row[self.start..][..width]);
                }
                std::array::from_fn(|k| &buffer[k * COLUMNS..][..COLUMNS])
            };
            add(simd, self.sums, factors.as_chunks().0, sources);
        }
    }
}

/// Adds the products of [`DEPTH`] rows of the wide matrix to the sums, two registers of columns at a time.
#[inline(always)]
fn add<S: Simd>(simd: S, sums: &mut [f32], factors: &[[f32; DEPTH]], sources: [&[f32]; DEPTH]) {
    let sources = sources.map(|source| S::as_simd_f32s(source).0.as_chunks::<2>().0);
    let sums = S::as_mut_simd_f32s(sums).0.as_chunks_mut::<2>().0;
    for (x, sums) in sums.chunks_exact_mut(factors.len()).enumerate() {
        let mut values = [[simd.splat_f32s(0.0); 2]; DEPTH];
        for k in 0..DEPTH {
            values[k] = sources[k][x];
        }
        for (sums, factors) in sums.iter_mut().zip(factors) {
            let [mut left, mut right] = *sums;
            for k in 0..DEPTH {
                let factor = simd.splat_f32s(factors[k]);
                left = simd.mul_add_f32s(factor, values[k][0], left);
                right = simd.mul_add_f32s(factor, values[k][1], right);
            }
            *sums = [left, right];
        }
    }
}

/// Computes the number of f32 values in a register.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}
