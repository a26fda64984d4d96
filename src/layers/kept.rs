//! What convolutions compute from their weights, kept from pass to pass.

#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::Filters;
use crate::{Device, device};

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

    /// Does a pass among the device's workers that uses and extends what is kept.
    ///
    /// A worker may take up one pass while it waits for its part of another, so a pass that keeps nothing says so, too.
    pub(crate) fn among_workers<R: Send>(&self, device: &Device, pass: impl FnOnce() -> R + Send) -> R {
        device::among_workers(device, || {
            #[cfg(any(feature = "flex", feature = "ndarray"))]
            return Filters::during(self.filters.as_ref(), pass);
            #[cfg(not(any(feature = "flex", feature = "ndarray")))]
            pass()
        })
    }
}
