//! The kernels of the CPU backends, whose tensors are slices.
#![allow(deprecated)] // burn deprecates its own ndarray backend

mod conv;
mod pointwise;

use std::borrow::Cow;

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::{Shape, TensorData};

/// A backend whose f32 tensors lie in ordinary memory.
pub(super) trait Host: Backend {
    /// Returns the values in row-major order, copied only if they lie in another order.
    fn read(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]>;

    /// Creates a tensor from these values without a copy.
    fn wrap(values: Vec<f32>, shape: impl Into<Shape>) -> FloatTensor<Self>;
}

#[cfg(feature = "flex")]
impl Host for burn::backend::Flex {
    fn read(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]> {
        match tensor.layout().contiguous_offsets() {
            Some((start, end)) => Cow::Borrowed(&tensor.storage::<f32>()[start..end]),
            None => Cow::Owned(tensor.to_contiguous().storage::<f32>().to_vec()),
        }
    }

    fn wrap(values: Vec<f32>, shape: impl Into<Shape>) -> FloatTensor<Self> {
        let bytes = crate::kernels::buffer_pool::into_bytes(values);
        FloatTensor::<Self>::from_data(TensorData::from_bytes(bytes, shape, DType::F32))
    }
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // burn deprecates its own ndarray backend
impl Host for burn::backend::NdArray {
    fn read(tensor: &FloatTensor<Self>) -> Cow<'_, [f32]> {
        let burn_ndarray::NdArrayTensor::F32(storage) = tensor else { panic!("the kernels are for f32") };
        let view = storage.view();
        match view.to_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(view.iter().copied().collect()),
        }
    }

    fn wrap(values: Vec<f32>, shape: impl Into<Shape>) -> FloatTensor<Self> {
        FloatTensor::<Self>::from_data(TensorData::new(values, shape))
    }
}

/// Implements a trait for every CPU backend that is compiled in.
macro_rules! on_host_backends {
    ($implement:ident) => {
        #[cfg(feature = "flex")]
        $implement!(burn::backend::Flex);
        #[cfg(feature = "ndarray")]
        mod ndarray {
            use super::*;
            $implement!(burn::backend::NdArray);
        }
    };
}
pub(super) use on_host_backends;
