//! Detects truncated JPEG and WebP files, whose decoders fill up what is missing with grey.

/// Returns the problem of a truncated JPEG or WebP file; the decoders of the other types notice it themselves.
pub(super) fn truncated(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, ..] if !has_end(bytes) => {
            Some("the file is truncated: this JPEG has no end marker; get a whole copy of it")
        }
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..]
            if u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8 > bytes.len() as u64 =>
        {
            Some("the file is truncated: this WebP is shorter than its header says; get a whole copy of it")
        }
        _ => None,
    }
}

/// Returns whether a JPEG has an end marker (EOI) after a scan (SOS). Previews inside of segments do not count, and
/// what follows the end, such as the film behind a phone's image, does no harm.
fn has_end(jpeg: &[u8]) -> bool {
    let mut place = 2;
    let mut has_scan = false;
    // A marker is FF and a byte that is neither 0 (FF is escaped in the data) nor FF (padding).
    while let Some(found) = jpeg.get(place..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) {
        place += found + 1;
        match jpeg.get(place) {
            Some(0xff) => {}
            // An escaped FF, and markers without a segment: restarts of the scan, TEM, and a second start.
            Some(0 | 1 | 0xd0..=0xd8) => place += 1,
            Some(0xd9) if has_scan => return true,
            Some(0xd9) | None => return false,
            Some(marker) => {
                has_scan |= *marker == 0xda;
                let Some(&[high, low]) = jpeg.get(place + 1..place + 3) else { return false };
                place += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_ends_with_a_marker_of_its_own() {
        // A preview with its own end inside of a segment, a scan with an escaped FF and a restart.
        let preview = [0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        let scan = [0xff, 0xda, 0, 3, 7, 1, 0xff, 0, 2, 0xff, 0xd3, 3];
        let whole = [&[0xff, 0xd8][..], &preview, &scan, &[0xff, 0xff, 0xd9]].concat();
        assert_eq!(truncated(&whole), None);
        assert_eq!(truncated(&[&whole[..], b"a film"].concat()), None);
        for length in 2..whole.len() {
            assert!(truncated(&whole[..length]).is_some(), "{length} of {}", whole.len());
        }
        assert!(truncated(&[&[0xff, 0xd8][..], &preview, &[0xff, 0xd9]].concat()).is_some(), "no scan");
        assert_eq!(truncated(b"anything else"), None);
    }
}
