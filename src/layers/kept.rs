//! What convolutions compute from their weights, kept from pass to pass.

#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::Filters;

/// Transformed filters of a network that is not trained any more, or nothing, as at first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    filters: Option<Filters>,
}

impl Kept {
    /// Keeps what the next passes compute.
    pub(crate) fn begin(&mut self) {
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        self.filters.get_or_insert_default();
    }

    /// Does a pass that uses and extends what is kept.
    pub(crate) fn during<R>(&self, pass: impl FnOnce() -> R) -> R {
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        if let Some(filters) = &self.filters {
            return filters.during(pass);
        }
        pass()
    }
}
