//! Matrix products.

use burn::tensor::DType;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;

use super::tensor::{empty, len, one_unit_each, view};

/// The shortest sum that is worth its own part of a product.
const MIN_DEPTH: usize = 2048;
/// The most parts that a product is cut into.
const MAX_PARTS: usize = 64;
/// A result with this many values keeps a GPU busy without being cut.
const ENOUGH_VALUES: usize = 1 << 17;

/// Returns `a · b` for `[m, k]` and `[k, n]`, each contiguous or the transpose of a contiguous matrix.
///
/// The kernel depends on the shapes and the device alone: burn's autotuning would choose by measurements, in every
/// process again.
pub(super) fn product(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let out = empty(&a, [a.meta.shape()[0], b.meta.shape()[1]]);
    multiply(a, b, out)
}

/// Returns `a · bᵀ` for contiguous `[m, k]` and `[n, k]`.
///
/// If k is large and the result small, as for the weights of a layer on large maps, the sum is cut into parts that the
/// device computes side by side.
pub(super) fn product_of_rows(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let [m, n, k] = [a.meta.shape()[0], b.meta.shape()[0], a.meta.shape()[1]];
    let parts = parts(m * n, k);
    if parts == 1 {
        let b = view(b, [k, n], [1, k]);
        return product(a, b);
    }
    let depth = k / parts;
    let a = view(a, [parts, m, depth], [depth, k, 1]);
    let b = view(b, [parts, depth, n], [depth, 1, k]);
    let out = empty(&a, [parts, m, n]);
    sum_of_parts(multiply(a, b, out), [m, n])
}

/// Returns the number of parts of a sum of `depth` terms for each of so many `values`. It divides `depth`.
fn parts(values: usize, depth: usize) -> usize {
    if values >= ENOUGH_VALUES {
        return 1;
    }
    let most = (depth / MIN_DEPTH).min(MAX_PARTS);
    std::iter::successors(Some(MAX_PARTS), |parts| Some(parts / 2))
        .take_while(|parts| *parts > 1)
        .find(|parts| *parts <= most && depth.is_multiple_of(*parts))
        .unwrap_or(1)
}

fn multiply(a: CubeTensor, b: CubeTensor, out: CubeTensor) -> CubeTensor {
    let shapes = format!("{:?} · {:?}", a.meta.shape(), b.meta.shape());
    matmul(a, b, Some(out), MatmulStrategy::Cube, DType::F32)
        .unwrap_or_else(|error| panic!("the device cannot compute {shapes}: {error:?}"))
}

/// Returns the sum of `[parts, m, n]` over its first dimension.
fn sum_of_parts(parts: CubeTensor, [m, n]: [usize; 2]) -> CubeTensor {
    let out = empty(&parts, [m, n]);
    let (count, dim) = one_unit_each(&parts.client, len(&out));
    sum_of_parts_kernel::launch(
        &parts.client,
        count,
        dim,
        parts.clone().into_buffer_arg(),
        out.clone().into_buffer_arg(),
        parts.meta.shape()[0],
    );
    out
}

#[cube(launch)]
fn sum_of_parts_kernel(parts: &[f32], out: &mut [f32], count: usize) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let mut sum = f32::new(0.0);
    for part in 0..count {
        sum += parts[part * out.len() + ABSOLUTE_POS];
    }
    out[ABSOLUTE_POS] = sum;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_divide_the_sum() {
        for (values, depth, expected) in [
            (48 * 64, 16384, 8),
            (48 * 64, 16384 * 16, 64),
            (48 * 64, 4095, 1),
            (1 << 17, 16384, 1),
            (9, 12288, 4),
        ] {
            assert_eq!(parts(values, depth), expected, "{values} {depth}");
        }
    }
}
