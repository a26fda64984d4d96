//! Settings that need more memory than there is are refused before anything is allocated.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{fails, finish, pix2pix, text};
use crate::support::write_pairs;

/// The largest quotient of the memory that a training takes and the estimate, which counts only what is certainly in
/// memory at once.
const MAX_FACTOR: f64 = 4.0;

/// Runs `train` with an address space of this many MiB and returns the error.
fn limited(mebibytes: u64, folder: &Path, arguments: &[&str]) -> String {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -v {}; exec \"$0\" train \"$@\"", mebibytes << 10);
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_pix2pix")]).args(arguments).current_dir(folder);
    let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = finish(child);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// Runs `train` and returns its peak memory in MiB.
fn peak(folder: &Path, arguments: &[&str]) -> f64 {
    let mut child = pix2pix("train", folder, arguments).stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0.0_f64;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        peak = peak.max(now.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    peak
}

#[test]
fn a_training_that_does_not_fit_is_refused_and_the_estimate_is_below_the_peak() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_pairs(&here.join("pairs"), 2, 32);
    let flags = ["--data", "pairs", "--size", "32", "--base-channels", "160", "--steps", "2", "--out"];
    let message = limited(900, here, &[&flags[..], &["refused"]].concat());
    let words: Vec<&str> = message.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "least").unwrap();
    let estimate: f64 = words[at + 1].parse().unwrap();
    assert!(message.contains("--batch-size") && message.contains("--base-channels"), "{message}");
    assert!(!here.join("refused/checkpoints").exists());
    let peak = peak(here, &[&flags[..], &["run"]].concat());
    println!("at least {estimate} MiB, took {peak:.0} MiB");
    assert!(estimate <= peak && peak <= MAX_FACTOR * estimate, "{estimate} MiB, {peak} MiB");
}

#[test]
fn no_value_of_a_flag_ends_in_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let large = ["100000", "4294967296", "1099511627776", "9223372036854775807", "18446744073709551615"];
    for flag in ["--size", "--load-size", "--base-channels", "--batch-size", "--workers", "--depth"] {
        for value in large {
            let message = fails(1, "train", here, &[flag, value, "--out", "run", "--steps", "1"]);
            assert!(message.starts_with("error: ") && message.len() < 2000, "{flag} {value}: {message}");
        }
    }
    write_pairs(&here.join("pairs"), 2, 32);
    let start = ["--data", "pairs", "--out", "run", "--steps", "1"];
    for flags in [
        ["--size", "8192", "--batch-size", "64"],
        ["--size", "256", "--base-channels", "4096"],
        ["--size", "256", "--batch-size", "65536"],
    ] {
        let message = fails(1, "train", here, &[&start[..], &flags].concat());
        assert!(
            message.contains("needs at least") && message.contains("--batch-size"),
            "{flags:?}: {message}"
        );
    }
}
