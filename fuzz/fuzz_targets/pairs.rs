//! Arbitrary bytes as a side-by-side pair give a pair or an error, never a panic.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pix2pix::data::{DataConfig, PairedFolder};
use tempfile::TempDir;

static FOLDER: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("temporary folders can be created");
    let file = folder.path().join("pair.png");
    // libFuzzer's hook ends the process at a panic, but `data::read_image` turns a decoder's panic into an error.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    (folder, file)
});

fuzz_target!(|bytes: &[u8]| {
    let (folder, file) = &*FOLDER;
    std::fs::write(file, bytes).expect("the folder is writable");
    let config = DataConfig::new().with_load_size(18).with_crop_size(16).with_workers(0);
    let pairs = PairedFolder::open(folder.path(), &config).expect("there is a file");
    if let Ok(pair) = pairs.pair(0) {
        assert_eq!((pair.input.shape(), pair.target.shape()), ([3, 16, 16], [3, 16, 16]));
    }
});
