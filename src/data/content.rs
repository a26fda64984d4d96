//! Recognises the type of a file by its first bytes, and by its extension where a type has no signature.

use std::path::Path;

/// The number of first bytes that [`content`] looks at.
pub(super) const HEAD: usize = 64;

/// The extensions of images that can be read.
const EXTENSIONS: [&str; 15] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif", "tif", "tiff", "btf", "tf8",
    "npy",
];

/// The signatures of the types that can be read.
const READABLE: [&[u8]; 10] = [
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"BM",
    b"\x93NUMPY",
];

/// The signatures of image types that cannot be read.
const OTHER_TYPES: [(&[u8], &str); 17] = [
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"qoif", "QOI"),
    (b"8BPS", "Photoshop"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"DDS ", "DDS"),
    (b"farbfeld", "farbfeld"),
    (b"\0\0\x01\0", "icon"),
    (b"SIMPLE  =", "FITS"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"gimp xcf", "GIMP"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"AT&TFORM", "DjVu"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
];

/// The extensions of camera raw files, most of which are TIFF files around data that no TIFF reader knows.
const RAW: [&str; 12] = ["cr2", "cr3", "nef", "nrw", "arw", "dng", "orf", "rw2", "raf", "pef", "srw", "3fr"];

/// The brands of files with the signature `ftyp`, which videos have, too.
const BRANDS: [(&[u8], &str); 10] = [
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"heim", "HEIC"),
    (b"heis", "HEIC"),
    (b"hevc", "HEIC"),
    (b"mif1", "HEIC"),
    (b"msf1", "HEIC"),
    (b"crx ", "camera raw"),
];

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An image of a type that can be read.
    Image,
    /// An image of this type, which cannot be read.
    OtherType(&'static str),
    /// The beginning of an image's signature, and no more.
    Truncated,
    /// The pointer that Git LFS leaves in place of a file.
    LfsPointer,
    /// Something else.
    Other,
}

/// Returns what a file with these first bytes holds, at most [`HEAD`] of them.
pub(super) fn content(path: &Path, head: &[u8]) -> Content {
    let extension = extension(path);
    if RAW.contains(&extension.as_str()) && !head.is_empty() {
        return Content::OtherType("camera raw");
    }
    if is_readable(head) {
        return Content::Image;
    }
    if let Some(name) = other_type(head) {
        return Content::OtherType(name);
    }
    if head.starts_with(b"version https://git-lfs") {
        return Content::LfsPointer;
    }
    let is_prefix = |signature: &&[u8]| signature.len() > head.len() && signature.starts_with(head);
    if has_image_extension(path)
        && (READABLE.iter().any(is_prefix) || (head.len() < 12 && b"RIFF".starts_with(head)))
    {
        return Content::Truncated;
    }
    // TGA has no signature; types 1 to 3 and 9 to 11 are images.
    let is_tga = head.len() >= 18 && matches!(head[1], 0 | 1) && matches!(head[2], 1..=3 | 9..=11);
    if matches!(extension.as_str(), "tga" | "icb" | "vda") && is_tga {
        return Content::OtherType("TGA");
    }
    Content::Other
}

/// Returns whether a file has the extension of an image that can be read.
pub(super) fn has_image_extension(path: &Path) -> bool {
    EXTENSIONS.contains(&extension(path).as_str())
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn is_readable(head: &[u8]) -> bool {
    // "BM" alone begins many texts; the reserved bytes of a bitmap are zero.
    let is_bitmap = |signature: &[u8]| {
        signature != b"BM" || head.get(14..18).is_some_and(|size| size[0] >= 12 && size[1..] == [0; 3])
    };
    READABLE.iter().any(|signature| head.starts_with(signature) && is_bitmap(signature))
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

fn other_type(head: &[u8]) -> Option<&'static str> {
    if let Some((_, name)) = OTHER_TYPES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return Some(name);
    }
    if head.get(4..8) == Some(b"ftyp") {
        let brands = head[8..].chunks_exact(4);
        return brands
            .filter_map(|brand| BRANDS.iter().find(|(name, _)| *name == brand))
            .map(|(_, name)| *name)
            .next();
    }
    match head {
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("PBM, PGM or PPM"),
        [b'P', b'F' | b'f', b'\n', ..] => Some("PFM"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_type() {
        let of = |name: &str, head: &[u8]| content(Path::new(name), head);
        for (head, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], Content::Image),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Content::Image),
            (b"RIFF\x24\0\0\0WAVEfmt ", Content::Other),
            (b"II+\0\x08\0\0\0", Content::Image),
            (b"\x93NUMPY\x01\0", Content::Image),
            (b"BM\x36\x60\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x80\0\0\0", Content::Image),
            (b"BMW and other cars, in alphabetical order", Content::Other),
            (b"P6\n128 64\n255\n", Content::OtherType("PBM, PGM or PPM")),
            (b"\0\0\0\x1cftypavif\0\0\0\0avif", Content::OtherType("AVIF")),
            (b"\0\0\0\x1cftypmp42\0\0\0\0isom", Content::Other),
            (b"this is text", Content::Other),
            (b"\x89PNG", Content::Truncated),
        ] {
            assert_eq!(of("a.png", head), expected, "{head:?}");
        }
        assert_eq!(of("a.NEF", b"II*\0\x08\0\0\0"), Content::OtherType("camera raw"));
        assert_eq!(
            of("a.tga", &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 4, 0, 24, 0]),
            Content::OtherType("TGA")
        );
        assert_eq!(of("a.txt", b"\x89PN"), Content::Other);
    }
}
