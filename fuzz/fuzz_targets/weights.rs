//! Arbitrary bytes as a weights file of this crate, safetensors or `.pth`, of either network, give a network or an error,
//! never a panic.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pix2pix::{GeneratorConfig, Translator, device, pytorch};
use tempfile::TempDir;

static FOLDER: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("temporary folders can be created");
    let file = folder.path().join("weights");
    (folder, file)
});

fuzz_target!(|bytes: &[u8]| {
    let (_, file) = &*FOLDER;
    std::fs::write(file, bytes).expect("the folder is writable");
    let _ = Translator::load(file, &device::cpu());
    if let Ok(file) = pytorch::Import::open(file) {
        let _ = file.clone().discriminator(&device::cpu());
        let _ = file.discriminator_for(&GeneratorConfig::new(1, 2), &device::cpu());
    }
});
