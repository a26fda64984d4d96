//! The header of a safetensors file. It is read strictly, so that a crafted header takes little memory: the format's own
//! crate first buffers any JSON.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::checksum::{CONFIG, Settings};
use crate::error::{Error, Result};
use crate::files;

/// The largest size of a header in bytes. That of the paper's U-Net has 9 000.
const MAX_HEADER: u64 = 1 << 20;
/// The largest number of tensors.
const MAX_TENSORS: usize = 1 << 14;
/// The longest name of a tensor in bytes; those of a U-Net of depth 12 have about 100.
const MAX_NAME: usize = 512;
/// The largest number of dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;

/// The header of a safetensors file, and the file, positioned after it.
pub(super) struct Header<'a> {
    pub(super) path: &'a Path,
    file: File,
    pub(super) metadata: Metadata,
}

impl<'a> Header<'a> {
    /// Reads the header of a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Checkpoint`] if its header is damaged, too large, or does not
    /// agree with the file's length.
    pub(super) fn read(path: &'a Path) -> Result<Self> {
        let mut file = files::open(path).map_err(|error| Error::io(path, error))?;
        let whole = file.metadata().map_err(|error| Error::io(path, error))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|error| Error::corrupt(path, error))?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > whole.saturating_sub(8) {
            return Err(Error::corrupt(path, format!("its header claims {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(|error| Error::corrupt(path, error))?;
        let Content { entries, tensors } =
            serde_json::from_slice(&header).map_err(|error| Error::corrupt(path, error))?;
        let count = tensors.len();
        let metadata = Metadata::new(entries, tensors).map_err(|error| Error::corrupt(path, error))?;
        if metadata.offset_keys().len() != count {
            return Err(Error::corrupt(path, "its header names a tensor twice"));
        }
        // Memory is allocated by the header's lengths, so they must agree with the file's length.
        let claimed = metadata.data_len() as u64;
        if claimed != whole - 8 - length {
            let problem =
                format!("its header claims {claimed} bytes of data, but there are {}", whole - 8 - length);
            return Err(Error::corrupt(path, problem));
        }
        Ok(Self { path, file, metadata })
    }

    /// Returns the configuration in the header, if there is one.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if its checksum differs.
    pub(super) fn settings(&self) -> Result<Option<Settings>> {
        let text = self.metadata.metadata().as_ref().and_then(|entries| entries.get(CONFIG));
        let settings = text.map(|text| Settings::read(text)).transpose();
        settings.map_err(|problem| Error::corrupt(self.path, problem))
    }

    /// Skips the next bytes of the file.
    pub(super) fn skip(&mut self, length: usize) -> Result<()> {
        let length = i64::try_from(length).map_err(|error| Error::corrupt(self.path, error))?;
        self.file.seek(SeekFrom::Current(length)).map_err(|error| Error::io(self.path, error))?;
        Ok(())
    }

    /// Reads the next bytes of the file.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|error| Error::io(self.path, error))
    }
}

/// The content of a header.
struct Content {
    entries: Option<HashMap<String, String>>,
    /// The tensors in the order of their bytes.
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Content, A::Error> {
        let mut content = Content { entries: None, tensors: vec![] };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if content.entries.replace(map.next_value()?).is_some() {
                    return Err(A::Error::custom("it has its metadata twice"));
                }
                continue;
            }
            if name.len() > MAX_NAME {
                let length = name.len();
                let problem = format!("it has a name of {length} bytes; no network has such long names");
                return Err(A::Error::custom(problem));
            }
            if content.tensors.len() == MAX_TENSORS {
                let problem = format!("it has more than {MAX_TENSORS} tensors; no network has so many");
                return Err(A::Error::custom(problem));
            }
            let Info { dtype, shape, data_offsets } = map.next_value()?;
            content.tensors.push((name, TensorInfo { dtype, shape: shape.0, data_offsets }));
        }
        content.tensors.sort_by_key(|(_, info)| info.data_offsets);
        Ok(content)
    }
}

/// [`TensorInfo`] with a bounded shape and without other fields.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {MAX_DIMENSIONS} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> std::result::Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(size) = sizes.next_element()? {
            if shape.len() == MAX_DIMENSIONS {
                return Err(A::Error::custom(format!("a tensor has more than {MAX_DIMENSIONS} dimensions")));
            }
            shape.push(size);
        }
        Ok(Shape(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names in a file with this header and data of `length` bytes, or the error.
    fn names(header: &str, length: usize) -> std::result::Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; length]].concat();
        std::fs::write(file.path(), bytes).unwrap();
        let header = Header::read(file.path()).map_err(|error| error.to_string())?;
        Ok(header.metadata.offset_keys())
    }

    fn tensor(name: &str, shape: &str, ends: [usize; 2]) -> String {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{ends:?}}}"#)
    }

    #[test]
    fn tensors_come_in_the_order_of_their_bytes() {
        let [a, b] = [tensor("a", "[1]", [8, 12]), tensor("b", "[2]", [0, 8])];
        assert_eq!(names(&format!(r#"{{"__metadata__":{{"x":"y"}},{a},{b}}}"#), 12).unwrap(), ["b", "a"]);
        assert!(names("{}", 0).unwrap().is_empty());
    }

    #[test]
    fn everything_else_is_refused_with_a_short_message() {
        let a = tensor("a", "[1]", [0, 4]);
        let many: Vec<String> = (0..=MAX_TENSORS).map(|n| tensor(&n.to_string(), "[0]", [0, 0])).collect();
        let long = "n".repeat(MAX_NAME + 1);
        for (header, length, expected) in [
            (format!("{{{a},{a}}}"), 4, ""),
            (format!("{{{},{}}}", tensor("a", "[0]", [0, 0]), tensor("a", "[0]", [0, 0])), 0, "twice"),
            (format!("{{{a}}}"), 5, "claims 4 bytes of data, but there are 5"),
            (format!("{{{}}}", tensor("a", "[1,1,1,1,1,1,1,1,1]", [0, 4])), 4, "more than 8 dimensions"),
            (format!("{{{}}}", tensor("a", "[[1]]", [0, 4])), 4, ""),
            (format!("{{{}}}", tensor(&long, "[1]", [0, 4])), 4, "a name of 513 bytes"),
            (format!("{{{}}}", many.join(",")), 0, "more than 16384 tensors"),
            (r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(), 0, "twice"),
            (r#"{"__metadata__":{"a":[]}}"#.to_owned(), 0, ""),
            (
                r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":[[[]]]}}"#.to_owned(),
                0,
                "unknown field",
            ),
            ("[]".to_owned(), 0, ""),
        ] {
            let message = names(&header, length).unwrap_err();
            assert!(message.contains(expected) && message.len() < 2000, "{message}");
        }
    }
}
