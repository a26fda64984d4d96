//! Which fields of a configuration are left out of JSON: those of options that are off, so that earlier versions read it.

/// Returns whether a field has its type's default: an option that is off.
pub(crate) fn is_off<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Returns whether a count is 1, the default of those that cannot be 0.
pub(crate) fn is_one(count: &usize) -> bool {
    *count == 1
}
