//! Reads files that are crafted to exhaust memory or to run a command: they must give an error and take little memory.
//!
//! The test is a separate binary because it measures the peak memory of the whole process.
#![cfg(all(feature = "flex", feature = "pth"))]

use std::path::Path;

use pix2pix::pytorch::Import;
use pix2pix::{Error, device};

/// The largest growth of the process's memory in bytes.
const MAX_GROWTH: u64 = 150 << 20;
/// The number of values in a tensor of 1 GiB, more than a small file can hold.
const GIBIBYTE_VALUES: u32 = 1 << 28;

/// An entry of a zip: name, stored bytes, and the unpacked length if they are compressed.
struct Entry<'a>(&'a str, &'a [u8], Option<usize>);

/// Returns a zip file with these entries.
fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for Entry(name, stored, unpacked) in entries {
        let start = file.len() as u32;
        // Version, flags, method, time and date. A checksum of 0 means that there is none.
        let mut common = vec![20, 0, 0, 0, if unpacked.is_some() { 8 } else { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend((stored.len() as u32).to_le_bytes());
        common.extend((unpacked.unwrap_or(stored.len()) as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(*stored);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]); // comment, disk, attributes
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
    let count = (entries.len() as u16).to_le_bytes();
    [file, directory, b"PK\x05\x06\0\0\0\0".to_vec(), [count, count].concat(), place, vec![0, 0]].concat()
}

/// Returns about `least` equal bytes in deflate format, and their exact number: one literal, then copies of 258 bytes.
fn deflated(byte: u8, least: usize) -> (Vec<u8>, usize) {
    let copies = least / 258;
    let mut bits = vec![true, true, false]; // the last block, with fixed codes
    let code = |bits: &mut Vec<bool>, code: u8, width: u32| {
        bits.extend((0..width).rev().map(|i| code >> i & 1 == 1))
    };
    code(&mut bits, 0x30 + byte, 8);
    for _ in 0..copies {
        code(&mut bits, 0xc5, 8); // 258 bytes
        code(&mut bits, 0, 5); // from one byte before
    }
    code(&mut bits, 0, 7);
    let bytes = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    (bytes.collect(), 1 + 258 * copies)
}

/// Returns a pickled dictionary with one tensor of [`GIBIBYTE_VALUES`] values, `stride` apart, in a storage of
/// `numbers` values.
fn pickle(numbers: u32, stride: u8, is_legacy: bool) -> Vec<u8> {
    let int = |number: u32| [b"J", &number.to_le_bytes()[..]].concat();
    [
        b"\x80\x02}".to_vec(),
        text("model.0.weight"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        int(numbers),
        if is_legacy { b"N".to_vec() } else { vec![] },
        b"tQK\0(".to_vec(),
        int(GIBIBYTE_VALUES),
        b"t(K".to_vec(),
        vec![stride],
        b"t\x89ccollections\nOrderedDict\n)RtRs.".to_vec(),
    ]
    .concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// Returns instructions for a dictionary with one long key.
fn long_key(length: usize) -> Vec<u8> {
    [b"}", &text(&"k".repeat(length))[..], b"Ns"].concat()
}

/// Returns instructions for a dictionary in a dictionary, and so on.
fn chain(length: usize) -> Vec<u8> {
    let start = [b"}", &text("k")[..]].concat().repeat(length);
    [start, b"N".to_vec(), b"s".repeat(length)].concat()
}

/// Returns a pickled list with copies of an object.
fn copies(object: &[u8], count: usize) -> Vec<u8> {
    [b"\x80\x02](", object, &b"2".repeat(count), b"e."].concat()
}

/// Returns a pickled dictionary whose two entries are one dictionary, whose two entries are one dictionary, and so on.
fn doubled(times: usize) -> Vec<u8> {
    let mut pickle = b"\x80\x02}q\0".to_vec();
    for _ in 0..times {
        pickle.extend([b"0}", &text("a")[..], b"h\0s", &text("b"), b"h\0sq\0"].concat());
    }
    [pickle, b".".to_vec()].concat()
}

/// Returns a pickled dictionary with many tensors below one long key.
fn below_a_long_key(length: usize, count: u32) -> Vec<u8> {
    let tensor = pickle(1, 0, false);
    let value = &tensor[tensor.iter().position(|byte| *byte == b'c').unwrap()..tensor.len() - 2];
    let entries = (0..count).flat_map(|index| [&text(&index.to_string())[..], value, b"s"].concat());
    [b"\x80\x02}", &text(&"k".repeat(length))[..], b"}", &entries.collect::<Vec<u8>>(), b"s."].concat()
}

/// Returns a legacy container with a pickled dictionary and one storage of `numbers` values.
fn legacy(dictionary: &[u8], numbers: u32) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
    let system = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    let keys = b"\x80\x02]X\x01\0\0\x000a.";
    let count = u64::from(numbers).to_le_bytes();
    [&magic[..], system, dictionary, keys, &count, &vec![0; 4 * numbers as usize]].concat()
}

/// Returns a tar file with one sparse entry of 1 GiB that stores no data.
fn sparse_tar() -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "storages");
    put(100, "0000644");
    put(124, "00000000000");
    put(136, "00000000000");
    put(148, "        S");
    put(257, "ustar  ");
    put(386, "10000000000"); // the offset of its only piece: the end
    put(398, "00000000000"); // the length of that piece
    put(483, "10000000000"); // the length of the entry
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend([0; 1024]);
    header
}

/// Returns a safetensors file with one tensor that has no values.
fn empty_safetensors(key: &str, shape: &str) -> Vec<u8> {
    let header = format!(r#"{{"{key}":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#);
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

/// Returns the process's peak memory in bytes, on Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[test]
fn crafted_files_take_little_memory_and_run_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("witness");
    let command = format!("touch {}", witness.display());
    let run = [
        b"\x80\x02}X\x01\0\0\0acposix\nsystem\nX",
        &(command.len() as u32).to_le_bytes()[..],
        command.as_bytes(),
        b"\x85Rs.",
    ]
    .concat();
    let (names, names_length) = deflated(b'N', 90 << 20);
    let (zeros, zeros_length) = deflated(0, 4 * GIBIBYTE_VALUES as usize);
    let one = [0; 4];
    let plain = |pickle: &[u8]| zip(&[Entry("a/data.pkl", pickle, None), Entry("a/data/0", &one, None)]);
    let files = [
        ("an empty file", vec![]),
        ("a number repeated", plain(&pickle(1, 0, false))),
        ("a number repeated, legacy", legacy(&pickle(1, 0, true), 1)),
        (
            "compressed numbers",
            zip(&[
                Entry("a/data.pkl", &pickle(GIBIBYTE_VALUES, 1, false), None),
                Entry("a/data/0", &zeros, Some(zeros_length)),
            ]),
        ),
        ("compressed names", zip(&[Entry("a/data.pkl", &names, Some(names_length))])),
        ("long names", plain(&vec![b'N'; 20 << 20])),
        ("long names, legacy", legacy(&vec![b'N'; 20 << 20], 1)),
        ("a sparse tar", sparse_tar()),
        ("a large shape without values", empty_safetensors("model.0.weight", "[1099511627776,6,0,4]")),
        ("a large PixelGAN shape without values", empty_safetensors("net.0.weight", "[4096,8192,1,0]")),
        ("a large U-Net without values", empty_safetensors("model.model.0.weight", "[4096,4096,0,4]")),
        ("a large ResNet without values", empty_safetensors("model.1.weight", "[1099511627776,3,0,7]")),
        ("a very deep U-Net", empty_safetensors(&format!("model.model.1.{}", "model.3.".repeat(99)), "[0]")),
        ("100 000 copies of a dictionary with a long key", plain(&copies(&long_key(500_000), 100_000))),
        ("100 000 copies, legacy", legacy(&copies(&long_key(500_000), 100_000), 1)),
        ("9 000 copies of a chain of 100 dictionaries", plain(&copies(&chain(100), 9000))),
        ("a dictionary that doubles 60 times", plain(&doubled(60))),
        ("3 000 tensors below a long key", plain(&below_a_long_key(300_000, 3000))),
        ("a tuple nested 500 000 deep", plain(&[b"\x80\x02N", &vec![0x85; 500_000][..], b"."].concat())),
        ("a list that holds itself", plain(b"\x80\x02]q\0h\0a.")),
        ("a command", plain(&run)),
        ("a command, legacy", legacy(&run, 1)),
    ];
    let start = peak_memory();
    for (what, bytes) in &files {
        let file = folder.path().join("net.pth");
        std::fs::write(&file, bytes).unwrap();
        let begin = std::time::Instant::now();
        refused(what, &file);
        println!("{what}: {:?}", begin.elapsed());
        let taken = peak_memory().zip(start).map_or(0, |(now, start)| now - start);
        println!("{what}: {} MB", taken >> 20);
        assert!(taken < MAX_GROWTH, "{what}: {} MB", taken >> 20);
        assert!(!witness.exists(), "{what}");
    }
}

/// Panics unless both imports return an error that names the file.
fn refused(what: &str, file: &Path) {
    let device = device::cpu();
    let generator = Import::open(file).and_then(|file| file.generator(&device)).map(drop);
    let discriminator = Import::open(file).and_then(|file| file.discriminator(&device)).map(drop);
    for result in [generator, discriminator] {
        let error = result.expect_err(what);
        let is_expected = matches!(error, Error::Checkpoint { .. } | Error::Weights { .. });
        assert!(is_expected && error.to_string().contains("net.pth"), "{what}: {error}");
        println!("{what}: {}", error.to_string().chars().take(160).collect::<String>());
    }
}
