//! Tensors of burn's cube backend as contiguous buffers of f32.

use std::any::Any;

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{calculate_cube_count_elemwise, client::Client};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_std::Metadata;

/// Returns the tensor's buffer, contiguous.
///
/// # Panics
/// With burn's feature `fusion`, whose tensors are of another type. [`check`](crate::device::check) refuses such a
/// device first.
pub(super) fn buffer(tensor: FloatTensor<Cube>) -> CubeTensor {
    into_contiguous(convert(tensor))
}

/// Returns a buffer as a tensor.
pub(super) fn tensor(buffer: CubeTensor) -> FloatTensor<Cube> {
    convert(buffer)
}

/// Converts between two types that are the same, which the compiler knows only without burn's feature `fusion`.
fn convert<T: 'static, U: 'static>(value: T) -> U {
    let mut value = Some(value);
    let value = (&mut value as &mut dyn Any).downcast_mut::<Option<U>>().and_then(Option::take);
    value.unwrap_or_else(|| panic!("burn's feature `fusion` is on, which `device::check` refuses"))
}

/// Returns a new buffer with unspecified values on the device of `like`.
pub(super) fn empty<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::from(shape), DType::F32)
}

/// Returns a contiguous buffer seen with another shape and other strides.
pub(super) fn view<const D: usize>(
    mut buffer: CubeTensor,
    shape: [usize; D],
    strides: [usize; D],
) -> CubeTensor {
    *buffer.meta = Metadata::new(shape, strides);
    buffer
}

/// Returns a contiguous buffer with another shape.
pub(super) fn reshaped<const D: usize>(buffer: CubeTensor, shape: [usize; D]) -> CubeTensor {
    let mut strides = [1; D];
    for dimension in (1..D).rev() {
        strides[dimension - 1] = strides[dimension] * shape[dimension];
    }
    view(buffer, shape, strides)
}

/// Returns the number of values of a buffer.
pub(super) fn len(buffer: &CubeTensor) -> usize {
    buffer.meta.num_elements()
}

/// Returns the cubes and their size for one unit per value.
pub(super) fn one_unit_each(client: &Client, values: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, values);
    (calculate_cube_count_elemwise(client, values, dim), dim)
}
