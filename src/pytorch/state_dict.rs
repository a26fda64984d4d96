//! A state dict: parameters by the names of the PyTorch original.

use std::collections::BTreeMap;

use crate::layers::Norm;
use crate::weights::Named;

/// Parameters and running statistics by the names of the PyTorch original, each with its shape and its values.
pub type StateDict = Named;

/// Shapes of tensors by name.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// Removes the running statistics of instance norms, which files of 2018 and before contain although PyTorch does not
/// use them.
pub(super) fn without_unused_statistics<T>(
    mut state: BTreeMap<String, T>,
    norm: Norm,
) -> BTreeMap<String, T> {
    if norm != Norm::Batch {
        state.retain(|key, _| !is_statistic(key));
    }
    state
}

/// Returns whether a key names running statistics.
pub(super) fn is_statistic(key: &str) -> bool {
    key.ends_with(".running_mean") || key.ends_with(".running_var")
}

/// Returns whether a key names a counter, which PyTorch does not use.
pub(super) fn is_counter(key: &str) -> bool {
    key.ends_with("num_batches_tracked")
}
