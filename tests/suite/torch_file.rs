//! Exported `.pth` files: their bytes, and that they are read back bit by bit.
#![cfg(all(feature = "flex", feature = "pth"))]

use std::path::Path;

use pix2pix::burn::tensor::{bf16, f16};
use pix2pix::pytorch::{self, Import, Precision, StateDict};
use pix2pix::{
    Backbone, DiscriminatorConfig, Error, GeneratorConfig, Mode, Norm, Tensor, Translator, device,
};

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

#[test]
fn exports_of_16_bits_are_half_as_large_and_read_back_rounded() {
    let folder = tempfile::tempdir().unwrap();
    let device = device::cpu();
    let file = |name: &str| folder.path().join(name);
    let size = |name: &str| std::fs::metadata(file(name)).unwrap().len();
    let config = GeneratorConfig::new(3, 1).with_base_channels(8).with_backbone(Backbone::Unet { depth: 5 });
    let generator = config.init_seeded(7, &device);
    let discriminator = DiscriminatorConfig::new(3, 1).with_base_channels(8).init_seeded(7, &device);
    for precision in [Precision::F16, Precision::Bf16] {
        let rounded = |mut state: StateDict| {
            let values = state.values_mut().flat_map(|(_, values)| values);
            values.for_each(|value| {
                *value = match precision {
                    Precision::F16 => f16::from_f32(*value).to_f32(),
                    _ => bf16::from_f32(*value).to_f32(),
                };
            });
            state
        };
        for extension in ["pth", "safetensors"] {
            let [full, half, d] = ["full", "half", "d"].map(|name| format!("{name}.{extension}"));
            pytorch::save_generator(&generator, file(&full)).unwrap();
            pytorch::save_generator_as(&generator, precision, file(&half)).unwrap();
            assert!(size(&half) * 100 < size(&full) * 55, "{} of {} bytes", size(&half), size(&full));
            let expected = rounded(pytorch::generator_state(&generator).unwrap());
            assert!(
                have_equal_bits(&pytorch::read(file(&half)).unwrap(), &expected),
                "{precision} {extension}"
            );
            let loaded = Import::open(file(&half)).unwrap().generator(&device).unwrap();
            assert_eq!(loaded.config().backbone, generator.config().backbone);

            pytorch::save_discriminator_as(&discriminator, precision, file(&d)).unwrap();
            let expected = rounded(pytorch::discriminator_state(&discriminator).unwrap());
            assert!(have_equal_bits(&pytorch::read(file(&d)).unwrap(), &expected), "{precision} {extension}");
        }
    }
}

#[test]
fn a_weights_file_of_16_bits_keeps_its_configuration_and_its_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let (device, path) = (device::cpu(), folder.path().join("small.safetensors"));
    let config = GeneratorConfig::new(3, 3).with_base_channels(4).with_backbone(Backbone::Unet { depth: 5 });
    let whole = Translator::new(config.init_seeded(7, &device), &device).unwrap();
    whole.save_as(Precision::F16, &path).unwrap();
    let loaded = Translator::load(&path, &device).unwrap();
    assert_eq!(loaded.config(), whole.config());
    let input = || Tensor::<4>::ones([1, 3, 32, 32], &device) * 0.3;
    let [expected, found] =
        [&whole, &loaded].map(|translator| translator.generator().forward(input(), Mode::IMAGE));
    let difference = (expected - found).abs().max().into_scalar::<f32>();
    assert!(0.0 < difference && difference < 0.01, "{difference}");

    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let message = Translator::load(&path, &device).unwrap_err().to_string();
    assert!(message.contains("checksum"), "{message}");
}

#[test]
fn a_weight_that_16_bits_cannot_hold_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (device, path) = (device::cpu(), folder.path().join("G.safetensors"));
    let config = GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(Backbone::Unet { depth: 5 });
    let mut state = pytorch::generator_state(&config.init_seeded(7, &device)).unwrap();
    let (name, (_, values)) = state.iter_mut().next().unwrap();
    let name = name.clone();
    values[0] = -7e4;
    pytorch::save(&state, &path).unwrap();
    let generator = Import::open(&path).unwrap().generator(&device).unwrap();
    let error =
        pytorch::save_generator_as(&generator, Precision::F16, folder.path().join("half.pth")).unwrap_err();
    let expected = format!("f16 cannot hold the value -70000 of `{name}`; use bf16 or f32");
    assert!(matches!(error, Error::Argument { .. }) && error.to_string().contains(&expected), "{error}");
    assert!(!folder.path().join("half.pth").exists());
    pytorch::save_generator_as(&generator, Precision::Bf16, folder.path().join("half.pth")).unwrap();
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
