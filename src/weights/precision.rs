//! The number formats of weights in files.

use std::borrow::Cow;

use burn::tensor::{bf16, f16};
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use crate::names::named;

/// The number format in which a file holds weights. As text it is `f32`, `f16` or `bf16`.
///
/// All of them are read everywhere; computations are in 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Precision {
    /// 32 bits, all digits of the network in memory.
    #[default]
    F32,
    /// 16 bits with 11 significant ones: half the file, and the weights are rounded by at most 1/2048 of their value.
    F16,
    /// 16 bits with 8 significant ones and the range of `f32`, rounded by at most 1/256 of their value.
    Bf16,
}

named!(Precision, "precision");

impl Precision {
    /// Returns the bytes of one value.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::F16 | Self::Bf16 => size_of::<u16>(),
        }
    }

    /// Returns the type in a safetensors file.
    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Returns the values as little-endian bytes, or the first finite value that this precision cannot hold.
    pub(super) fn bytes(self, values: &[f32]) -> Result<Cow<'_, [u8]>, f32> {
        let sixteen = |bits: fn(f32) -> u16, back: fn(u16) -> f32| {
            let rounded = values.iter().map(|value| {
                let bits = bits(*value);
                if value.is_finite() && !back(bits).is_finite() {
                    Err(*value)
                } else {
                    Ok(bits.to_le_bytes())
                }
            });
            Ok(Cow::Owned(rounded.collect::<Result<Vec<_>, _>>()?.concat()))
        };
        match self {
            Self::F32 if cfg!(target_endian = "little") => Ok(Cow::Borrowed(bytemuck::cast_slice(values))),
            Self::F32 => Ok(Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())),
            Self::F16 => {
                sixteen(|value| f16::from_f32(value).to_bits(), |bits| f16::from_bits(bits).to_f32())
            }
            Self::Bf16 => {
                sixteen(|value| bf16::from_f32(value).to_bits(), |bits| bf16::from_bits(bits).to_f32())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_the_nearest() {
        // 1 + 1/2048 lies between two values of f16, and is rounded to the even one.
        let values = [1.0, 1.0 + 1.0 / 2048.0, -0.1, 65504.0];
        let read = |bytes: &[u8], value: fn(u16) -> f32| -> Vec<f32> {
            bytes.as_chunks::<2>().0.iter().map(|pair| value(u16::from_le_bytes(*pair))).collect()
        };
        let halves = Precision::F16.bytes(&values).unwrap();
        assert_eq!(read(&halves, |bits| f16::from_bits(bits).to_f32()), [1.0, 1.0, -0.099_975_586, 65504.0]);
        let brains = Precision::Bf16.bytes(&values).unwrap();
        assert_eq!(read(&brains, |bits| bf16::from_bits(bits).to_f32()), [1.0, 1.0, -0.100_097_656, 65536.0]);
        assert_eq!(Precision::F32.bytes(&values).unwrap().len(), 16);
    }

    #[test]
    fn a_value_out_of_range_is_returned() {
        assert_eq!(Precision::F16.bytes(&[1.0, -7e4]).unwrap_err(), -7e4);
        assert!(Precision::Bf16.bytes(&[1.0, -7e4]).is_ok());
    }
}
