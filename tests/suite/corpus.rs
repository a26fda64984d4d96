//! Replays the corpus of the fuzz targets: every input gives a value or an error, in bounded time.
#![cfg(all(feature = "flex", feature = "pth", feature = "codecs", feature = "report"))]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::untrusted;

/// The time limit of one input.
const MAX_TIME: Duration = Duration::from_secs(1);
/// The largest size of the whole corpus in bytes.
const MAX_CORPUS: usize = 1 << 20;

/// A target's name and its function.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 8] = [
    ("checkpoint", untrusted::checkpoint),
    ("configuration", untrusted::configuration),
    ("image", untrusted::image),
    ("metrics", untrusted::metrics),
    ("pickle", untrusted::pickle),
    ("run", untrusted::run),
    ("safetensors", untrusted::safetensors),
    ("zip", untrusted::zip),
];

/// Returns the inputs of a target with their files.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut inputs: Vec<_> = files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    inputs.sort();
    inputs
}

#[test]
fn no_input_of_the_corpus_panics_or_takes_long() {
    untrusted::run(&[0]); // trains the run that the inputs change
    let mut size = 0;
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name}");
        for (path, bytes) in inputs {
            size += bytes.len();
            let start = Instant::now();
            target(&bytes);
            assert!(start.elapsed() < MAX_TIME, "{}: {:?}", path.display(), start.elapsed());
        }
    }
    assert!(size < MAX_CORPUS, "{size} bytes");
}

/// The seconds for each target in the next test.
const SECONDS: &str = "PIX2PIX_MUTATION_SECONDS";

#[test]
#[ignore = "takes minutes: ten seconds for each target, or PIX2PIX_MUTATION_SECONDS"]
fn no_mutation_of_the_corpus_panics_or_takes_long() {
    let seconds = std::env::var(SECONDS).map_or(10, |seconds| seconds.parse().unwrap());
    untrusted::run(&[0]);
    for (name, target) in TARGETS {
        let inputs: Vec<Vec<u8>> = inputs(name).into_iter().map(|(_, bytes)| bytes).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seconds);
        let (begin, mut count, mut slowest) = (Instant::now(), 0, Duration::ZERO);
        while begin.elapsed() < Duration::from_secs(seconds) {
            let bytes = mutated(&inputs, &mut random);
            let start = Instant::now();
            let ended = std::panic::catch_unwind(|| target(&bytes));
            slowest = slowest.max(start.elapsed());
            if ended.is_err() || start.elapsed() > MAX_TIME {
                let file = std::env::temp_dir().join(format!("{name}-{count}"));
                std::fs::write(&file, &bytes).unwrap();
                panic!("{}: {:?}", file.display(), start.elapsed());
            }
            count += 1;
        }
        println!("{name}: {count} inputs, at most {slowest:?}, {} MiB", peak());
    }
}

/// Returns an input with a few changes: flipped bits, other bytes, numbers at the limits, parts removed, repeated or taken
/// from another input.
fn mutated(inputs: &[Vec<u8>], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = inputs[random.random_range(0..inputs.len())].clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + (1 << random.random_range(0..9))).min(bytes.len());
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => {
                let number = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 1 << 24][random.random_range(0..6)];
                bytes.splice(at..(at + 4).min(bytes.len()), number.to_le_bytes());
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].repeat(random.random_range(2..50));
                bytes.splice(at..end, part);
            }
            5 => {
                let other = &inputs[random.random_range(0..inputs.len())];
                let from = random.random_range(0..=other.len());
                let part = other[from..(from + end - at).min(other.len())].to_vec();
                bytes.splice(at..end, part);
            }
            _ => {
                let digits = ["9", "-1", "1e99", "18446744073709551615", "null", "[", "\"", "NaN"];
                bytes.splice(at..at, digits[random.random_range(0..digits.len())].bytes());
            }
        }
    }
    bytes
}

/// Returns the peak memory of this process in MiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |peak| peak >> 10)
}
