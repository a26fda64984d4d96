//! Files that nobody trusts, made from arbitrary bytes and given to the functions of this crate that read them: each gives
//! a value or an error, and never a panic. The fuzz targets call these functions, and so does the replay of their corpus.
//! Input that is protected by checksums or lengths gets those that fit, so that a fuzzer gets past them.

use std::path::Path;

use pix2pix::data::{DataConfig, DataFolder};
use pix2pix::pytorch::Import;
use pix2pix::{Checkpoint, GeneratorConfig, Pix2PixConfig, Tensor, Trainer, Translator, device};
use tempfile::TempDir;

/// Returns an empty folder.
fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folders can be created")
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("the folder is writable");
}

/// Reads a weights file in every way.
fn weights(bytes: &[u8]) {
    let folder = folder();
    let file = folder.path().join("weights");
    write(&file, bytes);
    let device = device::cpu();
    let _ = Translator::load(&file, &device);
    let _ = Import::open(&file).and_then(|file| file.discriminator(&device));
    let _ = Import::open(&file).and_then(|file| file.discriminator_for(&GeneratorConfig::new(1, 2), &device));
}

/// The bytes are the pickle of a zip whose only storage has 64 values.
pub(crate) fn pickle(bytes: &[u8]) {
    weights(&stored_zip(&[("a/data.pkl", bytes), ("a/data/0", &[0; 256])]));
}

/// The bytes are a whole file of `torch.save`, zip or legacy.
pub(crate) fn zip(bytes: &[u8]) {
    weights(bytes);
}

/// The bytes are the header of a safetensors file, and after a line break its data.
pub(crate) fn safetensors(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, data) = bytes.split_at(end);
    weights(&[&(header.len() as u64).to_le_bytes()[..], header, data.get(1..).unwrap_or_default()].concat());
}

/// The bytes replace a part of a file of a checkpoint: its name, an offset, and what is written there. The manifest's
/// checksums are those of the changed file.
pub(crate) fn checkpoint(bytes: &[u8]) {
    let [file, low, high, rest @ ..] = bytes else { return };
    let names = [
        "state.json",
        "config.json",
        "generator.bpk",
        "discriminator.bpk",
        "optimizer_g.bpk",
        "optimizer_d.bpk",
    ];
    let run = run_folder();
    let checkpoint = run.path().join("checkpoints/step-000000001");
    let changed = names[usize::from(*file) % names.len()];
    let mut content = std::fs::read(checkpoint.join(changed)).expect("it is there");
    let at = usize::from(u16::from_le_bytes([*low, *high])) % (content.len() + 1);
    let end = (at + rest.len()).min(content.len());
    content.splice(at..end, rest.iter().copied());
    write(&checkpoint.join(changed), &content);
    let mut manifest = String::from("format 3\n");
    for name in names {
        let content = std::fs::read(checkpoint.join(name)).expect("it is there");
        manifest += &format!("{name} {} {:08x}\n", content.len(), crc32c(&content));
    }
    manifest += &format!("crc32c {:08x}\n", crc32c(manifest.as_bytes()));
    write(&checkpoint.join("manifest.txt"), manifest.as_bytes());
    open_run(run.path());
}

/// The bytes are a file of a run folder: its name by the first byte, and its content.
pub(crate) fn run(bytes: &[u8]) {
    let [file, rest @ ..] = bytes else { return };
    let run = run_folder();
    let names = [
        "checkpoints/step-000000001/manifest.txt",
        ".run",
        "config.json",
        "generator.safetensors",
        "metrics.jsonl",
    ];
    write(&run.path().join(names[usize::from(*file) % names.len()]), rest);
    open_run(run.path());
}

/// The bytes are the log of a run.
pub(crate) fn metrics(bytes: &[u8]) {
    run(&[&[4], bytes].concat());
}

/// The bytes are an image file of any type, of a data set and for translation.
pub(crate) fn image(bytes: &[u8]) {
    let folder = folder();
    std::fs::create_dir(folder.path().join("train")).expect("the folder is writable");
    write(&folder.path().join("train/pair.png"), bytes);
    let config = DataConfig::new().with_crop_size(8).with_load_size(8).with_workers(1);
    let limits = pix2pix::data::ImageLimits::default().with_max_megapixels(1).expect("it is in range");
    // With these limits from the beginning: opening a folder looks at its images, too.
    let data = DataFolder::open(folder.path()).expect("the folder can be read").with_limits(limits);
    if let Ok(pairs) = data.split("train", &config) {
        for batch in pairs.sequential(&device::cpu()) {
            let _ = batch;
        }
    }
}

/// The bytes are a configuration file.
pub(crate) fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(config) = Pix2PixConfig::from_json(text) {
        let _ = config.validate();
        let same = Pix2PixConfig::from_json(&config.to_json()).expect("what was written is read");
        assert_eq!(same, config);
    }
}

/// Reads a run in every way.
fn open_run(run: &Path) {
    let device = device::cpu();
    if let Ok(mut trainer) = Trainer::resume(run, &device) {
        let _ = trainer.open_run(run).map(|mut run| run.finish());
    }
    for name in ["latest", "best", "step-1"] {
        let _ = Checkpoint::open(run, name).and_then(|checkpoint| checkpoint.discriminator(&device));
    }
    let _ = Translator::load(run, &device);
    // burn keeps the graph's entries of dropped networks until the next backward pass. A fuzzer would count them as a leak.
    Tensor::<1>::zeros([1], &device).autodiff().require_grad().sum().backward();
}

/// Returns a folder with a small run of one step.
fn run_folder() -> TempDir {
    use std::sync::LazyLock;
    static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
        let mut config = Pix2PixConfig::paper().with_size(16).expect("it is a power of two");
        (config.generator.base_channels, config.discriminator.base_channels) = (1, 1);
        (config.discriminator.layers, config.loss.gan_weight) = (0, 1.0);
        let device = device::cpu();
        let mut trainer = Trainer::new(config, &device).expect("the configuration is right");
        let run = folder();
        trainer.next_epoch();
        let image = || pix2pix::Tensor::zeros([1, 3, 16, 16], &device);
        trainer.step(pix2pix::data::Batch { input: image(), target: image() });
        trainer.save(run.path()).expect("the folder is writable");
        let mut files = vec![];
        for folder in ["", "checkpoints/step-000000001"] {
            for entry in std::fs::read_dir(run.path().join(folder)).expect("it is there") {
                let entry = entry.expect("it is there");
                if entry.path().is_file() {
                    let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                    let name = name.trim_start_matches('/').to_owned();
                    files.push((name, std::fs::read(entry.path()).expect("it is there")));
                }
            }
        }
        files
    });
    let run = folder();
    std::fs::create_dir_all(run.path().join("checkpoints/step-000000001")).expect("the folder is writable");
    for (name, content) in FILES.iter() {
        write(&run.path().join(name), content);
    }
    run
}

/// Returns a zip of entries that are not compressed.
fn stored_zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let start = (file.len() as u32).to_le_bytes();
        let length = (content.len() as u32).to_le_bytes();
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &length,
            &length,
            &[name.len() as u8, 0, 0, 0],
        ];
        let common = common.concat();
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &start, name.as_bytes()].concat());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
    [&file[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &place, &[0, 0]].concat()
}

/// Returns the CRC-32C of bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = !0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    !sum
}
