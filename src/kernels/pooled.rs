//! Tensors whose memory goes back to the pool when the last of them is dropped.

use std::mem::MaybeUninit;

use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};

use super::buffer_pool;

/// The memory of a tensor.
struct Pooled(Vec<f32>);

/// Bytes that hold these values, without a copy.
pub(super) fn bytes(values: Vec<f32>) -> Bytes {
    let len = size_of_val(&values[..]);
    // Safety: all of the vector is initialised.
    #[allow(unsafe_code)]
    unsafe {
        Bytes::from_controller(Box::new(Pooled(values)), len)
    }
}

impl AllocationController for Pooled {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code)]
    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = size_of_val(&self.0[..]);
        // Safety: these are the vector's own bytes, and the caller writes initialised data alone.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) })
    }

    #[allow(unsafe_code)]
    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let len = size_of_val(&self.0[..]);
        // Safety: these are the vector's own bytes.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) })
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        buffer_pool::give_back(std::mem::take(&mut self.0));
    }
}
