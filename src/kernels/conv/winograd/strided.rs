//! Strided access to rows: every `step`th value, from a start that may lie before the row.
//!
//! Steps are compile-time constants, because the loops are several times slower otherwise.

/// Reads every `step`th value of a row from `start` on, `−step < start`. Values outside the row are zero.
#[inline(always)]
pub(super) fn take_every(step: usize, start: isize, row: &[f32], out: &mut [f32]) {
    match step {
        1 => take::<1>(start, row, out),
        2 => take::<2>(start, row, out),
        3 => take::<3>(start, row, out),
        4 => take::<4>(start, row, out),
        8 => take::<8>(start, row, out),
        _ => unreachable!("no tile has step {step}"),
    }
}

/// Writes values to every `step`th element of a row from `start` on: the transpose of [`take_every`].
#[inline(always)]
pub(super) fn put_every(step: usize, start: isize, row: &mut [f32], values: &[f32]) {
    match step {
        1 => put::<1>(start, row, values),
        2 => put::<2>(start, row, values),
        3 => put::<3>(start, row, values),
        4 => put::<4>(start, row, values),
        8 => put::<8>(start, row, values),
        _ => unreachable!("no tile has step {step}"),
    }
}

#[inline(always)]
fn take<const STEP: usize>(start: isize, row: &[f32], out: &mut [f32]) {
    let (skipped, start) = enter::<STEP>(start);
    let (before, out) = out.split_at_mut(skipped.min(out.len()));
    before.fill(0.0);
    let (whole, rest) = row.get(start..).unwrap_or_default().as_chunks::<STEP>();
    let count = whole.len().min(out.len());
    for (out, chunk) in out[..count].iter_mut().zip(&whole[..count]) {
        *out = chunk[0];
    }
    let mut last = rest.first();
    out[count..].iter_mut().for_each(|out| *out = last.take().copied().unwrap_or(0.0));
}

#[inline(always)]
fn put<const STEP: usize>(start: isize, row: &mut [f32], values: &[f32]) {
    let (skipped, start) = enter::<STEP>(start);
    let values = values.get(skipped..).unwrap_or_default();
    let (whole, rest) = row.get_mut(start..).unwrap_or_default().as_chunks_mut::<STEP>();
    let count = whole.len().min(values.len());
    for (chunk, value) in whole[..count].iter_mut().zip(&values[..count]) {
        chunk[0] = *value;
    }
    if let (Some(element), Some(value)) = (rest.first_mut(), values.get(count)) {
        *element = *value;
    }
}

/// Returns the number of values before the row (0 or 1), and the index of the first one within it.
#[inline(always)]
fn enter<const STEP: usize>(start: isize) -> (usize, usize) {
    debug_assert!(start > -(STEP as isize) - 1);
    if start < 0 { (1, start.wrapping_add_unsigned(STEP).max(0) as usize) } else { (0, start as usize) }
}
