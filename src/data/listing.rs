//! Lists the images in a folder and its subfolders, and every file that is left out, with the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::content::{Content, HEAD, content, has_image_extension};
use crate::error::{Error, Result};

/// The deepest level of subfolders. Links can make endless chains of folders.
const MAX_DEPTH: usize = 64;

/// Files and folders that operating systems and file managers write, in lower case.
const SYSTEM: [&str; 13] = [
    "@eadir",
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    ".ds_store",
    ".spotlight-v100",
    ".trashes",
    "$recycle.bin",
    "#recycle",
    "@recycle",
    "system volume information",
    "lost+found",
];

/// The images in a folder and its subfolders, and the files that are left out.
///
/// A file is an image by its first bytes, whatever its extension: PNG, JPEG, WebP, BMP, GIF, TIFF (and BigTIFF). Links
/// are followed. Hidden files, files of file managers, and whatever is in a folder of
/// these kinds are left out.
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # std::fs::write(folder.path().join("notes.txt"), "text").unwrap();
/// # image::RgbImage::new(2, 2).save(folder.path().join("a.png")).unwrap();
/// use pix2pix::data::{Listing, Reason};
///
/// let listing = Listing::open(folder.path())?;
/// assert_eq!(listing.images.len(), 1);
/// assert_eq!(listing.left_out[0].reason, Reason::NotAnImage);
/// assert_eq!(listing.summary().unwrap(), "1 file left out: 1 not an image");
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The images, in an order that depends only on their names.
    pub images: Vec<PathBuf>,
    /// The other files, in the same order.
    pub left_out: Vec<LeftOut>,
}

/// A file or folder that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The file or folder.
    pub path: PathBuf,
    /// Why it is not used.
    pub reason: Reason,
}

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Its name, or that of a folder that it is in, begins with a dot.
    Hidden,
    /// An operating system or a file manager wrote it, or the folder that it is in.
    SystemFile,
    /// Its content is not an image.
    NotAnImage,
    /// It is an image of this type, which cannot be read.
    UnreadableFormat(&'static str),
    /// It is a link to a file that does not exist.
    DanglingLink,
    /// It is a link to itself, or to a folder that it is in.
    LinkLoop,
    /// It has no bytes.
    Empty,
    /// It ends within the first bytes of an image.
    Truncated,
    /// It is the pointer that Git LFS leaves in place of a file.
    LfsPointer,
    /// It is a pipe, a socket or a device.
    NotAFile,
    /// The operating system cannot read it, with its error.
    Unreadable(String),
    /// It is an image outside the folders of pairs.
    OutsidePairs,
    /// No image of the other side has its name.
    NoPartner,
    /// It is not a pair of the folder's layout, with what is wrong.
    NotAPair(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnreadableFormat(name) => write!(f, "{name}, which cannot be read; convert it to PNG"),
            Self::DanglingLink => f.write_str("a link to a file that does not exist"),
            Self::LinkLoop => f.write_str("a link that leads back to itself"),
            Self::Empty => f.write_str("the file is empty"),
            Self::Truncated => f.write_str("truncated"),
            Self::LfsPointer => f.write_str("a pointer of Git LFS; run `git lfs pull`"),
            Self::Unreadable(problem) | Self::NotAPair(problem) => f.write_str(problem),
            other => f.write_str(&other.label(1)),
        }
    }
}

impl Reason {
    /// Returns the reason's name in a count of that many files, such as `not images` for 2.
    #[must_use]
    pub fn label(&self, count: usize) -> String {
        let one = count == 1;
        match self {
            Self::Hidden => "hidden",
            Self::SystemFile if one => "system file",
            Self::SystemFile => "system files",
            Self::NotAnImage if one => "not an image",
            Self::NotAnImage => "not images",
            Self::UnreadableFormat(name) => return format!("of an unreadable type ({name})"),
            Self::DanglingLink if one => "dangling link",
            Self::DanglingLink => "dangling links",
            Self::LinkLoop if one => "loop of links",
            Self::LinkLoop => "loops of links",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::LfsPointer if one => "pointer of Git LFS",
            Self::LfsPointer => "pointers of Git LFS",
            Self::NotAFile => "not a regular file",
            Self::Unreadable(_) => "unreadable",
            Self::OutsidePairs => "outside the folders of pairs",
            Self::NoPartner => "without a partner",
            Self::NotAPair(_) if one => "not a pair",
            Self::NotAPair(_) => "not pairs",
        }
        .to_owned()
    }
}

impl LeftOut {
    /// Returns a file and the reason for which it is not used.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, reason: Reason) -> Self {
        Self { path: path.into(), reason }
    }

    /// Returns whether the file was probably meant to be used: a damaged image, for example, but not a hidden file or a
    /// text.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        match self.reason {
            Reason::Hidden | Reason::SystemFile | Reason::NotAFile => false,
            Reason::NotAnImage | Reason::Empty => has_image_extension(&self.path),
            _ => true,
        }
    }

    /// Returns the number of files left out by reason, such as `5 files left out: 3 hidden, 2 not images`; `None` if there
    /// are none.
    #[must_use]
    pub fn summary(left_out: &[LeftOut]) -> Option<String> {
        let mut counts: BTreeMap<String, (usize, &Reason)> = BTreeMap::new();
        for file in left_out {
            counts.entry(file.reason.label(2)).or_insert((0, &file.reason)).0 += 1;
        }
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let counts: Vec<String> =
            counts.into_iter().map(|(count, reason)| format!("{count} {}", reason.label(count))).collect();
        let files = if left_out.len() == 1 { "file" } else { "files" };
        (!counts.is_empty()).then(|| format!("{} {files} left out: {}", left_out.len(), counts.join(", ")))
    }
}

impl fmt::Display for LeftOut {
    /// Writes the path, a colon and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl Listing {
    /// Lists a folder and its subfolders.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder itself cannot be read. What cannot be read below it is left out.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_except(folder, &[])
    }

    /// Lists a folder and its subfolders except these, for example an output folder inside an input folder. They need
    /// not exist.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_except(folder: impl AsRef<Path>, except: &[&Path]) -> Result<Self> {
        let folder = folder.as_ref();
        let real = |path: &Path| path.canonicalize();
        let start = real(folder).map_err(|error| Error::io(folder, error))?;
        let existing = except.iter().filter_map(|path| match real(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            real => Some(real.map_err(|error| Error::io(path, error))),
        });
        let except = existing.collect::<Result<_>>()?;
        let mut walk = Walk { except, files: Vec::new(), left_out: Vec::new() };
        walk.folder(folder, &mut vec![start], None).map_err(|error| Error::io(folder, error))?;
        let Walk { files, mut left_out, .. } = walk;
        let judged: Vec<_> = files.into_par_iter().map(judge).collect();
        let mut images = Vec::new();
        for file in judged {
            match file {
                Ok(path) => images.push(path),
                Err(file) => left_out.push(file),
            }
        }
        images.sort_by_cached_key(|path| key(path));
        left_out.sort_by_cached_key(|file| key(&file.path));
        Ok(Self { images, left_out })
    }

    /// Returns the number of files left out by reason, such as `5 files left out: 3 hidden, 2 not images`; `None` if
    /// there are none.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        LeftOut::summary(&self.left_out)
    }
}

/// Returns the name of a path for comparisons: in Unicode NFC, with `/` between folders.
pub(super) fn normalized(path: &Path) -> String {
    let parts = path.components().map(|part| part.as_os_str().to_string_lossy().nfc().collect::<String>());
    parts.collect::<Vec<_>>().join("/")
}

/// The order of files: by folders, then by the name without extension, then by the whole name.
fn key(path: &Path) -> (Vec<String>, PathBuf) {
    let nfc = |text: &std::ffi::OsStr| text.to_string_lossy().nfc().collect::<String>();
    let mut parts: Vec<String> = path.components().map(|part| nfc(part.as_os_str())).collect();
    if let (Some(last), Some(stem)) = (parts.last_mut(), path.file_stem()) {
        *last = nfc(stem);
    }
    (parts, path.to_owned())
}

/// Returns the path of an image, or why it is not one.
fn judge(path: PathBuf) -> std::result::Result<PathBuf, LeftOut> {
    let mut head = Vec::with_capacity(HEAD);
    let read = File::open(&path).and_then(|file| file.take(HEAD as u64).read_to_end(&mut head));
    let reason = match read {
        Err(error) => Reason::Unreadable(error.to_string()),
        Ok(0) => Reason::Empty,
        Ok(_) => match content(&path, &head) {
            Content::Image => return Ok(path),
            Content::OtherType(name) => Reason::UnreadableFormat(name),
            Content::Truncated => Reason::Truncated,
            Content::LfsPointer => Reason::LfsPointer,
            Content::Other => Reason::NotAnImage,
        },
    };
    Err(LeftOut { path, reason })
}

/// A walk through a folder.
struct Walk {
    /// Real paths of folders that are skipped.
    except: Vec<PathBuf>,
    /// Files that may be images.
    files: Vec<PathBuf>,
    left_out: Vec<LeftOut>,
}

impl Walk {
    /// Walks through a folder. `trail` has the real paths of the folder and of those that it is in. With `reason`, all
    /// files in it are left out for that reason.
    fn folder(
        &mut self,
        folder: &Path,
        trail: &mut Vec<PathBuf>,
        reason: Option<&Reason>,
    ) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let own = unwanted(&entry.file_name().to_string_lossy());
            let reason = reason.or(own.as_ref());
            let kind = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => Ok(kind),
                // Left out in any case, so the link is not followed.
                Ok(_) if reason.is_some() => {
                    self.left_out.extend(reason.map(|reason| LeftOut::new(path, reason.clone())));
                    continue;
                }
                _ => std::fs::metadata(&path).map(|data| data.file_type()),
            };
            match kind {
                Ok(kind) if kind.is_dir() => self.subfolder(path, trail, reason),
                Ok(_) if reason.is_some() => {
                    self.left_out.extend(reason.map(|reason| LeftOut::new(path, reason.clone())));
                }
                Ok(kind) if kind.is_file() => self.files.push(path),
                Ok(_) => self.left_out.push(LeftOut::new(path, Reason::NotAFile)),
                Err(error) => self.left_out.push(LeftOut::new(path, link_problem(&error))),
            }
        }
        Ok(())
    }

    fn subfolder(&mut self, path: PathBuf, trail: &mut Vec<PathBuf>, reason: Option<&Reason>) {
        let walked = path.canonicalize().map(|real| {
            if self.except.contains(&real) {
                return Ok(());
            }
            if trail.contains(&real) || trail.len() > MAX_DEPTH {
                self.left_out.push(LeftOut::new(path.clone(), Reason::LinkLoop));
                return Ok(());
            }
            trail.push(real);
            let walked = self.folder(&path, trail, reason);
            trail.pop();
            walked
        });
        if let Err(error) | Ok(Err(error)) = walked {
            let reason = reason.cloned().unwrap_or_else(|| Reason::Unreadable(error.to_string()));
            self.left_out.push(LeftOut { path, reason });
        }
    }
}

/// Returns the reason to leave out a file or folder of this name.
fn unwanted(name: &str) -> Option<Reason> {
    let lower = name.to_lowercase();
    let is_thumbnail = ["synofile_thumb", "synophoto_thumb"].iter().any(|start| lower.starts_with(start));
    if SYSTEM.contains(&lower.as_str()) || is_thumbnail {
        return Some(Reason::SystemFile);
    }
    name.starts_with('.').then_some(Reason::Hidden)
}

/// Returns why a link cannot be followed.
fn link_problem(error: &std::io::Error) -> Reason {
    // `ErrorKind` has no stable variant for `ELOOP`: 40 on Linux, 62 on macOS and the BSDs.
    let is_loop = error.raw_os_error() == Some(if cfg!(target_os = "linux") { 40 } else { 62 });
    match error.kind() {
        ErrorKind::NotFound => Reason::DanglingLink,
        _ if cfg!(unix) && is_loop => Reason::LinkLoop,
        _ => Reason::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    fn write(folder: &Path, names: &[&str], bytes: &[u8]) {
        for name in names {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    fn names(folder: &Path, listing: &Listing) -> Vec<String> {
        listing.images.iter().map(|path| normalized(path.strip_prefix(folder).unwrap())).collect()
    }

    fn reasons(folder: &Path, listing: &Listing) -> Vec<(String, Reason)> {
        let name = |file: &LeftOut| normalized(file.path.strip_prefix(folder).unwrap());
        listing.left_out.iter().map(|file| (name(file), file.reason.clone())).collect()
    }

    #[test]
    fn files_are_images_by_content_and_sorted_by_stem() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        write(here, &["a.png", "a-1.png", "b/x/c.JPG", "noextension", "b.txt", "a.bmp"], PNG);
        write(here, &["text.jpg", "notes.md"], b"this is not an image");
        write(here, &["empty.png"], b"");
        write(here, &["cut.png"], &PNG[..5]);
        write(here, &["scan.pgm"], b"P5\n4 4\n255\n");
        let listing = Listing::open(here).unwrap();
        assert_eq!(names(here, &listing), ["a.bmp", "a.png", "a-1.png", "b.txt", "b/x/c.JPG", "noextension"]);
        assert_eq!(
            reasons(here, &listing),
            [
                ("cut.png".to_owned(), Reason::Truncated),
                ("empty.png".to_owned(), Reason::Empty),
                ("notes.md".to_owned(), Reason::NotAnImage),
                ("scan.pgm".to_owned(), Reason::UnreadableFormat("PBM, PGM or PPM")),
                ("text.jpg".to_owned(), Reason::NotAnImage),
            ]
        );
        let faults: Vec<bool> = listing.left_out.iter().map(LeftOut::is_fault).collect();
        assert_eq!(faults, [true, true, false, true, true]);
        assert_eq!(
            listing.summary().unwrap(),
            "5 files left out: 2 not images, 1 empty, 1 of an unreadable type (PBM, PGM or PPM), 1 truncated"
        );
    }

    #[test]
    fn hidden_and_system_files_are_left_out_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join(".hidden-root");
        let unwanted = [
            ".thumbnails/a.png",
            "._a.png",
            "@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
            "__MACOSX/._a.png",
            "deep/.ipynb_checkpoints/more/a.png",
            "deep/Thumbs.db",
        ];
        write(&here, &unwanted, PNG);
        write(&here, &["a.png", "deep/b.png"], PNG);
        let listing = Listing::open(&here).unwrap();
        assert_eq!(names(&here, &listing), ["a.png", "deep/b.png"]);
        assert_eq!(listing.summary().unwrap(), "6 files left out: 3 hidden, 3 system files");
    }

    #[test]
    fn a_folder_can_be_excluded_and_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        write(here, &["a.png", "out/b.png"], PNG);
        let listing = Listing::open_except(here, &[&here.join("out"), &here.join("missing")]).unwrap();
        assert_eq!((names(here, &listing), listing.left_out), (vec!["a.png".to_owned()], vec![]));
        assert!(matches!(Listing::open(here.join("missing")), Err(Error::Io { .. })));
        assert!(matches!(Listing::open(here.join("a.png")), Err(Error::Io { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_bad_ones_named() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("in");
        write(folder.path(), &["store/.objects/x", "album/p.png"], PNG);
        write(&here, &["sub/a.png"], PNG);
        symlink("../store/.objects/x", here.join("linked.png")).unwrap();
        symlink("../album", here.join("album")).unwrap();
        symlink("nowhere.png", here.join("dangling.png")).unwrap();
        symlink("self.png", here.join("self.png")).unwrap();
        symlink("..", here.join("sub/up")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(here.join("socket.png"));
        let listing = Listing::open(&here).unwrap();
        assert_eq!(names(&here, &listing), ["album/p.png", "linked.png", "sub/a.png"]);
        let mut expected = vec![
            ("dangling.png".to_owned(), Reason::DanglingLink),
            ("self.png".to_owned(), Reason::LinkLoop),
            ("socket.png".to_owned(), Reason::NotAFile),
            ("sub/up".to_owned(), Reason::LinkLoop),
        ];
        if socket.is_err() {
            expected.remove(2);
        }
        assert_eq!(reasons(&here, &listing), expected);
    }
}
