//! The configuration in the metadata of a weights file, and the checksums of its tensors and of itself.

use serde_json::{Map, Value};

/// The metadata entry that holds the configuration as JSON.
pub(super) const CONFIG: &str = "pix2pix.config";
/// The field of that JSON object that holds the checksum of all tensors, in eight hexadecimal digits. It is not a
/// separate metadata entry because the order of several entries varies from one write to the next.
const CHECKSUM: &str = "crc32c";
/// The field that holds the checksum of the JSON text itself, computed with [`BLANK`] in its place. Older files do
/// not have it.
const CONFIG_CHECKSUM: &str = "config_crc32c";
const BLANK: &str = "00000000";

/// Returns the checksum of one tensor. These are added, so the sum does not depend on the order of the tensors.
pub(super) fn checksum(name: &str, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), bytes)
}

/// Returns the configuration as JSON, with the checksums as further fields.
pub(super) fn with_checksums(mut config: Map<String, Value>, sum: u32) -> String {
    config.insert(CHECKSUM.to_owned(), format!("{sum:08x}").into());
    config.insert(CONFIG_CHECKSUM.to_owned(), BLANK.into());
    let text = format!("{:#}", Value::Object(config));
    let own = format!("{:08x}", crc32c::crc32c(text.as_bytes()));
    text.replacen(&quoted(BLANK), &quoted(&own), 1)
}

/// Returns the field of the text's own checksum with this value.
fn quoted(value: &str) -> String {
    format!("\"{CONFIG_CHECKSUM}\": \"{value}\"")
}

/// What [`with_checksums`] returned.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    /// The configuration alone, as JSON.
    pub(super) config: String,
    /// The checksum of all tensors; `None` in files of other programs.
    pub(super) sum: Option<String>,
}

impl Settings {
    /// Splits the text into its parts.
    ///
    /// # Errors
    /// The problem, if the checksum of the text differs.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Ok(Self { config: text.to_owned(), sum: None });
        };
        if let Some(own) = fields.remove(CONFIG_CHECKSUM) {
            let own = own.as_str().unwrap_or_default();
            let blank = text.replacen(&quoted(own), &quoted(BLANK), 1);
            if own != format!("{:08x}", crc32c::crc32c(blank.as_bytes())) {
                return Err("the checksum of its configuration differs".to_owned());
            }
        }
        match fields.remove(CHECKSUM) {
            Some(Value::String(sum)) => {
                Ok(Self { config: format!("{:#}", Value::Object(fields)), sum: Some(sum) })
            }
            _ => Ok(Self { config: text.to_owned(), sum: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> String {
        with_checksums(serde_json::from_str(r#"{"a": {"b": 1.5}, "z": "0"}"#).unwrap(), 0x0000_beef)
    }

    #[test]
    fn checksums_are_added_to_the_configuration_and_split_off_again() {
        let text = written();
        assert!(text.contains("\"crc32c\": \"0000beef\""), "{text}");
        let Settings { config, sum } = Settings::read(&text).unwrap();
        assert_eq!(sum.as_deref(), Some("0000beef"));
        assert_eq!(config, "{\n  \"a\": {\n    \"b\": 1.5\n  },\n  \"z\": \"0\"\n}");
    }

    #[test]
    fn every_flipped_bit_is_found_or_leaves_an_unknown_field() {
        let text = written();
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(damaged) = String::from_utf8(bytes) else { continue };
            if let Ok(Settings { config, .. }) = Settings::read(&damaged) {
                // The configuration refuses text that is not JSON, and fields that it does not know.
                let fields = serde_json::from_str::<Map<String, Value>>(&config);
                let is_known =
                    |fields: Map<String, Value>| fields.keys().all(|name| name == "a" || name == "z");
                assert!(!fields.is_ok_and(is_known), "{damaged}");
            }
        }
    }

    #[test]
    fn files_of_version_0_1_hold_one_checksum_as_the_last_field() {
        let Settings { config, sum } =
            Settings::read("{\n  \"z\": 1,\n  \"crc32c\": \"01234567\"\n}").unwrap();
        assert_eq!((config.as_str(), sum.as_deref()), ("{\n  \"z\": 1\n}", Some("01234567")));
    }

    #[test]
    fn other_metadata_has_no_checksum() {
        for text in ["", "[1]", "{}", "{\"crc32c\": 5}", "{\"crc32c\""] {
            assert_eq!(Settings::read(text).unwrap(), Settings { config: text.to_owned(), sum: None });
        }
    }
}
