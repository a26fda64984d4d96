//! Reads regular files only, up to a length: a pipe may block, a device may never end, and a sparse file may claim any
//! length.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The largest length of a file of text: a configuration, a state or a manifest.
pub(crate) const MAX_TEXT: u64 = 64 << 20;

/// The largest length of a file of a network's parameters or of an optimiser's moments.
pub(crate) const MAX_RECORD: u64 = 1 << 40;

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe blocks, so it is looked at first.
    if !std::fs::metadata(path)?.is_file() {
        let problem = "this is not a file, but a folder, a pipe or a device";
        return Err(io::Error::new(ErrorKind::InvalidInput, problem));
    }
    File::open(path)
}

/// Reads a regular file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= max {
        file.take(max + 1).read_to_end(&mut bytes)?;
    }
    if length > max || bytes.len() as u64 > max {
        let problem =
            format!("{length} bytes are more than such a file has, {max}; it is damaged or another file");
        return Err(io::Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_usual_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"text").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"text");
        assert!(read(&path, 3).unwrap_err().to_string().contains("4 bytes are more"));
        assert!(read(folder.path(), 9).unwrap_err().to_string().contains("not a file"));
        assert_eq!(read(&folder.path().join("absent"), 9).unwrap_err().kind(), ErrorKind::NotFound);
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            assert!(read(&pipe, 9).unwrap_err().to_string().contains("a pipe"));
            assert!(read(Path::new("/dev/zero"), 9).unwrap_err().to_string().contains("a device"));
        }
        // A sparse file takes no memory.
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(read(&path, MAX_TEXT).is_err());
    }
}
