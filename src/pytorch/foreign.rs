//! Recognises files that are not weights of PyTorch, and says what they are.

use crate::error::CheckpointProblem;

/// The bytes at the start of a file that [`recognise`] looks at.
pub(super) const HEAD: u64 = 1024;

/// The problem of a TorchScript file, and the remedy.
pub(super) const TORCHSCRIPT: &str =
    "a TorchScript program (torch.jit.save), not weights; save `net.state_dict()` with torch.save";

/// The problem of a zip of another program, and the remedy.
pub(super) const ARCHIVE: &str =
    "a zip archive, but not one of torch.save; unpack it, and name the file with the weights in it";

/// Describes a file that is neither of PyTorch's containers by its first bytes, with the remedy.
pub(super) fn recognise(head: &[u8]) -> CheckpointProblem {
    let text =
        String::from_utf8_lossy(head).trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_lowercase();
    let found = if head.is_empty() {
        "an empty file; use a complete copy"
    } else if text.starts_with("version https://git-lfs") {
        "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
    } else if text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") {
        "a web page, not weights; the download failed: open its address in a browser"
    } else if text.starts_with('{') || text.starts_with('[') {
        "a JSON text, not weights; name the file with the weights"
    } else if head.starts_with(b"\x89HDF\r\n\x1a\n") {
        "an HDF5 file (Keras or MATLAB); only weights of PyTorch can be imported"
    } else if head.starts_with(b"GGUF") {
        "a GGUF file; only .pth, .pt, .ckpt and .safetensors can be imported"
    } else if head.starts_with(b"\x93NUMPY") {
        "a NumPy array; save the network's `state_dict()` with torch.save"
    } else if head.starts_with(&[0x1f, 0x8b]) || head.starts_with(b"BZh") || head.starts_with(b"\xfd7zXZ") {
        "a compressed file; unpack it first"
    } else if head.get(257..262) == Some(b"ustar") {
        "a tar archive: unpack it, or load it with a current PyTorch and save it again"
    } else if matches!(head, [8, 1..=20, 0x12 | 0x1a | 0x22 | 0x3a, ..]) {
        "an ONNX model, not weights; save `net.state_dict()` with torch.save"
    } else if head.starts_with(&[4, 0, 0, 0, 1, 0, 0, 0]) || head.starts_with(&[3, 0, 0, 0, 1, 0, 0, 0]) {
        "a file of Lua Torch (.t7); only weights of PyTorch can be imported"
    } else {
        return CheckpointProblem::Corrupt("it is not a zip or legacy file of torch.save".into());
    };
    CheckpointProblem::Unsupported(found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_kinds_are_named() {
        for (head, what) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00"[..], "Git LFS pointer"),
            (b"\n  <!DOCTYPE html><html>", "web page"),
            (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
            (b"\x08\x07\x12\x07pytorch", "ONNX"),
            (b"\x04\0\0\0\x01\0\0\0", "Lua Torch"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"", "empty"),
        ] {
            let message = recognise(head).to_string();
            assert!(message.contains(what), "{message}");
        }
    }
}
