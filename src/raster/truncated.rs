//! Detects truncated JPEG and WebP files, whose decoders fill missing pixels with grey, and JPEG files that are decoded
//! wrongly.

use std::io::{self, Read, Seek};

/// Returns the problem of a JPEG that is truncated, or of a kind that the decoder gets wrong without an error.
pub(super) fn jpeg_problem(jpeg: &[u8]) -> Option<&'static str> {
    let markers = markers(jpeg);
    if !markers.has_end {
        return Some("the file is truncated: this JPEG has no end marker; use a complete copy");
    }
    // zune-jpeg decodes many of these files to stripes.
    markers.is_split.then_some(
        "this baseline JPEG stores each colour channel in its own scan, which the decoder gets wrong; convert it to \
         PNG or to an ordinary JPEG",
    )
}

/// Returns whether a WebP is shorter than its header states. Leaves the reader at its start.
pub(super) fn is_truncated_webp(file: &mut (impl Read + Seek), length: u64) -> io::Result<bool> {
    let mut head = [0; 8];
    file.rewind()?;
    file.read_exact(&mut head)?;
    file.rewind()?;
    let stated = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    Ok(u64::from(stated) + 8 > length)
}

/// What the markers of a JPEG tell.
#[derive(Debug, Default)]
struct Markers {
    /// It has an end marker (EOI) after a scan (SOS).
    has_end: bool,
    /// It is sequential, and a scan holds fewer channels than the frame.
    is_split: bool,
}

/// Walks the markers of a JPEG. Those of previews inside segments do not count. Data after the end, such as the video
/// that some phones append, is ignored.
fn markers(jpeg: &[u8]) -> Markers {
    let mut offset = 2;
    let mut found = Markers::default();
    let (mut has_scan, mut channels) = (false, 0);
    // A marker is FF and a byte that is neither 0 (FF is escaped in the data) nor FF (padding).
    while let Some(next) = jpeg.get(offset..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) {
        offset += next + 1;
        match jpeg.get(offset) {
            Some(0xff) => {}
            // An escaped FF, and markers without a segment: restarts of the scan, TEM, and a second start.
            Some(0 | 1 | 0xd0..=0xd8) => offset += 1,
            Some(0xd9) => {
                found.has_end = has_scan;
                return found;
            }
            None => return found,
            Some(marker) => {
                let Some(&[high, low]) = jpeg.get(offset + 1..offset + 3) else { return found };
                match marker {
                    // Sequential frames, with 8 or 12 bits.
                    0xc0 | 0xc1 => channels = jpeg.get(offset + 8).copied().unwrap_or_default(),
                    0xda => {
                        has_scan = true;
                        found.is_split |= jpeg.get(offset + 3).is_some_and(|scanned| *scanned < channels);
                    }
                    _ => {}
                }
                offset += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_jpeg_has_its_own_end_marker() {
        // A preview with its own end inside a segment, a scan with an escaped FF and a restart.
        let preview = [0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        let scan = [0xff, 0xda, 0, 3, 7, 1, 0xff, 0, 2, 0xff, 0xd3, 3];
        let whole = [&[0xff, 0xd8][..], &preview, &scan, &[0xff, 0xff, 0xd9]].concat();
        assert_eq!(jpeg_problem(&whole), None);
        assert_eq!(jpeg_problem(&[&whole[..], b"a video"].concat()), None);
        for length in 2..whole.len() {
            assert!(jpeg_problem(&whole[..length]).is_some(), "{length} of {}", whole.len());
        }
        assert!(jpeg_problem(&[&[0xff, 0xd8][..], &preview, &[0xff, 0xd9]].concat()).is_some(), "no scan");
    }
}
