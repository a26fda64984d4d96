//! The `train` example, killed without warning at moments spread over its run, ends like one that was left alone.
//!
//! `PIX2PIX_KILLS` sets how often; 6 unless told.
#![cfg(feature = "flex")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::write_pairs;

fn start(folder: &Path, out: &str) -> Child {
    let mut program: PathBuf = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    let arguments = "--data data --size 32 --base-channels 4 --epochs 40 --save-every 1 --workers 1 --resume";
    Command::new(program.join("examples/train"))
        .current_dir(folder)
        .args(arguments.split(' '))
        .args(["--out", out])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every file below `folder` that must not depend on interruptions, by its path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("index.html") {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn kills_leave_no_trace() {
    let kills = std::env::var("PIX2PIX_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        write_pairs(&folder.path().join("data").join(split), 4, 32);
    }
    finish(start(folder.path(), "whole"));
    let whole = files(&folder.path().join("whole"));

    let (mut killed, mut round, mut starts) = (0, 0, 0);
    while killed < kills {
        let out = format!("run-{round}");
        round += 1;
        let mut attempts = 0;
        loop {
            let mut child = start(folder.path(), &out);
            // The golden ratio spreads moments evenly, however many there are.
            let moment = 20.0 + 600.0 * (f64::from(starts) * 0.618_034).fract();
            starts += 1;
            std::thread::sleep(Duration::from_millis(moment as u64));
            attempts += 1;
            if killed >= kills || attempts > 20 || child.try_wait().unwrap().is_some() {
                finish(child);
                break;
            }
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            killed += 1;
        }
        let run = files(&folder.path().join(&out));
        assert!(run.keys().eq(whole.keys()), "{:?}", run.keys());
        for (path, bytes) in run {
            assert!(whole[&path] == bytes, "{out}/{} differs", path.display());
        }
    }
}
