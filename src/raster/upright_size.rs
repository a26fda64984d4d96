//! Reads the size of an image from the header of its file, without decoding it.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader, Limits};

use super::header::MAX_METADATA;

/// The bytes at the beginning of a file that usually contain the header. Some decoders read all that they are given.
const HEADER: u64 = 1 << 20;

/// Returns height and width of the upright image in a file, or `None` if the file is not an image that can be read.
pub(crate) fn header_size(path: &Path) -> Option<[usize; 2]> {
    // Reading a pipe or a device may block or never end.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut start = Vec::new();
    File::open(path).ok()?.take(HEADER).read_to_end(&mut start).ok()?;
    let is_whole = (start.len() as u64) < HEADER;
    image::guess_format(&start).ok()?;
    match size(Cursor::new(start)) {
        // The directory of a TIFF file may be at its end.
        None if !is_whole => size(BufReader::new(File::open(path).ok()?)),
        size => size,
    }
}

fn size(bytes: impl BufRead + Seek) -> Option<[usize; 2]> {
    let mut reader = ImageReader::new(bytes).with_guessed_format().ok()?;
    // A compressed colour profile of a PNG could take any memory.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_METADATA);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let size = [height as usize, width as usize];
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let is_turned = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    Some(if is_turned { [size[1], size[0]] } else { size })
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageFormat};

    use super::*;

    #[test]
    fn the_size_is_in_the_header_of_every_format() {
        let folder = tempfile::tempdir().unwrap();
        let image = DynamicImage::new_rgb8(30, 20);
        for format in ["png", "jpg", "webp", "tiff", "bmp", "gif"] {
            let path = folder.path().join("image"); // the name says nothing
            image.save_with_format(&path, ImageFormat::from_extension(format).unwrap()).unwrap();
            assert_eq!(header_size(&path), Some([20, 30]), "{format}");
        }
        std::fs::write(folder.path().join("text.png"), b"not an image").unwrap();
        assert_eq!(header_size(&folder.path().join("text.png")), None);
        assert_eq!(header_size(folder.path()), None);
        assert_eq!(header_size(&folder.path().join("absent.png")), None);
    }

    #[test]
    fn a_long_tiff_with_its_directory_at_the_end_has_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.tif");
        DynamicImage::new_rgb8(900, 700).save(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > HEADER);
        assert_eq!(header_size(&path), Some([700, 900]));
    }
}
