//! The `train` example, killed without warning at moments spread over its run, ends like one that was left alone, with
//! however many threads each part of it runs.
//!
//! `PIX2PIX_KILLS` sets how often; 6 unless told.
#![cfg(feature = "flex")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::write_pairs;

/// What all runs share, and what each has of its own: as little as there can be, and all that a checkpoint holds.
const SHARED: &str = "--data data --size 32 --base-channels 4 --workers 1 --resume";
const RECIPES: [&str; 2] = [
    "--epochs 40 --save-every 1",
    "--epochs 30 --decay-epochs 10 --save-every 3 --save-steps 5 --batch-size 2 --accumulate 2 --warmup-steps 30 \
     --ema-decay 0.9 --clip-norm 1 --schedule cosine",
];

/// Threads of one start after the other.
const THREADS: [&str; 3] = ["2", "1", "4"];

fn start(folder: &Path, recipe: usize, out: &str, threads: &str) -> Child {
    let mut program: PathBuf = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    Command::new(program.join("examples/train"))
        .current_dir(folder)
        .args(SHARED.split(' '))
        .args(RECIPES[recipe].split_whitespace())
        .args(["--out", out])
        .env("RAYON_NUM_THREADS", threads)
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
        write_pairs(&folder.path().join("data").join(split), 7, 32);
    }
    // With 1, 2 and 4 threads, and never killed.
    let whole = [0, 1].map(|recipe| {
        let runs = THREADS.map(|threads| {
            let out = format!("whole-{recipe}-{threads}");
            finish(start(folder.path(), recipe, &out, threads));
            files(&folder.path().join(&out))
        });
        runs[1..].iter().for_each(|run| assert_same(run, &runs[0]));
        runs[0].clone()
    });
    assert!(whole[1].keys().any(|path| path.ends_with("average.bpk")), "{:?}", whole[1].keys());

    let (mut killed, mut round, mut starts) = (0, 0, 0);
    while killed < kills {
        let (out, recipe) = (format!("run-{round}"), round % 2);
        round += 1;
        let mut attempts = 0;
        loop {
            let mut child = start(folder.path(), recipe, &out, THREADS[starts % 3]);
            // The golden ratio spreads moments evenly, however many there are.
            let moment = 20.0 + 600.0 * (starts as f64 * 0.618_034).fract();
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
        assert_same(&files(&folder.path().join(&out)), &whole[recipe]);
    }
}

fn assert_same(run: &BTreeMap<PathBuf, Vec<u8>>, whole: &BTreeMap<PathBuf, Vec<u8>>) {
    assert!(run.keys().eq(whole.keys()), "{:?}", run.keys());
    for (path, bytes) in run {
        assert!(whole[path] == *bytes, "{} differs", path.display());
    }
}
