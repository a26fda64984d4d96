//! The configuration in the metadata of a weights file, and the checksum of its tensors.

use serde_json::{Map, Value};

/// The metadata entry that holds the configuration as JSON.
pub(super) const CONFIG: &str = "pix2pix.config";
/// The field of that JSON object that holds the checksum of all tensors, in eight hexadecimal digits. It is not a
/// separate metadata entry because the order of several entries varies from one write to the next.
const CHECKSUM: &str = "crc32c";

/// Returns the checksum of one tensor. These are added, so the sum does not depend on the order of the tensors.
pub(super) fn checksum(name: &str, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), bytes)
}

/// Returns the configuration as JSON, with the checksum as a further field.
pub(super) fn with_checksum(mut config: Map<String, Value>, sum: u32) -> String {
    config.insert(CHECKSUM.to_owned(), format!("{sum:08x}").into());
    format!("{:#}", Value::Object(config))
}

/// Splits what [`with_checksum`] returned into the configuration and the checksum.
pub(super) fn split_checksum(text: &str) -> (String, Option<String>) {
    if let Ok(Value::Object(mut fields)) = serde_json::from_str(text)
        && let Some(Value::String(sum)) = fields.remove(CHECKSUM)
    {
        return (format!("{:#}", Value::Object(fields)), Some(sum));
    }
    (text.to_owned(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_added_to_the_configuration_and_split_off_again() {
        let config = serde_json::from_str(r#"{"a": {"b": 1}}"#).unwrap();
        let text = with_checksum(config, 0x0000_beef);
        assert!(text.contains("\"crc32c\": \"0000beef\""), "{text}");
        let (config, sum) = split_checksum(&text);
        assert_eq!(sum.as_deref(), Some("0000beef"));
        assert_eq!(config, "{\n  \"a\": {\n    \"b\": 1\n  }\n}");
    }

    #[test]
    fn files_of_version_0_1_hold_the_checksum_as_the_last_field() {
        let (config, sum) = split_checksum("{\n  \"z\": 1,\n  \"crc32c\": \"01234567\"\n}");
        assert_eq!((config.as_str(), sum.as_deref()), ("{\n  \"z\": 1\n}", Some("01234567")));
    }

    #[test]
    fn other_metadata_has_no_checksum() {
        for text in ["", "[1]", "{}", "{\"crc32c\": 5}", "{\"crc32c\""] {
            assert_eq!(split_checksum(text), (text.to_owned(), None));
        }
    }
}
