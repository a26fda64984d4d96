//! A stack of matrix products, on slices.
//!
//! Only the shape decides how the work is cut into tasks, and no sum is split between tasks. So the result does not
//! depend on the number of threads.

use rayon::prelude::*;

/// The number of multiplications of one task. Smaller tasks would cost more to schedule than to compute.
const TASK: usize = 1 << 21;

/// Returns the row stride for rows of `len` values. Strides that are multiples of 1 KiB map to few sets of the CPU's
/// cache, so they get one more cache line.
pub(super) fn pitch(len: usize) -> usize {
    const LINE: usize = 16;
    if len.is_multiple_of(16 * LINE) { len + LINE } else { len }
}

/// The layout of a stack of matrices in a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    /// The distance from one matrix to the next.
    pub(super) stack: usize,
    /// The distance from one row to the next.
    pub(super) row: usize,
    /// The distance from one column to the next.
    pub(super) column: usize,
}

impl Strides {
    /// Returns the layout of a single matrix whose rows are `row` values apart.
    pub(super) fn rows(row: usize) -> Self {
        Self { stack: 0, row, column: 1 }
    }

    /// Returns the layout of the transposed matrices.
    pub(super) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    /// Returns whether `count` matrices of `rows` by `columns`, all at least 1, lie within `len` values.
    ///
    /// The matrix product takes strides as `isize`, so larger strides do not fit.
    fn fit(self, count: usize, rows: usize, columns: usize, len: usize) -> bool {
        let dimensions = [(self.stack, count), (self.row, rows), (self.column, columns)];
        let last = dimensions.into_iter().try_fold(0usize, |last, (stride, size)| {
            isize::try_from(stride).ok()?;
            last.checked_add(stride.checked_mul(size - 1)?)
        });
        last.is_some_and(|last| last < len)
    }

    /// Returns the offset of an element.
    fn at(self, index: usize, row: usize, column: usize) -> usize {
        index * self.stack + row * self.row + column * self.column
    }
}

/// The sizes of a stack of products: `count` products of `[rows, inner]` and `[inner, columns]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) inner: usize,
    /// Whether products are added to `out` instead of replacing it.
    pub(super) adds: bool,
}

/// Computes `out[i] = a[i] · b[i]`, or `out[i] += a[i] · b[i]`, for every matrix of the stack.
///
/// # Panics
/// If a slice is too short for its layout, if a stride does not fit into `isize`, or if two elements of `out` could
/// have the same offset.
pub(super) fn multiply(
    sizes: Sizes,
    (out, out_strides): (&mut [f32], Strides),
    (a, a_strides): (&[f32], Strides),
    (b, b_strides): (&[f32], Strides),
) {
    let Sizes { count, rows, columns, inner, .. } = sizes;
    if [count, rows, columns].contains(&0) {
        return;
    }
    let fits = inner > 0 && a_strides.fit(count, rows, inner, a.len());
    assert!(fits, "the left matrices, {sizes:?} with {a_strides:?}, must lie within {} values", a.len());
    let fits = b_strides.fit(count, inner, columns, b.len());
    assert!(fits, "the right matrices, {sizes:?} with {b_strides:?}, must lie within {} values", b.len());
    let fits = out_strides.fit(count, rows, columns, out.len());
    assert!(fits, "the products, {sizes:?} with {out_strides:?}, must lie within {} values", out.len());
    assert!(disjoint(sizes, out_strides), "the products overlap");

    let (row_block, column_block) = blocks(sizes);
    let row_blocks = rows.div_ceil(row_block);
    let column_blocks = columns.div_ceil(column_block);
    let out = Shared(out.as_mut_ptr());
    let task = |task: usize| {
        let (row, rest) = (task % row_blocks * row_block, task / row_blocks);
        let (column, index) = (rest % column_blocks * column_block, rest / column_blocks);
        let sizes =
            Sizes { rows: row_block.min(rows - row), columns: column_block.min(columns - column), ..sizes };
        let a = &a[a_strides.at(index, row, 0)..];
        let b = &b[b_strides.at(index, 0, column)..];
        // SAFETY: every element that the task reads or writes lies within its slice: `fit` was asserted above, and a
        // block lies within its matrix. No two tasks write the same element: the blocks of a matrix do not overlap, and
        // by `disjoint` neither do elements of different blocks or matrices. `out` is borrowed mutably, so it overlaps
        // neither `a` nor `b`.
        #[allow(unsafe_code)]
        unsafe {
            let out = out.pointer().add(out_strides.at(index, row, column));
            single(sizes, (out, out_strides), (a.as_ptr(), a_strides), (b.as_ptr(), b_strides));
        }
    };
    (0..count * row_blocks * column_blocks).into_par_iter().for_each(task);
}

/// Returns the rows and columns of the block of one task: the longer side is halved until the block is small enough.
fn blocks(Sizes { rows, columns, inner, .. }: Sizes) -> (usize, usize) {
    const MIN_SIDE: usize = 64;
    let (mut row_block, mut column_block) = (rows, columns);
    let products = |rows: usize, columns: usize| rows.saturating_mul(columns).saturating_mul(inner);
    while products(row_block, column_block) > TASK && row_block.max(column_block) > MIN_SIDE {
        let side = if row_block >= column_block { &mut row_block } else { &mut column_block };
        *side = side.div_ceil(2).next_multiple_of(MIN_SIDE);
    }
    (row_block, column_block)
}

/// Returns whether no two elements of the products have the same offset: each stride, from the smallest on, steps over
/// all elements of the dimensions before it.
fn disjoint(Sizes { count, rows, columns, .. }: Sizes, strides: Strides) -> bool {
    let mut dimensions = [(strides.stack, count), (strides.row, rows), (strides.column, columns)];
    dimensions.sort_unstable();
    // One more than the largest distance between two elements so far, or `None` if it overflows.
    let mut reach = Some(1usize);
    dimensions.into_iter().filter(|(_, size)| *size > 1).all(|(stride, size)| {
        let fits = reach.is_some_and(|reach| stride >= reach);
        reach = stride.checked_mul(size - 1).and_then(|span| reach?.checked_add(span));
        fits
    })
}

/// A pointer that several tasks share. Each task accesses different elements.
struct Shared(*mut f32);

// SAFETY: `multiply` is the only user, and no two of its tasks access the same element.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    /// Returns the pointer. A closure that read the field would capture the bare pointer, which is not `Sync`.
    fn pointer(&self) -> *mut f32 {
        self.0
    }
}

/// Computes one product on the calling thread.
///
/// # Safety
/// All elements of the three matrices must lie within memory that may be read, and those of `out` within memory that
/// may be written and that nothing else accesses during the call.
#[allow(unsafe_code)]
unsafe fn single(
    sizes: Sizes,
    (out, out_strides): (*mut f32, Strides),
    (a, a_strides): (*const f32, Strides),
    (b, b_strides): (*const f32, Strides),
) {
    // SAFETY: by the contract of this function.
    unsafe {
        gemm::gemm(
            sizes.rows,
            sizes.columns,
            sizes.inner,
            out,
            out_strides.column as isize,
            out_strides.row as isize,
            sizes.adds,
            a,
            a_strides.column as isize,
            a_strides.row as isize,
            b,
            b_strides.column as isize,
            b_strides.row as isize,
            if sizes.adds { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_interleaved_matrices_agree_with_the_definition() {
        let sizes = Sizes { count: 3, rows: 70, columns: 130, inner: 600, adds: false };
        let a: Vec<f32> = (0..3 * 70 * 600).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..3 * 600 * 130).map(|i| (i as f32 * 0.71).cos()).collect();
        let a_strides = Strides { stack: 70 * 600, row: 600, column: 1 };
        // The right matrices interleaved: element (k, j) of matrix i at k·390 + i·130 + j.
        let b_strides = Strides { stack: 130, row: 390, column: 1 };
        let out_strides = Strides { stack: 130, row: 390, column: 1 };
        let mut out = vec![0.0; 70 * 390];
        multiply(sizes, (&mut out, out_strides), (&a, a_strides), (&b, b_strides));
        for (index, row, column) in [(0, 0, 0), (1, 69, 129), (2, 33, 64), (2, 64, 63)] {
            let expected: f64 = (0..600)
                .map(|k| {
                    f64::from(a[a_strides.at(index, row, k)]) * f64::from(b[b_strides.at(index, k, column)])
                })
                .sum();
            let found = f64::from(out[out_strides.at(index, row, column)]);
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_products_are_refused() {
        let sizes = Sizes { count: 2, rows: 2, columns: 2, inner: 1, adds: false };
        let strides = Strides { stack: 1, row: 2, column: 1 };
        multiply(sizes, (&mut [0.0; 8], strides), (&[0.0; 8], strides), (&[0.0; 8], strides));
    }

    /// Without the check, these strides wrap around to offsets within the slices.
    #[test]
    fn huge_strides_are_refused() {
        let sizes = Sizes { count: 1, rows: 3, columns: 3, inner: 3, adds: false };
        let small = Strides::rows(3);
        let huge = [
            Strides { row: 1 << 63, ..small },
            Strides { column: 1 << 63, ..small },
            Strides { row: usize::MAX / 2 + 2, ..small },
            Strides { stack: usize::MAX, ..small },
        ];
        for huge in huge {
            for strides in [[huge, small, small], [small, huge, small], [small, small, huge]] {
                let result = std::panic::catch_unwind(|| {
                    let [out_strides, a_strides, b_strides] = strides;
                    let mut out = [0.0; 9];
                    multiply(sizes, (&mut out, out_strides), (&[1.0; 9], a_strides), (&[1.0; 9], b_strides));
                });
                assert!(result.is_err(), "{strides:?} reach beyond nine values");
            }
        }
        assert!(!disjoint(sizes, Strides { row: usize::MAX, column: 1 << 63, stack: 0 }));
    }
}
