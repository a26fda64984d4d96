//! Detects truncated JPEG and WebP files, whose decoders fill missing pixels with grey.

/// Returns the problem of a truncated JPEG or WebP file. Decoders of other formats report truncation themselves.
pub(super) fn truncated(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, ..] if !has_end(bytes) => {
            Some("the file is truncated: this JPEG has no end marker; use a complete copy")
        }
        [b'R', b'I', b'F', b'F', a, b, c, d, b'W', b'E', b'B', b'P', ..]
            if u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8 > bytes.len() as u64 =>
        {
            Some("the file is truncated: this WebP is shorter than its header states; use a complete copy")
        }
        _ => None,
    }
}

/// Returns whether a JPEG has an end marker (EOI) after a scan (SOS). End markers of previews inside segments do not
/// count. Data after the end, such as the video that some phones append, is ignored.
fn has_end(jpeg: &[u8]) -> bool {
    let mut offset = 2;
    let mut has_scan = false;
    // A marker is FF and a byte that is neither 0 (FF is escaped in the data) nor FF (padding).
    while let Some(found) = jpeg.get(offset..).and_then(|rest| rest.iter().position(|byte| *byte == 0xff)) {
        offset += found + 1;
        match jpeg.get(offset) {
            Some(0xff) => {}
            // An escaped FF, and markers without a segment: restarts of the scan, TEM, and a second start.
            Some(0 | 1 | 0xd0..=0xd8) => offset += 1,
            Some(0xd9) if has_scan => return true,
            Some(0xd9) | None => return false,
            Some(marker) => {
                has_scan |= *marker == 0xda;
                let Some(&[high, low]) = jpeg.get(offset + 1..offset + 3) else { return false };
                offset += 1 + usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
    false
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
        assert_eq!(truncated(&whole), None);
        assert_eq!(truncated(&[&whole[..], b"a video"].concat()), None);
        for length in 2..whole.len() {
            assert!(truncated(&whole[..length]).is_some(), "{length} of {}", whole.len());
        }
        assert!(truncated(&[&[0xff, 0xd8][..], &preview, &[0xff, 0xd9]].concat()).is_some(), "no scan");
        assert_eq!(truncated(b"anything else"), None);
    }
}
