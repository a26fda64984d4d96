//! Any bytes as a side-by-side pair: a pair or an error, never a panic.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pix2pix::data::{DataConfig, PairedFolder};
use tempfile::TempDir;

static FOLDER: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a place for scratch files");
    let file = folder.path().join("pair.png");
    // libFuzzer's hook ends the process at once, but `data::open` makes an error of a decoder's panic.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    (folder, file)
});

fuzz_target!(|bytes: &[u8]| {
    let (folder, file) = &*FOLDER;
    std::fs::write(file, bytes).expect("room for scratch files");
    let config = DataConfig::new().with_load_size(18).with_crop_size(16).with_workers(0);
    let pairs = PairedFolder::open(folder.path(), &config).expect("there is a file");
    if let Ok(pair) = pairs.pair(0) {
        assert_eq!((pair.input.len(), pair.target.len()), (3 * 16 * 16, 3 * 16 * 16));
    }
});
