//! Reads image files as arrays, with their own channels and type of samples.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use super::array::ImageArray;
use super::decode::{guarded, load_decoded, open};
use super::limits::{ImageLimits, MemoryPermit};
use super::npy;
use super::pages::Page;
#[cfg(feature = "codecs")]
use super::tiff;
use crate::error::{Error, Result};

/// An array, and the memory that it takes in the budget.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedArray {
    /// The array.
    pub array: ImageArray,
    /// The memory of the array and of working copies.
    pub permit: MemoryPermit,
}

/// Reads an image as an array, within `limits`: TIFF and BigTIFF files, `.npy` arrays, and any other image.
///
/// Of three sizes of a `.npy` array, the first is the number of channels if it is at most 16 and the last one is larger;
/// otherwise the last one is. As for [`load_image`](super::load_image), `working` returns the bytes of the copies that the caller will make
/// of an array of so many samples.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Image`] if it is not an image, damaged, too large, or of a kind that cannot be read
///
/// # Examples
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("image.npy");
/// use pix2pix::data::{ImageArray, ImageLimits, Page, Samples, load_array, write_arrays};
///
/// let array = ImageArray::new(Samples::F32(vec![0.5; 5 * 40 * 30]), [5, 40, 30]);
/// write_arrays(std::slice::from_ref(&array), &path)?;
/// assert_eq!(load_array(&path, Page::Number(0), &ImageLimits::new(), |_| 0)?.array, array);
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn load_array(
    path: impl AsRef<Path>,
    page: Page,
    limits: &ImageLimits,
    working: impl Fn(u64) -> u64,
) -> Result<LoadedArray> {
    let path = path.as_ref();
    let (mut file, length) = open(path)?;
    let kind = Kind::of(&mut file).map_err(|error| Error::io(path, error))?;
    if kind == Kind::Other {
        if page != Page::Number(0) && page != Page::All {
            return Err(Error::image(path, "it has one page"));
        }
        let loaded = load_decoded(path, limits, |header| header.bytes + working(4 * header.pixels()))?;
        return Ok(LoadedArray { array: ImageArray::of_image(&loaded.image), permit: loaded.permit });
    }
    // A compressed file takes more when decoded; its header tells how much.
    let decoded = match kind {
        #[cfg(feature = "codecs")]
        Kind::Tiff => tiff_bytes(&mut file, page, path, limits)?,
        _ => length,
    };
    let permit = limits.budget().take(2 * length + 2 * decoded + working(decoded));
    file.rewind().map_err(|error| Error::io(path, error))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    let limit = usize::try_from(limits.max_bytes()).unwrap_or(usize::MAX);
    let array = guarded(path, || decode(&bytes, kind, page, limit))?;
    let problem = limits.problem(
        [u32::try_from(array.width).unwrap_or(u32::MAX), u32::try_from(array.height).unwrap_or(u32::MAX)],
        0,
    );
    match problem {
        Some(problem) => Err(Error::image(path, problem)),
        None => Ok(LoadedArray { array, permit }),
    }
}

/// Returns the number of pages of a TIFF file, and 1 for other files.
///
/// # Errors
/// - [`Error::Io`] if the file cannot be read
/// - [`Error::Image`] if it is not a file
pub fn page_count(path: impl AsRef<Path>) -> Result<usize> {
    let path = path.as_ref();
    let (mut file, _) = open(path)?;
    match Kind::of(&mut file).map_err(|error| Error::io(path, error))? {
        #[cfg(feature = "codecs")]
        Kind::Tiff => {
            let count = guarded(path, || Ok::<_, String>(tiff::pages(file)));
            Ok(count.ok().flatten().unwrap_or(1))
        }
        _ => Ok(1),
    }
}

/// Returns whether a file is a TIFF file or a `.npy` array.
pub(super) fn is_array(path: &Path) -> bool {
    let kind =
        open(path).and_then(|(mut file, _)| Kind::of(&mut file).map_err(|error| Error::io(path, error)));
    kind.is_ok_and(|kind| kind != Kind::Other)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(feature = "codecs")]
    Tiff,
    Npy,
    Other,
}

impl Kind {
    /// Recognises a file by its first bytes, and leaves it at its start.
    fn of(file: &mut BufReader<File>) -> std::io::Result<Self> {
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head)?;
        file.rewind()?;
        #[cfg(feature = "codecs")]
        if tiff::is_tiff(&head) {
            return Ok(Self::Tiff);
        }
        Ok(if head.starts_with(npy::MAGIC) { Self::Npy } else { Self::Other })
    }
}

/// Returns the bytes of the decoded pages, after checking their size.
#[cfg(feature = "codecs")]
fn tiff_bytes(file: &mut BufReader<File>, page: Page, path: &Path, limits: &ImageLimits) -> Result<u64> {
    let layouts = guarded(path, || tiff::layouts(file, page))?;
    let mut sum = 0_u64;
    for (size, bytes) in layouts {
        if let Some(problem) = limits.problem(size, bytes) {
            return Err(Error::image(path, problem));
        }
        sum = sum.saturating_add(bytes);
        if sum > limits.max_bytes() {
            let problem = "its pages together are too large; use --pages first, or raise --max-megapixels";
            return Err(Error::image(path, problem));
        }
    }
    Ok(sum)
}

#[cfg_attr(not(feature = "codecs"), allow(unused_variables, reason = "the limit is that of TIFF files"))]
fn decode(bytes: &[u8], kind: Kind, page: Page, limit: usize) -> std::result::Result<ImageArray, String> {
    match (kind, page) {
        #[cfg(feature = "codecs")]
        (Kind::Tiff, Page::Number(page)) => tiff::decode(bytes, page, limit),
        #[cfg(feature = "codecs")]
        (Kind::Tiff, Page::All) => {
            let count = tiff::pages(std::io::Cursor::new(bytes)).unwrap_or(1);
            let pages = (0..count).map(|page| tiff::decode(bytes, page, limit));
            ImageArray::stacked(&pages.collect::<std::result::Result<Vec<_>, _>>()?)
        }
        (_, Page::Number(page)) if page > 0 => Err("it has one page".to_owned()),
        _ => npy::decode(bytes),
    }
}
