//! Memory that is used again, as fresh buffers of megabytes cost page faults at every step.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Bytes of free buffers kept at most; the oldest ones go first.
const KEPT: usize = 1 << 30;
/// Shorter buffers come from the allocator, which keeps them at hand itself.
const SHORTEST: usize = 1 << 14;

static FREE: Mutex<Pool> = Mutex::new(Pool { buffers: VecDeque::new(), bytes: 0 });

/// Free buffers, the oldest first.
struct Pool {
    buffers: VecDeque<Vec<f32>>,
    /// Of all buffers together.
    bytes: usize,
}

impl Pool {
    /// The newest buffer of that length, which is the likeliest to be in the cache.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let index = self.buffers.iter().rposition(|buffer| buffer.len() == len)?;
        let buffer = self.buffers.remove(index)?;
        self.bytes -= size_of_val(&buffer[..]);
        Some(buffer)
    }

    /// Adds a buffer and returns the oldest ones that no longer fit into `limit` bytes.
    fn give_back(&mut self, buffer: Vec<f32>, limit: usize) -> Vec<Vec<f32>> {
        self.bytes += size_of_val(&buffer[..]);
        self.buffers.push_back(buffer);
        let mut evicted = Vec::new();
        while self.bytes > limit
            && let Some(oldest) = self.buffers.pop_front()
        {
            self.bytes -= size_of_val(&oldest[..]);
            evicted.push(oldest);
        }
        evicted
    }
}

fn free() -> MutexGuard<'static, Pool> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A buffer of `len` values with unspecified contents: one of that length that was given back, else a new one.
///
/// Debug builds fill it with NaN, so that tests show a kernel that reads what it has not written.
pub(super) fn take(len: usize) -> Vec<f32> {
    let pooled = if len < SHORTEST { None } else { free().take(len) };
    let mut buffer = pooled.unwrap_or_else(|| vec![0.0; len]);
    if cfg!(debug_assertions) {
        buffer.fill(f32::NAN);
    }
    buffer
}

/// Gives a buffer back.
pub(super) fn give_back(buffer: Vec<f32>) {
    if buffer.len() >= SHORTEST {
        // Freed after the lock is released.
        let _evicted = free().give_back(buffer, KEPT);
    }
}

/// A buffer with unspecified contents that is given back when it is dropped.
pub(super) struct Workspace(Vec<f32>);

impl Workspace {
    pub(super) fn new(len: usize) -> Self {
        Self(take(len))
    }

    /// A buffer that was taken by [`take`].
    pub(super) fn holding(values: Vec<f32>) -> Self {
        Self(values)
    }
}

impl Deref for Workspace {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Workspace {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Workspace {
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
        for len in [1, SHORTEST, SHORTEST + 1] {
            give_back(vec![1.0; len]);
            assert!(take(len).iter().all(|value| value.is_nan()), "{len} values, given back before");
            assert!(take(len).iter().all(|value| value.is_nan()), "{len} values, new");
        }
    }

    #[test]
    fn the_oldest_buffers_make_room() {
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
