//! Reads the size of an image from the first bytes of its file, before memory is taken for it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use image::{ImageDecoder, ImageError, ImageReader, ImageResult, Limits};

use super::limits::MAX_SIDE;

/// The bytes that a decoder may allocate before it decodes pixels: metadata and rows. A colour profile in a PNG that
/// unpacks to more is ignored.
pub(super) const MAX_METADATA: u64 = 16 << 20;
/// Bytes between two markers of a JPEG's header that are skipped as damage.
const MAX_DAMAGE: usize = 1 << 16;

/// The format of a file, as far as it is read differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jpeg,
    Png,
    WebP,
    Other,
}

/// The size of an image and of its decoded pixels, according to its file's header.
#[derive(Clone, Copy, Debug)]
pub struct ImageHeader {
    /// The width in pixels, before rotation by the EXIF orientation.
    pub width: u32,
    /// The height in pixels, before rotation by the EXIF orientation.
    pub height: u32,
    /// The bytes of the decoded pixels.
    pub bytes: u64,
    /// The bytes that the decoder needs besides them.
    pub(super) decoder: u64,
    pub(super) kind: Kind,
}

impl ImageHeader {
    /// Returns the number of pixels.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Reads the header of a file.
    pub(super) fn read(file: &mut BufReader<File>) -> ImageResult<Self> {
        let mut head = Vec::new();
        file.by_ref().take(32).read_to_end(&mut head)?;
        file.rewind()?;
        match head.as_slice() {
            [0xff, 0xd8, ..] => jpeg(file),
            [0x89, b'P', b'N', b'G', 13, 10, 26, 10, _, _, _, _, b'I', b'H', b'D', b'R', ihdr @ ..] => {
                png(ihdr).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
            }
            _ => Self::of_decoder(file, &head),
        }
    }

    fn of_decoder(file: &mut BufReader<File>, head: &[u8]) -> ImageResult<Self> {
        let mut reader = ImageReader::new(file).with_guessed_format()?;
        // The caller checks the size, and sets the limits of decoding by it.
        reader.no_limits();
        let decoder = reader.into_decoder()?;
        let (width, height) = decoder.dimensions();
        let is_webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
        let kind = if is_webp { Kind::WebP } else { Kind::Other };
        // A strip, a frame, or the coefficients of a lossy WebP.
        let bytes = decoder.total_bytes();
        Ok(Self { width, height, bytes, decoder: bytes, kind })
    }
}

/// Reads the header chunk of a PNG.
fn png(ihdr: &[u8]) -> Option<ImageHeader> {
    let number = |at: usize| Some(u32::from_be_bytes(ihdr.get(at..at + 4)?.try_into().ok()?));
    let (width, height) = (number(0)?, number(4)?);
    // Transparency in a later chunk adds a channel.
    let channels = match ihdr.get(9)? {
        0 => 2,
        _ => 4,
    };
    let bytes = if *ihdr.get(8)? == 16 { 2 } else { 1 };
    let bytes = u64::from(width) * u64::from(height) * channels * bytes;
    Some(ImageHeader { width, height, bytes, decoder: MAX_METADATA, kind: Kind::Png })
}

/// Reads the frame header of a JPEG.
fn jpeg(file: &mut BufReader<File>) -> ImageResult<ImageHeader> {
    let invalid =
        || ImageError::from(io::Error::new(io::ErrorKind::InvalidData, "the JPEG has no frame header"));
    file.seek(SeekFrom::Start(2))?;
    loop {
        let mut damage = 0;
        let mut byte = [0];
        // A marker is FF, more FF as padding, and a byte.
        while {
            file.read_exact(&mut byte).map_err(|_| invalid())?;
            byte[0] != 0xff
        } {
            damage += 1;
            if damage > MAX_DAMAGE {
                return Err(invalid());
            }
        }
        while byte[0] == 0xff {
            file.read_exact(&mut byte).map_err(|_| invalid())?;
        }
        match byte[0] {
            0 | 1 | 0xd0..=0xd8 => {}
            0xd9 | 0xda => return Err(invalid()),
            marker @ 0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                let mut frame = [0; 8];
                file.read_exact(&mut frame).map_err(|_| invalid())?;
                let [height, width] = [3, 5].map(|at| u16::from_be_bytes([frame[at], frame[at + 1]]));
                let (width, height, stored) = (u32::from(width), u32::from(height), u64::from(frame[7]));
                let pixels = u64::from(width) * u64::from(height);
                let bytes = pixels * if stored == 1 { 1 } else { 3 };
                // A progressive file is decoded from all its coefficients, of 16 bits.
                let is_whole = marker & 3 == 2;
                let decoder = if is_whole { pixels * stored * 2 } else { 0 };
                return Ok(ImageHeader { width, height, bytes, decoder, kind: Kind::Jpeg });
            }
            _ => {
                let mut length = [0; 2];
                file.read_exact(&mut length).map_err(|_| invalid())?;
                file.seek_relative(i64::from(u16::from_be_bytes(length)).max(2) - 2)?;
            }
        }
    }
}

/// Returns the limits of decoders for an image of this header.
pub(super) fn decoder_limits(header: &ImageHeader) -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(match header.kind {
        Kind::Png => MAX_METADATA,
        _ => 2 * header.bytes + MAX_METADATA,
    });
    limits
}

/// Returns a PNG with the end mark (IEND) that it lacks, if nothing but that or a part of metadata is missing.
pub(super) fn mended_png(file: &mut BufReader<File>, length: u64) -> io::Result<Option<Vec<u8>>> {
    const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82];
    let mut at = 8;
    let mut has_pixels = false;
    let rest = loop {
        file.seek(SeekFrom::Start(at))?;
        let mut head = Vec::new();
        file.by_ref().take(8).read_to_end(&mut head)?;
        let &[a, b, c, d, ref name @ ..] = head.as_slice() else { break head };
        let end = at + 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if name == b"IEND" {
            return Ok(None);
        }
        if end > length {
            break head;
        }
        has_pixels |= name == b"IDAT";
        at = end;
    };
    // Metadata has names in lower case, animations excepted.
    let is_metadata = rest.len() == 8 && rest[4].is_ascii_lowercase() && !rest[4..].starts_with(b"f");
    if !has_pixels || !(END.starts_with(&rest) || is_metadata) {
        return Ok(None);
    }
    file.rewind()?;
    let mut bytes = Vec::new();
    file.by_ref().take(at).read_to_end(&mut bytes)?;
    bytes.extend(END);
    Ok(Some(bytes))
}
