//! Buffers that are used again, as fresh ones of megabytes cost page faults at every step.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Buffers kept at most; more are in use at once only if many threads train at once.
const KEPT: usize = 8;

static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Gradients that were used up, for those of the next step.
static RECYCLED: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// Values of recycled gradients kept at most (1 GiB): those of two networks with room to spare.
const KEPT_VALUES: usize = 1 << 28;

/// A vector of `len` values with unspecified contents: a recycled one, else a new one.
pub(super) fn take(len: usize) -> Vec<f32> {
    let mut recycled = RECYCLED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let found = recycled.iter().position(|buffer| buffer.len() == len);
    found.map(|index| recycled.swap_remove(index)).unwrap_or_else(|| vec![0.0; len])
}

/// Keeps a gradient's memory for the next step.
pub(crate) fn recycle(buffer: Vec<f32>) {
    let mut recycled = RECYCLED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let kept: usize = recycled.iter().map(Vec::len).sum();
    if kept + buffer.len() <= KEPT_VALUES {
        recycled.push(buffer);
    }
}

/// A buffer with unspecified contents that returns to the pool when it is dropped.
pub(super) struct Workspace {
    buffer: Vec<f32>,
    len: usize,
}

impl Workspace {
    /// A buffer of `len` values: the smallest free one that is large enough, else the largest one grown.
    pub(super) fn new(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let fitting = (0..free.len()).filter(|i| free[*i].len() >= len).min_by_key(|i| free[*i].len());
        let chosen = fitting.or_else(|| (0..free.len()).max_by_key(|i| free[*i].len()));
        let mut buffer = chosen.map(|i| free.swap_remove(i)).unwrap_or_default();
        drop(free);
        if buffer.len() < len {
            // The contents need not move to the new place.
            buffer = vec![0.0; len];
        }
        Self { buffer, len }
    }
}

impl Deref for Workspace {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Workspace {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.buffer));
        }
    }
}
