//! A global pool of f32 buffers: fresh buffers of several megabytes would page-fault on every step.

use std::collections::VecDeque;
#[cfg(feature = "flex")]
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "flex")]
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

/// The capacity of the pool. The oldest buffers are freed first.
const MAX_BYTES: usize = 1 << 30;
/// Shorter buffers come from the allocator, which reuses small blocks itself.
const MIN_LEN: usize = 1 << 14;

static POOL: Mutex<Pool> = Mutex::new(Pool { buffers: VecDeque::new(), bytes: 0 });

/// The free buffers.
struct Pool {
    /// The buffers, oldest first.
    buffers: VecDeque<Vec<f32>>,
    /// The total size of `buffers`.
    bytes: usize,
}

impl Pool {
    /// Removes the newest buffer of `len` values, the one most likely to be in the CPU's cache.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let index = self.buffers.iter().rposition(|buffer| buffer.len() == len)?;
        let buffer = self.buffers.remove(index)?;
        self.bytes -= size_of_val(&buffer[..]);
        Some(buffer)
    }

    /// Adds a buffer, then removes and returns the oldest buffers until the rest fit into `max_bytes`.
    fn give_back(&mut self, buffer: Vec<f32>, max_bytes: usize) -> Vec<Vec<f32>> {
        self.bytes += size_of_val(&buffer[..]);
        self.buffers.push_back(buffer);
        let mut evicted = Vec::new();
        while self.bytes > max_bytes
            && let Some(oldest) = self.buffers.pop_front()
        {
            self.bytes -= size_of_val(&oldest[..]);
            evicted.push(oldest);
        }
        evicted
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a buffer of `len` values with unspecified contents, from the pool if it has one of that length.
///
/// Debug builds fill it with NaN, so that tests catch a kernel that reads values before it has written them.
pub(super) fn take(len: usize) -> Vec<f32> {
    let pooled = if len < MIN_LEN { None } else { pool().take(len) };
    let mut buffer = pooled.unwrap_or_else(|| vec![0.0; len]);
    if cfg!(debug_assertions) {
        buffer.fill(f32::NAN);
    }
    buffer
}

/// Returns a buffer to the pool.
pub(super) fn give_back(buffer: Vec<f32>) {
    if buffer.len() >= MIN_LEN {
        // The evicted buffers are freed after the lock is released.
        let _evicted = pool().give_back(buffer, MAX_BYTES);
    }
}

/// A buffer that returns to the pool when it is dropped.
pub(super) struct Buffer(Vec<f32>);

impl Buffer {
    /// Takes a buffer of `len` values with unspecified contents.
    pub(super) fn new(len: usize) -> Self {
        Self(take(len))
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self(values)
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.0));
    }
}

/// Turns `values` into the memory of a tensor, without a copy. The memory returns to the pool when the last tensor that
/// shares it is dropped.
#[cfg(feature = "flex")]
pub(super) fn into_bytes(values: Vec<f32>) -> Bytes {
    let len = size_of_val(&values[..]);
    // SAFETY: the first `len` bytes must be initialised. `len` is the byte length of the vector, whose elements all
    // are, and nothing resizes the vector within `TensorMemory`.
    #[allow(unsafe_code)]
    unsafe {
        Bytes::from_controller(Box::new(TensorMemory(values)), len)
    }
}

/// The memory of a tensor.
#[cfg(feature = "flex")]
struct TensorMemory(Vec<f32>);

#[cfg(feature = "flex")]
impl AllocationController for TensorMemory {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code)]
    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = size_of_val(&self.0[..]);
        // SAFETY: these bytes belong to the vector, which is borrowed mutably as long as the slice lives. By the
        // contract of the trait, the caller writes initialised bytes only, and every bit pattern is an f32.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let len = size_of_val(&self.0[..]);
        // SAFETY: these bytes belong to the vector, which is borrowed as long as the slice lives.
        #[allow(unsafe_code)]
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) })
    }
}

#[cfg(feature = "flex")]
impl Drop for TensorMemory {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    fn buffers_hold_nan_in_debug_builds() {
        for len in [1, MIN_LEN, MIN_LEN + 1] {
            give_back(vec![1.0; len]);
            assert!(take(len).iter().all(|value| value.is_nan()), "{len} values from the pool");
            assert!(take(len).iter().all(|value| value.is_nan()), "{len} new values");
        }
    }

    #[test]
    fn a_full_pool_frees_the_oldest_buffers() {
        let mut pool = Pool { buffers: VecDeque::new(), bytes: 0 };
        for len in [10, 20, 30] {
            assert!(pool.give_back(vec![0.0; len], 240).is_empty());
        }
        assert_eq!(pool.bytes, 240);
        let evicted = pool.give_back(vec![0.0; 25], 240);
        assert_eq!(evicted.iter().map(Vec::len).collect::<Vec<_>>(), [10, 20]);
        assert_eq!(pool.bytes, 220);
        assert!(pool.take(20).is_none());
        assert_eq!(pool.take(30).map(|buffer| buffer.len()), Some(30));
        assert_eq!(pool.bytes, 100);
    }
}
