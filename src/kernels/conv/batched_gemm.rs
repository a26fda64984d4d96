//! Many small matrix products at once, on slices.
//!
//! The work is cut by its shape alone and no sum is ever split between threads, so the result does not depend on how
//! many threads there are.

use rayon::prelude::*;

/// Multiplications that one task is worth; smaller ones would spend their time on being handed around.
const TASK: usize = 1 << 21;

/// The length to give rows of `len` values: rows a multiple of 1 KiB apart would share too few places in the cache.
pub(super) fn pitch(len: usize) -> usize {
    const LINE: usize = 16;
    if len.is_multiple_of(16 * LINE) { len + LINE } else { len }
}

/// Where the elements of a stack of matrices lie in a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strides {
    /// From one matrix to the next.
    pub(super) stack: usize,
    /// From one row to the next.
    pub(super) row: usize,
    /// From one column to the next.
    pub(super) column: usize,
}

impl Strides {
    /// A single matrix, row after row.
    pub(super) fn rows(row: usize) -> Self {
        Self { stack: 0, row, column: 1 }
    }

    /// The same matrix with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    /// Returns whether `count` matrices of `rows` by `columns`, of which none is 0, lie within `len` values.
    ///
    /// The matrix product takes strides as `isize`, so larger ones are refused.
    fn fit(self, count: usize, rows: usize, columns: usize, len: usize) -> bool {
        let dimensions = [(self.stack, count), (self.row, rows), (self.column, columns)];
        let last = dimensions.into_iter().try_fold(0usize, |last, (stride, size)| {
            isize::try_from(stride).ok()?;
            last.checked_add(stride.checked_mul(size - 1)?)
        });
        last.is_some_and(|last| last < len)
    }

    fn at(self, index: usize, row: usize, column: usize) -> usize {
        index * self.stack + row * self.row + column * self.column
    }
}

/// The sizes of a stack of products: `count` times `[rows, inner]` by `[inner, columns]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) inner: usize,
    /// Whether products are added to what `out` holds.
    pub(super) adds: bool,
}

/// `out[i] = a[i] · b[i]`, or `+=`, for every matrix of the stack.
///
/// # Panics
/// If a slice is shorter than its strides say, if a stride does not fit into `isize`, or if two elements of `out` could
/// share a place.
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
        // Safety: the slices reach far enough (asserted above), and tasks write to elements of their own.
        #[allow(unsafe_code)]
        unsafe {
            let out = out.pointer().add(out_strides.at(index, row, column));
            single(sizes, (out, out_strides), (a.as_ptr(), a_strides), (b.as_ptr(), b_strides));
        }
    };
    (0..count * row_blocks * column_blocks).into_par_iter().for_each(task);
}

/// Rows and columns of the blocks that one task computes: halves of the longer side until they are small enough.
fn blocks(Sizes { rows, columns, inner, .. }: Sizes) -> (usize, usize) {
    const LEAST: usize = 64;
    let (mut row_block, mut column_block) = (rows, columns);
    let products = |rows: usize, columns: usize| rows.saturating_mul(columns).saturating_mul(inner);
    while products(row_block, column_block) > TASK && row_block.max(column_block) > LEAST {
        let side = if row_block >= column_block { &mut row_block } else { &mut column_block };
        *side = side.div_ceil(2).next_multiple_of(LEAST);
    }
    (row_block, column_block)
}

/// Whether no two elements of the products share a place: each stride steps over all that lies within it.
fn disjoint(Sizes { count, rows, columns, .. }: Sizes, strides: Strides) -> bool {
    let mut dimensions = [(strides.stack, count), (strides.row, rows), (strides.column, columns)];
    dimensions.sort_unstable();
    // One more than the largest distance between two elements so far; none if that is beyond `usize`.
    let mut reach = Some(1usize);
    dimensions.into_iter().filter(|(_, size)| *size > 1).all(|(stride, size)| {
        let fits = reach.is_some_and(|reach| stride >= reach);
        reach = stride.checked_mul(size - 1).and_then(|span| reach?.checked_add(span));
        fits
    })
}

/// A pointer that several threads may use, each for elements of its own.
struct Shared(*mut f32);

// Safety: `multiply` gives every task elements that no other task touches.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}

impl Shared {
    fn pointer(&self) -> *mut f32 {
        self.0
    }
}

/// # Safety
/// The three matrices must lie inside memory that may be read, and for `out` written by nobody else.
#[allow(unsafe_code)]
unsafe fn single(
    sizes: Sizes,
    (out, out_strides): (*mut f32, Strides),
    (a, a_strides): (*const f32, Strides),
    (b, b_strides): (*const f32, Strides),
) {
    // Safety: the caller's.
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
    fn products_of_any_strides_are_right() {
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
    fn products_that_overlap_are_refused() {
        let sizes = Sizes { count: 2, rows: 2, columns: 2, inner: 1, adds: false };
        let strides = Strides { stack: 1, row: 2, column: 1 };
        multiply(sizes, (&mut [0.0; 8], strides), (&[0.0; 8], strides), (&[0.0; 8], strides));
    }

    /// In `usize` these strides wrap around to places within the slices.
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
