//! Reads tensors back from their device.

use burn::tensor::Tensor;

/// Returns a tensor's values as `f32`, in row-major order.
///
/// # Panics
/// If the device fails to return them, for instance because the GPU was lost.
pub(crate) fn read_back<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("device read failed")
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
