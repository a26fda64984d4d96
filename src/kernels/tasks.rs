//! The least work that is given to another thread.

/// The fewest values of one task. Waking a thread for less takes longer than the work, above all in virtual machines.
const MIN_VALUES: usize = 1 << 14;

/// Returns the fewest pieces that one task takes, for pieces of `values` values each.
pub(super) fn min_len(values: usize) -> usize {
    MIN_VALUES.div_ceil(values.max(1))
}
