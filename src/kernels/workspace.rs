//! Memory that is used again, as fresh buffers of megabytes cost page faults at every step.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

/// Bytes of free buffers kept at most; the oldest ones go first.
const KEPT: usize = 1 << 30;
/// Shorter buffers come from the allocator, which keeps them at hand itself.
const SHORTEST: usize = 1 << 14;

static FREE: Mutex<VecDeque<Vec<f32>>> = Mutex::new(VecDeque::new());

fn free() -> MutexGuard<'static, VecDeque<Vec<f32>>> {
    FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A buffer of `len` values with unspecified contents: one of that length that was given back, else a new one.
pub(super) fn take(len: usize) -> Vec<f32> {
    let found = {
        let mut free = free();
        // The newest one is the likeliest to be in the cache.
        let index = free.iter().rposition(|buffer| buffer.len() == len);
        index.and_then(|index| free.remove(index))
    };
    found.unwrap_or_else(|| vec![0.0; len])
}

/// Gives a buffer back.
pub(super) fn give_back(buffer: Vec<f32>) {
    if buffer.len() < SHORTEST {
        return;
    }
    let mut free = free();
    free.push_back(buffer);
    let mut kept: usize = free.iter().map(|buffer| size_of_val(&buffer[..])).sum();
    while kept > KEPT {
        let Some(oldest) = free.pop_front() else { return };
        kept -= size_of_val(&oldest[..]);
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
