//! Conversions between levels of 8 or 16 bits and values in `[-1, 1]`.

use burn::tensor::Tensor;

/// Half of the highest 8-bit level, and of the highest 16-bit level.
const HALF_8: f32 = 127.5;
const HALF_16: f32 = 32_767.5;

/// Converts an 8-bit level to a value in `[-1, 1]`.
pub(crate) fn from_u8(level: u8) -> f32 {
    f32::from(level) / HALF_8 - 1.0
}

/// Converts a 16-bit level to a value in `[-1, 1]`.
pub(crate) fn from_u16(level: u16) -> f32 {
    f32::from(level) / HALF_16 - 1.0
}

/// Maps `[-1, 1]` to the range of 8-bit levels, `[0, 255]`, without rounding.
pub(crate) fn position(value: f32) -> f32 {
    (value + 1.0) * HALF_8
}

/// Rounds a value to the nearest 8-bit level. The cast clamps, and maps NaN to 0.
pub(crate) fn to_u8(value: f32) -> u8 {
    position(value).round() as u8
}

/// Rounds a value to the nearest 16-bit level. The cast clamps, and maps NaN to 0.
pub(crate) fn to_u16(value: f32) -> u16 {
    ((value + 1.0) * HALF_16).round() as u16
}

/// Rounds values to the nearest 8-bit levels, which it returns: 0 to 255.
#[cfg(feature = "eval")]
pub(crate) fn levels<const D: usize>(values: Tensor<D>) -> Tensor<D> {
    rounded(values).clamp(0.0, 255.0)
}

/// Rounds values to those that an 8-bit image can hold. Values outside `[-1, 1]` are rounded, but not clamped.
///
/// # Shapes
/// - `values`: any, in `[-1, 1]`
/// - returns the same shape
pub fn round_to_8_bits<const D: usize>(values: Tensor<D>) -> Tensor<D> {
    rounded(values) / HALF_8 - 1.0
}

fn rounded<const D: usize>(values: Tensor<D>) -> Tensor<D> {
    ((values + 1.0) * HALF_8).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_survives_a_round_trip() {
        assert!((0..=u8::MAX).all(|level| to_u8(from_u8(level)) == level));
        assert!((0..=u16::MAX).all(|level| to_u16(from_u16(level)) == level));
        assert_eq!([from_u8(0), from_u8(255), from_u16(0), from_u16(u16::MAX)], [-1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn values_are_rounded_and_clamped() {
        let half = 0.5 / HALF_8;
        assert_eq!([to_u8(-1.0 + 0.9 * half), to_u8(-1.0 + 1.1 * half)], [0, 1]);
        assert_eq!([to_u8(-7.0), to_u8(7.0), to_u8(f32::INFINITY), to_u8(f32::NAN)], [0, 255, 255, 0]);
        assert_eq!([to_u16(-7.0), to_u16(7.0), to_u16(f32::NAN)], [0, u16::MAX, 0]);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn tensors_are_rounded_like_single_values() {
        let values: Vec<f32> = (-70..70).map(|i| 0.003 + i as f32 * 0.0137).collect();
        let tensor = Tensor::<1>::from_floats(values.as_slice(), &crate::device::cpu());
        let expected: Vec<f32> = values.iter().map(|value| from_u8(to_u8(*value))).collect();
        assert_eq!(crate::transfer::read_back(round_to_8_bits(tensor)).unwrap(), expected);
    }
}
