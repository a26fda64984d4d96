//! Moves values to a device and back. Everything that the crate uploads or reads while it trains or translates goes
//! through these functions, so that tests can count transfers and make them fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Shape, Tensor, TensorData, TensorReadError};

use crate::device;
use crate::error::{Error, Result};

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
/// # Errors
/// [`Error::Device`] if the device fails to return them, for instance because the GPU was lost.
pub(crate) fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = read_data(tensor)?;
    Ok(data.try_into_vec::<f32>().expect("read as f32"))
}

/// Returns a tensor's values as `f32`, with its shape. Values in ordinary memory are shared and not copied.
///
/// # Errors
/// As [`read_back`].
pub(crate) fn read_data<const D: usize>(tensor: Tensor<D>) -> Result<TensorData> {
    let device = tensor.device();
    // burn raises a panic of the device's own thread again, for instance if memory for the read is lacking.
    match catch_unwind(AssertUnwindSafe(|| read(tensor))) {
        Ok(read) => read.map_err(|error| failed(&device, &error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(failed(&device, text.unwrap_or("a panic of the device's thread")))
        }
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> std::result::Result<TensorData, TensorReadError> {
    #[cfg(all(test, feature = "flex"))]
    fault::happen()?;
    let data = tensor.try_into_data_as::<f32>()?;
    // A GPU returns the values at the first access, and most accesses panic if that fails. This one returns the error.
    data.as_slice::<f32>()?;
    Ok(data)
}

/// Returns the error of a device that failed to return values.
fn failed(device: &Device, reason: &str) -> Error {
    let problem = format!(
        "the device failed to return values ({}). The GPU was lost or is out of memory: start the program again and \
         resume from the newest checkpoint (`--resume` or `Trainer::resume`); if it fails again, use a smaller batch, \
         smaller tiles or `flex`",
        summary(reason)
    );
    Error::Device { name: device::name(device), problem }
}

/// Returns burn's text on one line, without its backtrace.
fn summary(text: &str) -> String {
    let end = text.to_ascii_lowercase().find("backtrace").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| line.trim().trim_end_matches([',', ':', '{', ' ']));
    let mut parts: Vec<&str> = lines.filter(|line| !line.is_empty() && *line != "Caused by").collect();
    parts.dedup();
    parts.join(": ")
}

/// Counts the transfers of the current thread, and makes chosen reads fail.
#[cfg(all(test, feature = "flex"))]
pub(crate) mod fault {
    use std::cell::Cell;

    use burn::tensor::ExecutionError;

    /// Reads that fail, counted from 0.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// This read only, as when memory was short for a moment.
        Once(usize),
        /// This read and all later ones, as when the GPU is lost.
        From(usize),
        /// This read, by a panic.
        Panic(usize),
    }

    thread_local! {
        static UPLOADS: Cell<usize> = const { Cell::new(0) };
        static READS: Cell<usize> = const { Cell::new(0) };
        static PLAN: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Restarts the counts at 0, and plans which reads fail.
    pub(crate) fn plan(fault: Option<Fault>) {
        UPLOADS.set(0);
        READS.set(0);
        PLAN.set(fault);
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
        let fails = match PLAN.get() {
            Some(Fault::Once(planned)) => read == planned,
            Some(Fault::From(first)) => read >= first,
            Some(Fault::Panic(planned)) if read == planned => panic!("no memory"),
            Some(Fault::Panic(_)) | None => false,
        };
        if fails { Err(ExecutionError::with_context("the GPU was lost")) } else { Ok(()) }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::fault::Fault;
    use super::*;

    fn tensor() -> Tensor<2> {
        Tensor::from_floats([[1.0, 2.0], [3.0, 4.0]], &device::cpu())
    }

    #[test]
    fn values_come_in_row_major_order() {
        assert_eq!(read_back(tensor()).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let data = read_data(tensor()).unwrap();
        assert_eq!(
            (data.as_slice::<f32>().unwrap(), data.shape()),
            (&[1.0, 2.0, 3.0, 4.0][..], &[2, 2].into())
        );
    }

    #[test]
    fn a_failed_read_is_an_error_with_the_backend_the_reason_and_the_remedy() {
        fault::plan(Some(Fault::From(0)));
        let errors = [read_back(tensor()).unwrap_err(), read_data(tensor()).unwrap_err()];
        fault::plan(None);
        for error in errors {
            assert!(matches!(&error, Error::Device { name, .. } if name == "flex"), "{error:?}");
            assert_eq!(
                error.to_string(),
                "backend `flex`: the device failed to return values (An error happened during execution: the GPU was \
                 lost). The GPU was lost or is out of memory: start the program again and resume from the newest \
                 checkpoint (`--resume` or `Trainer::resume`); if it fails again, use a smaller batch, smaller tiles \
                 or `flex`"
            );
        }
    }

    #[test]
    fn a_panic_in_a_read_is_an_error() {
        fault::plan(Some(Fault::Panic(0)));
        let error = read_back(tensor()).unwrap_err();
        fault::plan(None);
        assert!(
            matches!(error, Error::Device { .. }) && error.to_string().contains("(no memory)"),
            "{error}"
        );
    }

    #[test]
    fn texts_of_burn_become_one_line_without_a_backtrace() {
        for (text, expected) in [
            (
                "An error happened\nCaused by:\n  An error happened\nCaused by:\n  no memory\nBacktrace:\n 0: f",
                "An error happened: no memory",
            ),
            (
                "failed: Generic { reason: \"lost\", backtrace: 0: f\n 1: g }",
                "failed: Generic { reason: \"lost\"",
            ),
            ("lost", "lost"),
        ] {
            assert_eq!(summary(text), expected);
        }
    }
}
