//! Exported `.pth` files: their bytes, and that they are read back bit by bit.
#![cfg(all(feature = "flex", feature = "pth"))]

use std::path::Path;

use pix2pix::pytorch::{self, Import, StateDict};
use pix2pix::{Backbone, DiscriminatorConfig, Error, GeneratorConfig, Norm, device};

const NORMS: [Norm; 3] = [Norm::Batch, Norm::Instance { affine: false }, Norm::None];

/// Returns whether two state dicts have equal bits, also those of NaN and of negative zero.
fn have_equal_bits(a: &StateDict, b: &StateDict) -> bool {
    let bits = |state: &StateDict| {
        let bits = state.iter().map(|(name, (shape, values))| {
            (name.clone(), shape.clone(), values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>())
        });
        bits.collect::<Vec<_>>()
    };
    bits(a) == bits(b)
}

#[test]
fn exports_are_read_back_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let device = device::cpu();
    let file = |name: &str| folder.path().join(name);
    for norm in NORMS {
        for backbone in [Backbone::Unet { depth: 5 }, Backbone::Resnet { blocks: 2 }] {
            let config = GeneratorConfig::new(3, 1).with_base_channels(2).with_norm(norm);
            let generator = config.with_backbone(backbone).init_seeded(7, &device);
            let state = pytorch::generator_state(&generator).unwrap();
            for name in ["G.pth", "G.PT", "G.safetensors"] {
                pytorch::save_generator(&generator, file(name)).unwrap();
                assert!(have_equal_bits(&pytorch::read(file(name)).unwrap(), &state), "{norm:?} {name}");
                pytorch::save(&state, file("state.pth")).unwrap();
                assert!(have_equal_bits(&pytorch::read(file("state.pth")).unwrap(), &state));
            }
            let loaded = Import::open(file("G.pth")).unwrap().generator(&device).unwrap();
            assert_eq!(loaded.config().backbone, backbone);
        }
        for layers in [0, 3] {
            let config = DiscriminatorConfig::new(3, 1).with_base_channels(2).with_norm(norm);
            let discriminator = config.with_layers(layers).init_seeded(7, &device);
            pytorch::save_discriminator(&discriminator, file("D.pth")).unwrap();
            let state = pytorch::discriminator_state(&discriminator).unwrap();
            assert!(have_equal_bits(&pytorch::read(file("D.pth")).unwrap(), &state));
        }
    }
    let odd = [f32::NAN, f32::from_bits(0x7fa0_0001), -0.0, f32::INFINITY, f32::MIN_POSITIVE / 2.0];
    let state = StateDict::from([("odd".to_owned(), (vec![5, 1], odd.to_vec()))]);
    pytorch::save(&state, file("odd.pth")).unwrap();
    assert!(have_equal_bits(&pytorch::read(file("odd.pth")).unwrap(), &state));
}

/// An entry of a zip file: its name, its checksum, and the place and the size of its bytes.
type Entry = (String, u32, usize, usize);

/// Returns the number of `width` bytes at an offset.
fn number(bytes: &[u8], at: usize, width: usize) -> usize {
    bytes[at..at + width].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Returns the entries of a zip file's directory, whose values must be those of the entries' own headers.
fn entries(zip: &[u8]) -> Vec<Entry> {
    let end = zip.len() - 22;
    assert_eq!(zip[end..end + 4], *b"PK\x05\x06");
    let (count, size, start) = (number(zip, end + 10, 2), number(zip, end + 12, 4), number(zip, end + 16, 4));
    assert_eq!(start + size, end);
    let mut at = start;
    let mut entries = Vec::new();
    for _ in 0..count {
        assert_eq!(zip[at..at + 4], *b"PK\x01\x02");
        let (method, header) = (number(zip, at + 10, 2), number(zip, at + 42, 4));
        let length = number(zip, at + 28, 2);
        let name = String::from_utf8(zip[at + 46..at + 46 + length].to_vec()).unwrap();
        assert_eq!(method, 0, "{name} is compressed");
        assert_eq!(zip[header..header + 4], *b"PK\x03\x04");
        assert_eq!(zip[header + 4..header + 28], zip[at + 6..at + 30], "{name}");
        let data = header + 30 + length + number(zip, header + 28, 2);
        let size = number(zip, at + 24, 4);
        entries.push((name, number(zip, at + 16, 4) as u32, data, size));
        at += 46 + length + number(zip, at + 30, 2) + number(zip, at + 32, 2);
    }
    assert_eq!(at, end);
    entries
}

/// Returns the CRC-32 of the zip format, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[test]
fn the_zip_has_the_entries_of_torch_save_aligned_and_not_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latest_net_G.pth");
    let state = StateDict::from([
        ("a.weight".to_owned(), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("b.running_mean".to_owned(), (vec![1], vec![-1.0])),
        ("b.running_var".to_owned(), (vec![1], vec![0.5])),
    ]);
    pytorch::save(&state, &file).unwrap();
    let zip = std::fs::read(&file).unwrap();
    let entries = entries(&zip);
    let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
    let expected = ["data.pkl", "byteorder", "data/0", "data/1", "data/2", "data/3", "version"];
    assert_eq!(names, expected.map(|name| format!("archive/{name}")));
    for (name, sum, at, size) in &entries {
        assert_eq!(at % 64, 0, "{name} begins at {at}");
        assert_eq!(*sum, crc32(&zip[*at..at + size]), "{name}");
    }
    let content = |index: usize| &zip[entries[index].2..entries[index].2 + entries[index].3];
    assert!(
        content(0).starts_with(b"\x80\x02ccollections\nOrderedDict\n)R(X\x08\0\0\0a.weightctorch._utils\n")
    );
    assert!(content(0).ends_with(b"tRu."));
    assert_eq!(content(1), b"little");
    assert_eq!(content(2), [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0].map(f32::to_le_bytes).concat());
    assert_eq!(content(3), [0; 8], "the counter `b.num_batches_tracked` is a 64-bit integer");
    assert_eq!(content(6), b"3\n");
    // Two exports have the same bytes.
    pytorch::save(&state, &file).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), zip);
}

#[test]
fn unknown_extensions_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDict::from([("a".to_owned(), (vec![1], vec![1.0]))]);
    for name in ["net", "net.bin", "net.ckpt", ".pth"] {
        let path = folder.path().join(name);
        let error = pytorch::save(&state, &path).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("rename the file"), "{message}");
        assert!(pytorch::check_format(Path::new(name)).is_err());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
