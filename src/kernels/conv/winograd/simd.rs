//! Operations on SIMD registers. Their lanes run across tiles or channels, never within a tile.

use pulp::Simd;

/// Applies a matrix to `I` registers and returns `O` registers.
///
/// The matrix is known at compile time, so the loops unroll and products with 0 are optimised away.
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

/// Computes `N` registers, each from its index.
#[inline(always)]
pub(super) fn each<S: Simd, const N: usize>(simd: S, register: impl Fn(usize) -> S::f32s) -> [S::f32s; N] {
    let mut all = [simd.splat_f32s(0.0); N];
    for (i, entry) in all.iter_mut().enumerate() {
        *entry = register(i);
    }
    all
}

/// Loads the values from `start` on, with zeros beyond the end.
#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, values: &[f32], start: usize) -> S::f32s {
    let rest = &values[start..];
    match S::as_simd_f32s(rest).0.first() {
        Some(register) => *register,
        None => simd.partial_load_f32s(rest),
    }
}

/// Stores the values from `start` on, up to the end of the slice.
#[inline(always)]
pub(super) fn store<S: Simd>(simd: S, values: &mut [f32], start: usize, register: S::f32s) {
    let rest = &mut values[start..];
    if rest.len() >= S::F32_LANES {
        S::as_mut_simd_f32s(rest).0[0] = register;
    } else {
        simd.partial_store_f32s(rest, register);
    }
}

/// Adds a register to the values from `start` on.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(simd: S, values: &mut [f32], start: usize, register: S::f32s) {
    let sum = simd.add_f32s(load(simd, values, start), register);
    store(simd, values, start, sum);
}
