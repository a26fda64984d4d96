//! Replays the corpus of the fuzz targets: every input gives a value or an error, in bounded time.
#![cfg(all(feature = "flex", feature = "pth", feature = "codecs", feature = "report"))]

use std::path::Path;
use std::time::{Duration, Instant};

use super::untrusted;

/// The time limit of one input.
const MAX_TIME: Duration = Duration::from_secs(1);
/// The largest size of the whole corpus in bytes.
const MAX_CORPUS: u64 = 1 << 20;

#[test]
fn no_input_of_the_corpus_panics_or_takes_long() {
    let targets: [(&str, fn(&[u8])); 8] = [
        ("checkpoint", untrusted::checkpoint),
        ("configuration", untrusted::configuration),
        ("image", untrusted::image),
        ("metrics", untrusted::metrics),
        ("pickle", untrusted::pickle),
        ("run", untrusted::run),
        ("safetensors", untrusted::safetensors),
        ("zip", untrusted::zip),
    ];
    untrusted::run(&[0]); // trains the run that the inputs change
    let mut size = 0;
    for (name, target) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            size += bytes.len() as u64;
            let start = Instant::now();
            target(&bytes);
            assert!(start.elapsed() < MAX_TIME, "{}: {:?}", path.display(), start.elapsed());
            count += 1;
        }
        assert!(count > 0, "{name}");
    }
    assert!(size < MAX_CORPUS, "{size} bytes");
}
