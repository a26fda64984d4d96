//! Matrix products.

use burn::tensor::DType;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;

use super::tensor::{empty, len, one_unit_each, view};

/// The shortest sum that is worth its own piece of a product.
const MIN_DEPTH: usize = 2048;
/// The most pieces that a product is cut into.
const MAX_PIECES: usize = 64;
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

/// Returns `a · bᵀ` for contiguous `[pieces, m, k]` and `[pieces, n, k]`, summed over the pieces.
pub(super) fn product_of_rows(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let ([pieces, m, k], [_, n, _]): ([usize; 3], [usize; 3]) =
        (a.meta.shape().dims(), b.meta.shape().dims());
    if pieces == 1 {
        return product(view(a, [m, k], [k, 1]), view(b, [k, n], [1, k]));
    }
    let b = view(b, [pieces, k, n], [n * k, 1, k]);
    let out = empty(&a, [pieces, m, n]);
    sum_of_pieces(multiply(a, b, out), [m, n])
}

/// Returns the number of pieces for `values` sums of `depth` terms. It divides `depth`.
///
/// If the sums are few and long, as for the weights of a layer on large maps, the device computes pieces of them side
/// by side.
pub(super) fn pieces(values: usize, depth: usize) -> usize {
    if values >= ENOUGH_VALUES {
        return 1;
    }
    let most = (depth / MIN_DEPTH).min(MAX_PIECES);
    std::iter::successors(Some(MAX_PIECES), |pieces| Some(pieces / 2))
        .take_while(|pieces| *pieces > 1)
        .find(|pieces| *pieces <= most && depth.is_multiple_of(*pieces))
        .unwrap_or(1)
}

fn multiply(a: CubeTensor, b: CubeTensor, out: CubeTensor) -> CubeTensor {
    let shapes = format!("{:?} · {:?}", a.meta.shape(), b.meta.shape());
    matmul(a, b, Some(out), MatmulStrategy::Cube, DType::F32)
        .unwrap_or_else(|error| panic!("the device cannot compute {shapes}: {error:?}"))
}

/// Returns the sum of `[pieces, m, n]` over its first dimension.
fn sum_of_pieces(pieces: CubeTensor, [m, n]: [usize; 2]) -> CubeTensor {
    let out = empty(&pieces, [m, n]);
    let (count, dim) = one_unit_each(&pieces.client, len(&out));
    sum_of_pieces_kernel::launch(
        &pieces.client,
        count,
        dim,
        pieces.clone().into_buffer_arg(),
        out.clone().into_buffer_arg(),
        pieces.meta.shape()[0],
    );
    out
}

#[cube(launch)]
fn sum_of_pieces_kernel(pieces: &[f32], out: &mut [f32], count: usize) {
    if ABSOLUTE_POS >= out.len() {
        terminate!();
    }
    let mut sum = f32::new(0.0);
    for piece in 0..count {
        sum += pieces[piece * out.len() + ABSOLUTE_POS];
    }
    out[ABSOLUTE_POS] = sum;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_divide_the_sums() {
        for (values, depth, expected) in [
            (48 * 64, 16384, 8),
            (48 * 64, 16384 * 16, 64),
            (48 * 64, 4095, 1),
            (1 << 17, 16384, 1),
            (9, 12288, 4),
        ] {
            assert_eq!(pieces(values, depth), expected, "{values} {depth}");
        }
    }
}
