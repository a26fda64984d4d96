//! `train`, killed with SIGKILL at many moments of its run and resumed, writes the same files as an uninterrupted run,
//! with any number of threads.
//!
//! `PIX2PIX_KILLS` sets the number of kills; the default is 6.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::program::{finish, pix2pix, text};
use crate::support::write_pairs;

/// Flags of all runs, and those of each recipe: the first has few flags, the second fills every part of a checkpoint, the
/// third draws noise.
const SHARED: &str = "--data data --size 32 --base-channels 4 --workers 1 --resume";
const RECIPES: [&str; 3] = [
    "--epochs 40 --save-every 1",
    "--epochs 30 --decay-epochs 10 --save-every 3 --save-steps 5 --batch-size 2 --accumulate 2 --warmup-steps 30 \
     --ema-decay 0.9 --clip-norm 1 --schedule cosine",
    "--system dcgan --batch-size 3 --discriminator-steps 2 --epochs 20 --save-every 1 --save-steps 2",
];

/// The numbers of threads of successive starts.
const THREADS: [&str; 3] = ["2", "1", "4"];

fn start(folder: &Path, recipe: usize, out: &str, threads: &str) -> Child {
    let arguments: Vec<&str> = SHARED.split(' ').chain(RECIPES[recipe].split_whitespace()).collect();
    let mut program = pix2pix("train", folder, &[&arguments[..], &["--out", out]].concat());
    program.env("RAYON_NUM_THREADS", threads).stdout(Stdio::null()).spawn().unwrap()
}

fn succeed(child: Child) {
    let output = finish(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Returns every file below `folder` that must not depend on interruptions, by its path.
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
fn a_killed_run_ends_with_the_files_of_an_uninterrupted_run() {
    let kills = std::env::var("PIX2PIX_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        write_pairs(&folder.path().join("data").join(split), 7, 32);
    }
    // Uninterrupted runs with 1, 2 and 4 threads.
    let mut shortest = [Duration::MAX; RECIPES.len()];
    let whole = [0, 1, 2].map(|recipe| {
        let runs = THREADS.map(|threads| {
            let out = format!("whole-{recipe}-{threads}");
            let clock = Instant::now();
            succeed(start(folder.path(), recipe, &out, threads));
            shortest[recipe] = shortest[recipe].min(clock.elapsed());
            files(&folder.path().join(&out))
        });
        runs[1..].iter().for_each(|run| assert_same(run, &runs[0]));
        runs[0].clone()
    });
    assert!(whole[1].keys().any(|path| path.ends_with("average.bpk")), "{:?}", whole[1].keys());

    let (mut killed, mut round, mut starts) = (0, 0, 0);
    while killed < kills {
        assert!(round < 10 + kills, "only {killed} of {kills} kills in {round} runs: the runs end too early");
        let (out, recipe) = (format!("run-{round}"), round % RECIPES.len());
        round += 1;
        let mut attempts = 0;
        loop {
            let mut child = start(folder.path(), recipe, &out, THREADS[starts % 3]);
            // A fraction of the duration of a whole run. The golden ratio spreads any number of moments evenly.
            let longest = (shortest[recipe] / 2).min(Duration::from_millis(620));
            std::thread::sleep(longest.mul_f64((starts as f64 * 0.618_034).fract()));
            starts += 1;
            attempts += 1;
            if killed >= kills || attempts > 20 || child.try_wait().unwrap().is_some() {
                succeed(child);
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
