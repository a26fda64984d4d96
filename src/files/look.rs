//! Tells a path where nothing is from one that cannot be looked at.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::{Error, Result};

/// Returns the metadata of what is at `path`, with links followed; `None` if nothing is there.
///
/// # Errors
/// [`Error::Io`] if it cannot be looked at, for instance a link that leads nowhere because its disk is not mounted.
pub(crate) fn look(path: &Path) -> Result<Option<Metadata>> {
    let found = match fs::symlink_metadata(path) {
        Ok(own) if own.is_symlink() => fs::metadata(path).map(Some).map_err(|error| match error.kind() {
            ErrorKind::NotFound => io::Error::new(
                ErrorKind::NotFound,
                "this link leads nowhere; mount the disk that it leads to, or remove the link",
            ),
            _ => error,
        }),
        Ok(own) => Ok(Some(own)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    };
    found.map_err(|error| Error::io(path, error))
}

/// Returns whether anything is at `path`.
///
/// # Errors
/// As [`look`].
pub(crate) fn exists(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some())
}

/// Returns whether a folder is at `path`.
///
/// # Errors
/// As [`look`].
pub(crate) fn is_folder(path: &Path) -> Result<bool> {
    Ok(look(path)?.is_some_and(|found| found.is_dir()))
}

/// Creates a folder in which files are replaced and removed, if it is absent.
///
/// # Errors
/// [`Error::Io`] if it cannot be created, or is a link: what it leads to may belong to something else.
pub(crate) fn own_folder(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|own| own.is_symlink()) {
        let problem = "this is a link, through which no file is written or removed; replace it by a folder";
        return Err(Error::io(path, io::Error::new(ErrorKind::InvalidInput, problem)));
    }
    fs::create_dir_all(path).map_err(|error| Error::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_told_from_what_cannot_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        fs::write(here.join("file"), b"").unwrap();
        assert!(look(&here.join("absent")).unwrap().is_none());
        assert!(!exists(&here.join("file/below")).unwrap());
        assert!(exists(&here.join("file")).unwrap() && !is_folder(&here.join("file")).unwrap());
        assert!(is_folder(here).unwrap());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(here.join("nowhere"), here.join("link")).unwrap();
            let message = exists(&here.join("link")).unwrap_err().to_string();
            assert!(message.contains("link: this link leads nowhere"), "{message}");
            std::os::unix::fs::symlink(here, here.join("circle")).unwrap();
            assert!(is_folder(&here.join("circle")).unwrap());
            assert!(own_folder(&here.join("circle")).unwrap_err().to_string().contains("this is a link"));
        }
        own_folder(&here.join("new")).unwrap();
    }
}
