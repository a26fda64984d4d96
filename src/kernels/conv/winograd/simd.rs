//! Vector registers: their lanes lie across tiles or channels, never within a tile.

use pulp::Simd;

/// Applies a matrix to `I` registers, which gives `O`.
///
/// The matrix is known when compiling, so that the loops unroll and products with 0 vanish.
#[inline(always)]
pub(super) fn apply<S: Simd, const I: usize, const O: usize>(
    simd: S,
    matrix: &[[f32; I]; O],
    x: [S::f32s; I],
) -> [S::f32s; O] {
    let mut result = [simd.splat_f32s(0.0); O];
    for o in 0..O {
        for i in 0..I {
            let factor = matrix[o][i];
            if factor == 1.0 {
                result[o] = simd.add_f32s(result[o], x[i]);
            } else if factor == -1.0 {
                result[o] = simd.sub_f32s(result[o], x[i]);
            } else if factor != 0.0 {
                result[o] = simd.mul_add_f32s(simd.splat_f32s(factor), x[i], result[o]);
            }
        }
    }
    result
}

/// One register for each index.
#[inline(always)]
pub(super) fn each<S: Simd, const N: usize>(simd: S, register: impl Fn(usize) -> S::f32s) -> [S::f32s; N] {
    let mut all = [simd.splat_f32s(0.0); N];
    for (i, place) in all.iter_mut().enumerate() {
        *place = register(i);
    }
    all
}

/// The values from `start` on, zero beyond the end.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, values: &[f32], start: usize) -> S::f32s {
    let rest = &values[start..];
    match S::as_simd_f32s(rest).0.first() {
        Some(register) => *register,
        None => simd.partial_load_f32s(rest),
    }
}

/// Writes the values from `start` on, as far as there is room.
#[inline(always)]
pub(super) fn store<S: Simd>(simd: S, values: &mut [f32], start: usize, register: S::f32s) {
    let rest = &mut values[start..];
    if rest.len() >= S::F32_LANES {
        S::as_mut_simd_f32s(rest).0[0] = register;
    } else {
        simd.partial_store_f32s(rest, register);
    }
}

/// Adds to the values from `start` on.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(simd: S, values: &mut [f32], start: usize, register: S::f32s) {
    let sum = simd.add_f32s(load(simd, values, start), register);
    store(simd, values, start, sum);
}
