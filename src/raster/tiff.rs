//! Reads and writes the TIFF files that `image` cannot hold: grey floating-point and signed numbers, 32-bit integers,
//! palettes, BigTIFF, any number of samples, and pages.

use std::io::{Cursor, Read, Seek, Write};

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::encoder::{DirectoryEncoder, TiffEncoder, TiffKind};
use tiff::tags::{SampleFormat, Tag};
use tiff::{TiffError, TiffResult};

use super::array::{ImageArray, SampleType, Samples, with_samples};
use super::pages::Page;

/// The way out for a file that cannot be read.
const REMEDY: &str = "convert it to 16-bit TIFF or .npy";
/// The largest number of pages that is counted.
const MAX_PAGES: usize = 1 << 16;
/// The least bytes that a strip or a tile may take. A tile may be larger than its image.
const MIN_BUFFER: usize = 16 << 20;

/// Returns whether a file begins as TIFF or BigTIFF.
pub(super) fn is_tiff(bytes: &[u8]) -> bool {
    matches!(bytes, [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..])
}

/// Returns the number of pages of a TIFF file, or `None` if its directories are damaged.
pub(super) fn pages(file: impl Read + Seek) -> Option<usize> {
    let mut decoder = Decoder::new(file).ok()?;
    let mut pages = 1;
    while decoder.more_images() && pages < MAX_PAGES {
        decoder.next_image().ok()?;
        pages += 1;
    }
    Some(pages)
}

/// Returns width, height and the bytes of the samples of the pages that are read.
pub(super) fn layouts(file: impl Read + Seek, page: Page) -> Result<Vec<([u32; 2], u64)>, String> {
    let mut decoder = Decoder::new(file).map_err(told)?;
    if let Page::Number(page) = page
        && page > 0
    {
        decoder.seek_to_image(page).map_err(told)?;
    }
    let mut found = Vec::new();
    loop {
        let (width, height) = decoder.dimensions().map_err(told)?;
        // A palette has no layout; it becomes red, green and blue.
        let bytes = match decoder.image_buffer_layout() {
            Ok(layout) => layout.complete_len as u64,
            Err(_) => 3 * u64::from(width) * u64::from(height),
        };
        found.push(([width, height], bytes));
        if page != Page::All || !decoder.more_images() || found.len() == MAX_PAGES {
            return Ok(found);
        }
        decoder.next_image().map_err(told)?;
    }
}

/// Reads a page, counted from 0, whose samples may take up to `limit` bytes.
pub(super) fn decode(bytes: &[u8], page: usize, limit: usize) -> Result<ImageArray, String> {
    let patched = if page == 0 { without_palette(bytes) } else { None };
    let Some(patched) = patched else { return read(bytes, page, limit).map(|(array, _)| array) };
    let (array, map) = read(&patched, 0, limit / 3)?;
    coloured(array, &map.ok_or_else(|| format!("it has a palette without colours; {REMEDY}"))?)
}

/// Reads the samples of a page, and its palette.
fn read(bytes: &[u8], page: usize, limit: usize) -> Result<(ImageArray, Option<Vec<u16>>), String> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(told)?;
    if page > 0 {
        decoder.seek_to_image(page).map_err(told)?;
    }
    let colour = decoder.colortype().map_err(told)?;
    let (width, height) = decoder.dimensions().map_err(told)?;
    let [width, height, channels] = [width as usize, height as usize, usize::from(colour.num_samples())];
    let layout = decoder.image_buffer_layout().map_err(told)?;
    if layout.complete_len > limit {
        return Err(format!(
            "it takes {} MiB, more than the limit of {} MiB",
            layout.complete_len >> 20,
            limit >> 20
        ));
    }
    // A strip or a tile of a file that lies about its size would take any memory.
    let mut limits = Limits::default();
    limits.decoding_buffer_size = layout.complete_len.max(MIN_BUFFER);
    limits.intermediate_buffer_size = layout.complete_len.max(MIN_BUFFER);
    decoder = decoder.with_limits(limits);
    let map = decoder.find_tag_unsigned_vec(Tag::ColorMap).map_err(told)?;
    let mut result = DecodingResult::U8(vec![]);
    decoder.read_image_to_buffer(&mut result).map_err(told)?;
    let planes = layout.planes;
    let samples = match result {
        DecodingResult::U8(v) if colour.bit_depth() < 8 => {
            Samples::U8(unpacked(&v, colour.bit_depth(), width, height))
        }
        DecodingResult::U8(v) => Samples::U8(interleaved(v, planes)),
        DecodingResult::U16(v) => Samples::U16(interleaved(v, planes)),
        DecodingResult::U32(v) => Samples::U32(interleaved(v, planes)),
        DecodingResult::I8(v) => Samples::I8(interleaved(v, planes)),
        DecodingResult::I16(v) => Samples::I16(interleaved(v, planes)),
        DecodingResult::I32(v) => Samples::I32(interleaved(v, planes)),
        DecodingResult::F16(v) => {
            Samples::F32(interleaved(v.into_iter().map(|v| v.to_f32()).collect(), planes))
        }
        DecodingResult::F32(v) => Samples::F32(interleaved(v, planes)),
        DecodingResult::F64(v) => Samples::F64(interleaved(v, planes)),
        DecodingResult::U64(_) | DecodingResult::I64(_) => {
            return Err(format!("it holds 64-bit integers, which cannot be read; {REMEDY}"));
        }
    };
    if width.checked_mul(height).and_then(|count| count.checked_mul(channels)) != Some(samples.len()) {
        let bits = colour.bit_depth();
        return Err(format!("its samples of {bits} bits cannot be read; {REMEDY}"));
    }
    Ok((ImageArray { samples, channels, height, width }, map))
}

/// Returns the bytes of a TIFF file with these pages, uncompressed.
pub(crate) fn encode(pages: &[ImageArray]) -> Result<Vec<u8>, String> {
    let mut file = Cursor::new(Vec::new());
    let written = TiffEncoder::new(&mut file).and_then(|mut encoder| {
        pages.iter().try_for_each(|page| write_page(encoder.image_directory()?, page))
    });
    written.map_err(|error| error.to_string())?;
    Ok(file.into_inner())
}

/// Writes a page as one strip.
fn write_page<W: Write + Seek, K: TiffKind>(
    mut directory: DirectoryEncoder<'_, W, K>,
    page: &ImageArray,
) -> TiffResult<()> {
    let [channels, height, width] = page.shape();
    let sample_type = page.samples.sample_type();
    let (bits, format): (u16, _) = match sample_type {
        SampleType::U8 => (8, SampleFormat::Uint),
        SampleType::U16 => (16, SampleFormat::Uint),
        SampleType::U32 => (32, SampleFormat::Uint),
        SampleType::I8 => (8, SampleFormat::Int),
        SampleType::I16 => (16, SampleFormat::Int),
        SampleType::I32 => (32, SampleFormat::Int),
        SampleType::F32 => (32, SampleFormat::IEEEFP),
        SampleType::F64 => (64, SampleFormat::IEEEFP),
    };
    // Black is zero (1), or red, green and blue (2). Further samples have no meaning that is known (0).
    let (photometric, known) = if channels == 3 { (2_u16, 3) } else { (1, 1) };
    let offset = with_samples!(&page.samples, v => directory.write_data(v.as_slice())?);
    let length = page.samples.len() as u64 * u64::from(bits) / 8;
    directory.write_tag(Tag::ImageWidth, width as u32)?;
    directory.write_tag(Tag::ImageLength, height as u32)?;
    directory.write_tag(Tag::BitsPerSample, vec![bits; channels].as_slice())?;
    directory.write_tag(Tag::Compression, 1_u16)?;
    directory.write_tag(Tag::PhotometricInterpretation, photometric)?;
    directory.write_tag(Tag::StripOffsets, offset as u32)?;
    directory.write_tag(Tag::SamplesPerPixel, channels as u16)?;
    directory.write_tag(Tag::RowsPerStrip, height as u32)?;
    directory.write_tag(Tag::StripByteCounts, length as u32)?;
    directory.write_tag(Tag::PlanarConfiguration, 1_u16)?;
    if channels > known {
        directory.write_tag(Tag::ExtraSamples, vec![0_u16; channels - known].as_slice())?;
    }
    directory.write_tag(Tag::SampleFormat, vec![format.to_u16(); channels].as_slice())?;
    directory.finish()
}

/// Reorders samples that lie plane by plane to lie pixel by pixel.
fn interleaved<T: Copy>(samples: Vec<T>, planes: usize) -> Vec<T> {
    if planes < 2 {
        return samples;
    }
    let count = samples.len() / planes;
    (0..count)
        .flat_map(|pixel| (0..planes).map(move |plane| plane * count + pixel))
        .map(|at| samples[at])
        .collect()
}

/// Returns the samples of 1, 2 or 4 bits of rows that begin at whole bytes.
fn unpacked(bytes: &[u8], bits: u8, width: usize, height: usize) -> Vec<u8> {
    let (bits, mask) = (usize::from(bits), (1_u8 << bits) - 1);
    if !matches!(bits, 1 | 2 | 4) {
        return vec![];
    }
    let row = (width * bits).div_ceil(8);
    let rows = bytes.chunks_exact(row.max(1)).take(height);
    rows.flat_map(|row| (0..width).map(move |x| row[x * bits / 8] >> (8 - bits - x * bits % 8) & mask))
        .collect()
}

/// Replaces indices into a palette by its colours with 8 bits, as other programs do.
fn coloured(array: ImageArray, map: &[u16]) -> Result<ImageArray, String> {
    let Samples::U8(indices) = &array.samples else {
        return Err(format!("its palette has more than 256 colours; {REMEDY}"));
    };
    let count = map.len() / 3;
    if array.channels != 1 || indices.iter().any(|index| usize::from(*index) >= count) {
        return Err(format!("its palette lacks some of its colours; {REMEDY}"));
    }
    let colour = |index: u8| [0, 1, 2].map(|channel| (map[channel * count + usize::from(index)] >> 8) as u8);
    let samples = Samples::U8(indices.iter().flat_map(|index| colour(*index)).collect());
    Ok(ImageArray { samples, channels: 3, ..array })
}

/// Returns a copy of a TIFF file with a palette in which its indices are declared as grey, which the decoder reads.
fn without_palette(bytes: &[u8]) -> Option<Vec<u8>> {
    const PHOTOMETRIC: u16 = 262;
    const PALETTE: u16 = 3;
    let big = bytes.first() == Some(&b'M');
    let short = |at: usize| {
        let two: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    };
    if short(2)? != 42 {
        return None;
    }
    let four: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let start = if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) } as usize;
    let mut entries = (0..usize::from(short(start)?)).map(|index| start + 2 + 12 * index);
    let entry = entries.find(|entry| short(*entry) == Some(PHOTOMETRIC))?;
    (short(entry + 8)? == PALETTE).then(|| {
        let mut patched = bytes.to_vec();
        let grey: [u8; 2] = if big { [0, 1] } else { [1, 0] };
        patched[entry + 8..entry + 10].copy_from_slice(&grey);
        patched
    })
}

/// Returns the decoder's error with the way out.
fn told(error: TiffError) -> String {
    match error {
        TiffError::UnsupportedError(what) => {
            format!("this kind of TIFF cannot be read; {REMEDY} (the decoder says: {what})")
        }
        TiffError::LimitsExceeded => "it is too large to be read in memory; make it smaller".to_owned(),
        other => format!("the file is damaged; use a complete copy (the decoder says: {other})"),
    }
}

#[cfg(test)]
mod tests {
    use tiff::encoder::colortype;

    use super::*;

    #[test]
    fn grey_numbers_of_every_type_and_bigtiff_are_read_exactly() {
        fn written<C: colortype::ColorType>(values: &[C::Inner]) -> Samples
        where
            [C::Inner]: tiff::encoder::TiffValue,
        {
            let mut file = Cursor::new(Vec::new());
            TiffEncoder::new(&mut file).unwrap().write_image::<C>(2, 1, values).unwrap();
            let mut big = Cursor::new(Vec::new());
            TiffEncoder::new_big(&mut big).unwrap().write_image::<C>(2, 1, values).unwrap();
            let [file, big] = [file, big].map(|file| decode(&file.into_inner(), 0, 1 << 20).unwrap());
            assert_eq!((file.channels, file.height, file.width), (1, 1, 2));
            assert_eq!(file, big);
            file.samples
        }
        assert_eq!(written::<colortype::Gray32Float>(&[0.25, -3.5]), Samples::F32(vec![0.25, -3.5]));
        assert_eq!(written::<colortype::Gray64Float>(&[0.1, 1e300]), Samples::F64(vec![0.1, 1e300]));
        assert_eq!(written::<colortype::GrayI16>(&[-5, 1]), Samples::I16(vec![-5, 1]));
        assert_eq!(written::<colortype::GrayI8>(&[-5, 1]), Samples::I8(vec![-5, 1]));
        assert_eq!(written::<colortype::Gray32>(&[7, u32::MAX]), Samples::U32(vec![7, u32::MAX]));
    }

    #[test]
    fn what_is_written_is_read_page_by_page() {
        for samples in [
            Samples::U8(vec![1, 2, 3, 4, 5, 6]),
            Samples::I8(vec![-1, 2, 3, 4, 5, 6]),
            Samples::U16(vec![1, 60_000, 3, 4, 5, 6]),
            Samples::I16(vec![-30_000, 2, 3, 4, 5, 6]),
            Samples::U32(vec![1, u32::MAX, 3, 4, 5, 6]),
            Samples::I32(vec![1, i32::MIN, 3, 4, 5, 6]),
            Samples::F32(vec![1.5, -2.0, 3.0, 4.0, 5.0, 6.0]),
            Samples::F64(vec![0.1, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ] {
            let mut pages = [[1, 2, 3], [2, 3, 1], [3, 1, 2], [6, 1, 1]]
                .map(|shape| ImageArray::new(samples.clone(), shape))
                .to_vec();
            pages.extend(ImageArray::stacked(&[
                pages[0].clone(),
                pages[0].clone(),
                pages[0].clone(),
                pages[0].clone(),
            ]));
            let file = encode(&pages).unwrap();
            for (index, page) in pages.iter().enumerate() {
                assert_eq!(decode(&file, index, 1 << 20).as_ref(), Ok(page), "page {index}");
            }
        }
    }

    #[test]
    fn damaged_files_never_panic_and_pages_are_counted() {
        let mut file = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut file).unwrap();
        for page in 0..5 {
            encoder.write_image::<colortype::Gray8>(2, 2, &[page; 4]).unwrap();
        }
        let file = file.into_inner();
        assert_eq!(pages(Cursor::new(&file)), Some(5));
        assert_eq!(decode(&file, 3, 1 << 20).unwrap().samples, Samples::U8(vec![3; 4]));
        assert!(decode(&file, 5, 1 << 20).is_err());
        assert!(decode(&file, 0, 3).is_err(), "the limit is below 4 bytes");
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0xff;
            let _ =
                (decode(&damaged, 0, 1 << 20), pages(Cursor::new(&damaged)), decode(&file[..at], 1, 1 << 20));
        }
    }
}
