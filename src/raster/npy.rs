//! Reads NumPy's `.npy` files, versions 1 to 3, and writes version 1.

use burn::tensor::f16;

use super::array::{ImageArray, SampleType, Samples, with_samples};

/// The first bytes of a `.npy` file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The largest length of a header. NumPy writes 118 bytes.
const MAX_HEADER: usize = 64 << 10;
/// The largest number of channels in the first place of a shape `[C, H, W]`.
const MAX_LEADING_CHANNELS: usize = 16;

/// Reads an array of shape `[H, W]`, `[H, W, C]` or `[C, H, W]`.
///
/// Of three sizes, the first is the number of channels if it is at most 16 and the last one is larger; otherwise the
/// last one is.
pub(super) fn decode(bytes: &[u8]) -> Result<ImageArray, String> {
    let broken = |what: &str| format!("{what} of this .npy file is damaged; save it again with `numpy.save`");
    let version = *bytes.get(6).ok_or_else(|| broken("the header"))?;
    let (start, length) = match (version, bytes.get(8..12)) {
        (1, Some(length)) => (10, usize::from(u16::from_le_bytes([length[0], length[1]]))),
        (2 | 3, Some(length)) => {
            (12, u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize)
        }
        _ => return Err(broken("the version")),
    };
    if length > MAX_HEADER {
        return Err(broken("the length of the header"));
    }
    let header = bytes.get(start..start + length).and_then(|header| std::str::from_utf8(header).ok());
    let header = header.ok_or_else(|| broken("the header"))?;
    let kind = quoted(field(header, "descr").ok_or_else(|| broken("`descr`"))?)
        .ok_or("the .npy file holds records; save one plain array")?;
    let fortran =
        field(header, "fortran_order").ok_or_else(|| broken("`fortran_order`"))?.starts_with("True");
    let shape = field(header, "shape").and_then(shape).ok_or_else(|| broken("`shape`"))?;
    let data = &bytes[start + length..];
    let width = sample_bytes(kind).ok_or_else(|| {
        format!("samples of type `{kind}` cannot be read; convert them with `astype('float32')` or `astype('uint16')`")
    })?;
    if shape.contains(&0) {
        return Err(format!("shape {shape:?} holds no pixels"));
    }
    let count = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    if count.and_then(|count| count.checked_mul(width)) != Some(data.len()) {
        return Err(format!(
            "shape {shape:?} of type `{kind}` does not fit its {} bytes of data; use a complete copy",
            data.len()
        ));
    }
    let (sizes, strides) = axes(&shape, fortran)?;
    let [channels, height, width_] = sizes;
    let order = move || {
        (0..height).flat_map(move |y| {
            (0..width_).flat_map(move |x| {
                (0..channels).map(move |c| c * strides[0] + y * strides[1] + x * strides[2])
            })
        })
    };
    let samples = samples(kind, data, order());
    Ok(ImageArray { samples, channels, height, width: width_ })
}

/// Returns the bytes of a file that holds an array as `[H, W]`, or `[H, W, C]` if it has several channels.
pub(crate) fn encode(array: &ImageArray) -> Vec<u8> {
    let descr = match array.samples.sample_type() {
        SampleType::U8 => "|u1",
        SampleType::U16 => "<u2",
        SampleType::U32 => "<u4",
        SampleType::I8 => "|i1",
        SampleType::I16 => "<i2",
        SampleType::I32 => "<i4",
        SampleType::F32 => "<f4",
        SampleType::F64 => "<f8",
    };
    let [channels, height, width] = array.shape();
    let shape = if channels == 1 {
        format!("({height}, {width})")
    } else {
        format!("({height}, {width}, {channels})")
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // The data begins at a multiple of 64 bytes, after a line break.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    with_samples!(&array.samples, v => bytes.extend(v.iter().flat_map(|v| v.to_le_bytes())));
    bytes
}

/// Returns the sizes of channels, height and width, and their distances in samples.
fn axes(shape: &[usize], fortran: bool) -> Result<([usize; 3], [usize; 3]), String> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        if fortran {
            strides[axis] = strides[axis - 1] * shape[axis - 1];
        } else {
            let at = shape.len() - 1 - axis;
            strides[at] = strides[at + 1] * shape[at + 1];
        }
    }
    let pick = |order: [usize; 3]| (order.map(|axis| shape[axis]), order.map(|axis| strides[axis]));
    match *shape {
        [height, width] => Ok(([1, height, width], [0, strides[0], strides[1]])),
        [first, _, last] if first <= MAX_LEADING_CHANNELS && last > first => Ok(pick([0, 1, 2])),
        [_, _, _] => Ok(pick([2, 0, 1])),
        _ => Err(format!("shape {shape:?} is not [H, W], [H, W, C] or [C, H, W]; reshape the array")),
    }
}

/// Returns the text after `'name':` in a header.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let after = header.split_once(&format!("'{name}'"))?.1;
    Some(after.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted(text: &str) -> Option<&str> {
    Some(text.strip_prefix('\'')?.split_once('\'')?.0)
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.split_once(')')?.0;
    inner.split(',').map(str::trim).filter(|size| !size.is_empty()).map(|size| size.parse().ok()).collect()
}

/// Returns the bytes of a sample of a known type.
fn sample_bytes(kind: &str) -> Option<usize> {
    let (order, name) = kind.split_at_checked(1)?;
    let bytes = match name {
        "u1" | "i1" | "b1" => 1,
        "u2" | "i2" | "f2" => 2,
        "u4" | "i4" | "f4" => 4,
        "f8" => 8,
        _ => return None,
    };
    matches!((order, bytes), ("<" | ">" | "=", _) | ("|", 1)).then_some(bytes)
}

/// Reads samples of a known type in the given order.
fn samples(kind: &str, data: &[u8], order: impl Iterator<Item = usize>) -> Samples {
    let big = kind.starts_with('>');
    macro_rules! numbers {
        ($number:ty) => {
            order
                .map(|at| {
                    const BYTES: usize = size_of::<$number>();
                    let mut bytes = [0; BYTES];
                    bytes.copy_from_slice(&data[at * BYTES..][..BYTES]);
                    if big { <$number>::from_be_bytes(bytes) } else { <$number>::from_le_bytes(bytes) }
                })
                .collect()
        };
    }
    match &kind[1..] {
        "i1" => Samples::I8(numbers!(i8)),
        "b1" => Samples::U8(order.map(|at| if data[at] == 0 { 0 } else { 255 }).collect()),
        "u2" => Samples::U16(numbers!(u16)),
        "i2" => Samples::I16(numbers!(i16)),
        "u4" => Samples::U32(numbers!(u32)),
        "i4" => Samples::I32(numbers!(i32)),
        "f4" => Samples::F32(numbers!(f32)),
        "f8" => Samples::F64(numbers!(f64)),
        "f2" => {
            let halves: Vec<u16> = numbers!(u16);
            Samples::F32(halves.into_iter().map(|bits| f16::from_bits(bits).to_f32()).collect())
        }
        _ => Samples::U8(numbers!(u8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
        let fortran = if fortran { "True" } else { "False" };
        let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn types_byte_orders_and_axes_are_read_exactly() {
        let data = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_be_bytes()).collect() };
        let grey = decode(&file(">f4", false, "(1, 3)", &data(&[0.5, -1.0, 7.0]))).unwrap();
        assert_eq!(
            grey,
            ImageArray { samples: Samples::F32(vec![0.5, -1.0, 7.0]), channels: 1, height: 1, width: 3 }
        );
        let leading = decode(&file("|u1", false, "(2, 1, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!((leading.channels, leading.samples), (2, Samples::U8(vec![1, 4, 2, 5, 3, 6])));
        let fortran = decode(&file("<i2", true, "(2, 2)", &[1, 0, 2, 0, 255, 255, 4, 0])).unwrap();
        assert_eq!(fortran.samples, Samples::I16(vec![1, -1, 2, 4]));
        let halves = decode(&file("<f2", false, "(1, 4)", &[0, 0x3c, 0, 0xc0, 1, 0, 0, 0x7c])).unwrap();
        assert_eq!(halves.samples, Samples::F32(vec![1.0, -2.0, 2_f32.powi(-24), f32::INFINITY]));
    }

    #[test]
    fn what_is_written_is_read() {
        // 20 rows: fewer may be taken for channels.
        let numbers = || (0..20 * 30 * 3).map(|index| index % 251);
        for samples in [
            Samples::U8(numbers().map(|v| v as u8).collect()),
            Samples::I8(numbers().map(|v| (v as u8).cast_signed()).collect()),
            Samples::U16(numbers().map(|v| v as u16 * 257).collect()),
            Samples::I16(numbers().map(|v| v as i16 * -100).collect()),
            Samples::U32(numbers().map(|v| v as u32 * 16_843_009).collect()),
            Samples::I32(numbers().map(|v| v * -8_000_000).collect()),
            Samples::F32(numbers().map(|v| v as f32 / 7.0 - 3.0).collect()),
            Samples::F64(numbers().map(|v| f64::from(v) / 7.0 - 3.0).collect()),
        ] {
            for shape in [[1, 60, 30], [3, 20, 30], [2, 30, 30], [18, 20, 5]] {
                let array = ImageArray::new(samples.clone(), shape);
                let bytes = encode(&array);
                assert_eq!(bytes.iter().position(|byte| *byte == b'\n').unwrap() % 64, 63);
                assert_eq!(decode(&bytes).unwrap(), array);
            }
        }
    }

    #[test]
    fn damaged_files_give_an_error_and_never_a_panic() {
        let whole = file("<u2", false, "(2, 3)", &[7; 12]);
        decode(&whole).unwrap();
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            for byte in [0, b'9', b'(', 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = decode(&damaged);
            }
        }
        let huge = file("<u2", false, "(18446744073709551615, 3)", &[7; 12]);
        assert!(decode(&huge).unwrap_err().contains("does not fit"));
        let empty = file("<u2", false, "(4294967295, 4294967295, 0)", &[]);
        assert!(decode(&empty).unwrap_err().contains("no pixels"));
        assert!(decode(&file("<c8", false, "(1, 1)", &[0; 8])).unwrap_err().contains("astype"));
    }
}
