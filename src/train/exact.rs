//! Numbers that come back from JSON with the same bits.

use serde::{Deserialize, Serialize};

/// A number as text, since JSON has no NaN and no infinity, and its readers may round.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Exact(pub(super) f64);

impl From<Exact> for String {
    fn from(Exact(number): Exact) -> Self {
        number.to_string()
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives() {
        let awkward = [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 3.0, f64::MAX, f64::INFINITY, f64::NAN];
        for number in awkward.into_iter().chain((1..999).map(|i| f64::from(i).sin().exp())) {
            let text = serde_json::to_string(&Exact(number)).unwrap_or_default();
            let back = serde_json::from_str::<Exact>(&text).map_or(0, |back| back.0.to_bits());
            assert_eq!(back, number.to_bits(), "{text}");
        }
    }
}
