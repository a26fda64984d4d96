//! Floating-point numbers that JSON stores without loss.

use serde::{Deserialize, Serialize};

/// An `f64` that is stored as text, because JSON has neither NaN nor infinity, and its readers may round.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct LosslessF64(pub(crate) f64);

impl From<LosslessF64> for String {
    fn from(LosslessF64(number): LosslessF64) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for LosslessF64 {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_the_same_bits_after_json() {
        let special = [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 3.0, f64::MAX, f64::INFINITY, f64::NAN];
        for number in special.into_iter().chain((1..999).map(|i| f64::from(i).sin().exp())) {
            let text = serde_json::to_string(&LosslessF64(number)).unwrap_or_default();
            let back = serde_json::from_str::<LosslessF64>(&text).map_or(0, |back| back.0.to_bits());
            assert_eq!(back, number.to_bits(), "{text}");
        }
    }
}
