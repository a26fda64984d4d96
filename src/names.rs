//! Names of enum variants as text, the same as in JSON.

use std::fmt::{self, Formatter};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// Reads a variant by its name in JSON, or as JSON if it has fields.
///
/// # Errors
/// [`Error::Argument`] with `kind` as the name, the text, and the valid names.
pub(crate) fn parse<T: DeserializeOwned>(kind: &'static str, text: &str) -> Result<T> {
    let value = if text.starts_with('{') {
        serde_json::from_str(text)
    } else {
        serde_json::from_value(Value::String(text.to_owned()))
    };
    // serde's message lists the names of the variants.
    value.map_err(|error| Error::argument(kind, format!("`{text}` cannot be used: {error}")))
}

/// Writes the name of a variant, or JSON if it has fields.
pub(crate) fn write<T: Serialize>(value: &T, f: &mut Formatter) -> fmt::Result {
    match serde_json::to_value(value).map_err(|_| fmt::Error)? {
        Value::String(name) => f.pad(&name),
        other => f.pad(&other.to_string()),
    }
}

/// Implements `Display` and `FromStr` for enums whose variants serde names.
macro_rules! named {
    ($type:ty, $kind:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::names::write(self, f)
            }
        }

        impl std::str::FromStr for $type {
            type Err = crate::error::Error;

            fn from_str(text: &str) -> crate::error::Result<Self> {
                crate::names::parse($kind, text)
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Shape {
        Round,
        NearlySquare,
        Star { points: usize },
    }

    named!(Shape, "shape");

    #[test]
    fn names_are_those_of_json_both_ways() {
        for (shape, name) in [(Shape::Round, "round"), (Shape::NearlySquare, "nearly_square")] {
            assert_eq!((shape.to_string().as_str(), name.parse::<Shape>().unwrap()), (name, shape));
        }
        assert_eq!(format!("{:>7}", Shape::Round), "  round");
        let star = Shape::Star { points: 5 };
        assert_eq!(star.to_string().parse::<Shape>().unwrap(), star);
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_value_and_the_choices() {
        let message = "flat".parse::<Shape>().unwrap_err().to_string();
        let expected = "shape: `flat` cannot be used: unknown variant `flat`, expected one of `round`, \
                        `nearly_square`, `star`";
        assert_eq!(message, expected);
        assert!("".parse::<Shape>().is_err() && "{\"star\": {}}".parse::<Shape>().is_err());
    }
}
