//! Runs a pass inside rayon's thread pool.

use burn::tensor::Device;

use crate::device;

/// Runs `work` in rayon's thread pool if the device is a CPU, else on this thread.
///
/// A pass consists of hundreds of parallel loops. Each would otherwise wake a thread of the pool and wait for it.
pub(crate) fn in_thread_pool<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    let is_inside = rayon::current_thread_index().is_some();
    if device::is_host(device) && !is_inside { rayon::scope(|_| work()) } else { work() }
}
