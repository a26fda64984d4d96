//! Moves values to a device and back. Everything that the crate uploads or reads while it trains or translates goes
//! through these two functions, so that tests can count transfers and make them fail.

use burn::tensor::{Device, ExecutionError, Shape, Tensor, TensorData};

/// Returns `values`, in row-major order, as a tensor of `shape` on `device`.
///
/// # Panics
/// If the number of values is not that of the shape.
pub(crate) fn upload<const D: usize>(
    values: Vec<f32>,
    shape: impl Into<Shape>,
    device: &Device,
) -> Tensor<D> {
    #[cfg(all(test, feature = "flex"))]
    fault::count_upload();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Returns a tensor's values as `f32`, in row-major order.
///
/// # Panics
/// If the device fails to return them, for instance because the GPU was lost.
pub(crate) fn read_back<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = read(tensor).unwrap_or_else(|error| panic!("device read failed: {error}"));
    data.convert::<f32>().try_into_vec().expect("converted to f32")
}

fn read<const D: usize>(tensor: Tensor<D>) -> Result<TensorData, ExecutionError> {
    #[cfg(all(test, feature = "flex"))]
    fault::happen()?;
    tensor.try_into_data()
}

/// Counts the transfers of the current thread, and makes a chosen read fail.
#[cfg(all(test, feature = "flex"))]
pub(crate) mod fault {
    use std::cell::Cell;

    use burn::tensor::ExecutionError;

    thread_local! {
        static UPLOADS: Cell<usize> = const { Cell::new(0) };
        static READS: Cell<usize> = const { Cell::new(0) };
        static PLAN: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Restarts the counts at 0, and plans a failure of one read.
    pub(crate) fn plan(read: Option<usize>) {
        UPLOADS.set(0);
        READS.set(0);
        PLAN.set(read);
    }

    /// Returns the number of reads since the plan was made.
    pub(crate) fn reads() -> usize {
        READS.get()
    }

    /// Returns the number of uploads since the plan was made.
    pub(crate) fn uploads() -> usize {
        UPLOADS.get()
    }

    pub(super) fn count_upload() {
        UPLOADS.set(UPLOADS.get() + 1);
    }

    pub(super) fn happen() -> Result<(), ExecutionError> {
        let read = READS.replace(READS.get() + 1);
        if PLAN.get() == Some(read) { Err(ExecutionError::with_context("the GPU was lost")) } else { Ok(()) }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_row_major_order() {
        let tensor = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &crate::device::cpu());
        assert_eq!(read_back(tensor), [1.0, 2.0, 3.0, 4.0]);
    }
}
