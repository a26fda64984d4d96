//! System calls of the program under `strace`: the order of writes, syncs and renames, which a power cut tests, and
//! injected errors of reads and writes.
//!
//! Without `strace` these tests say that they are skipped; with `PIX2PIX_EXPECT_STRACE`, as in CI, they fail.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{finish, succeeds, told};
use crate::support::write_pairs;

const SMALL: [&str; 8] = ["--data", "data", "--size", "16", "--base-channels", "2", "--patch", "16"];

/// Returns whether `strace` can trace a program here.
fn has_strace() -> bool {
    let can_trace = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    let can_trace = can_trace.is_ok_and(|output| output.status.success());
    assert!(
        can_trace || std::env::var_os("PIX2PIX_EXPECT_STRACE").is_none(),
        "strace is missing or may not trace"
    );
    if !can_trace {
        eprintln!("SKIPPED: strace is missing or may not trace, so no fault is injected");
    }
    can_trace
}

/// Runs the program under `strace` with these flags of it, and returns status, stdout and stderr.
fn traced(strace: &[&str], here: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut program = Command::new("strace");
    program.args(["-f", "-qq"]).args(strace).arg(env!("CARGO_BIN_EXE_pix2pix")).args(arguments);
    program.current_dir(here).env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    told(finish(program.spawn().unwrap()))
}

/// A call in a log of `strace -f -y`, with its thread and whether it succeeded.
struct Call {
    thread: String,
    name: String,
    arguments: String,
    is_done: bool,
}

/// Reads a log. A call that another thread interrupts has two lines.
fn calls(log: &str) -> Vec<Call> {
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, line)) = line.split_once(' ') else { continue };
        let line = line.trim_start();
        if let Some(start) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start.to_owned());
            continue;
        }
        let whole = match line.strip_prefix("<... ").and_then(|line| line.split_once(" resumed>")) {
            Some((_, end)) => begun.remove(thread).unwrap_or_default() + end,
            None => line.to_owned(),
        };
        let Some((name, rest)) = whole.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        calls.push(Call {
            thread: thread.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            is_done: !result.starts_with('-'),
        });
    }
    calls
}

/// Returns the path of the file descriptor that is a call's first argument: `7</run/.lock>, …`.
fn descriptor(arguments: &str) -> Option<PathBuf> {
    let (_, rest) = arguments.split_once('<')?;
    Some(rest.split_once('>')?.0.into())
}

/// Follows a log, and returns the renames that a power cut would make into a loss, and the final names of all renames.
///
/// Before a file or folder gets its final name, everything that was written to it must be synced; before a checkpoint
/// does, the log of the run, too; and before an old checkpoint is removed, the names of the new ones.
fn lossy(log: &str, here: &Path) -> (Vec<String>, BTreeSet<PathBuf>) {
    let (mut unsynced, mut unsynced_names) = (BTreeSet::new(), BTreeSet::new());
    let (mut losses, mut renamed) = (Vec::new(), BTreeSet::new());
    for call in calls(log).iter().filter(|call| call.is_done) {
        match call.name.as_str() {
            "write" | "pwrite64" | "writev" | "ftruncate" => {
                unsynced.extend(descriptor(&call.arguments).filter(|path| path.starts_with(here)));
            }
            "fsync" | "fdatasync" => {
                if let Some(path) = descriptor(&call.arguments) {
                    unsynced.remove(&path);
                    unsynced_names.remove(&path);
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let names: Vec<PathBuf> =
                    call.arguments.split('"').skip(1).step_by(2).map(|name| here.join(name)).collect();
                let [from, to] = &names[..] else { panic!("{}", call.arguments) };
                let is_checkpoint = to.parent().is_some_and(|folder| folder.ends_with("checkpoints"));
                for path in &unsynced {
                    if path.starts_with(from) || is_checkpoint && path.ends_with("metrics.jsonl") {
                        losses.push(format!("{}: renamed before {} is synced", to.display(), path.display()));
                    }
                }
                unsynced_names.extend(to.parent().map(Path::to_owned));
                renamed.insert(to.clone());
            }
            "unlink" | "unlinkat" | "rmdir" => {
                let is_old = call.arguments.contains("/checkpoints/step-");
                if let Some(folder) =
                    unsynced_names.iter().find(|folder| is_old && folder.ends_with("checkpoints"))
                {
                    losses.push(format!(
                        "{} is removed before {} is synced",
                        call.arguments,
                        folder.display()
                    ));
                }
            }
            _ => {}
        }
    }
    (losses, renamed)
}

#[test]
fn a_rename_before_the_sync_is_caught() {
    let here = Path::new("/h");
    let write = "7 write(3</h/.writing-a>, \"x\", 1) = 1\n";
    let sync = "7 fsync(3</h/.writing-a> <unfinished ...>\n8 close(4) = 0\n7 <... fsync resumed>) = 0\n";
    let rename = "7 rename(\"/h/.writing-a\", \"w\") = 0\n";
    let losses = |log: &str| lossy(log, here).0;
    assert!(losses(&[write, sync, rename].concat()).is_empty());
    assert_eq!(losses(&[write, rename, sync].concat()), ["/h/w: renamed before /h/.writing-a is synced"]);
    let failed = sync.replace("= 0", "= -1 EIO");
    assert_eq!(losses(&[write, &failed, rename].concat()).len(), 1);
    let metrics = "7 write(5</h/r/metrics.jsonl>, \"x\", 1) = 1\n";
    let save = "7 rename(\"r/checkpoints/.saving-a\", \"r/checkpoints/step-1\") = 0\n";
    assert_eq!(losses(&[metrics, save].concat()).len(), 1);
    let prune = "7 unlinkat(5</h/r/checkpoints/step-0>, \"state.json\", 0) = 0\n";
    assert_eq!(losses(&[save, prune].concat()).len(), 1);
    assert!(losses(&[save, "7 fsync(5</h/r/checkpoints>) = 0\n", prune].concat()).is_empty());
}

/// Returns a folder with pairs in `data/train` and `data/val`.
fn data() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        write_pairs(&folder.path().join("data").join(split), 4, 16);
    }
    folder
}

#[test]
fn a_power_cut_loses_nothing_that_has_its_final_name() {
    if !has_strace() {
        return;
    }
    let folder = data();
    let here = &folder.path().canonicalize().unwrap();
    let run = ["--out", "run", "--epochs", "4", "--save-every", "1", "--save-steps", "3", "--tensorboard"];
    let commands: [(&[&str], &[&str]); 6] = [
        (
            &[&["train"], &SMALL[..], &run].concat(),
            &[
                "run/.run",
                "run/metrics.jsonl",
                "run/config.json",
                "run/data.json",
                "run/index.html",
                "run/generator.safetensors",
                "run/generator-best.safetensors",
                "run/samples/epoch-0003.png",
                "run/checkpoints/step-000000003",
                "run/checkpoints/step-000000016",
            ],
        ),
        (
            &["translate", "--weights", "run", "--input", "data/val", "--output", "out", "--half", "left"],
            &["out/0.png"],
        ),
        (
            &["evaluate", "--weights", "run", "--data", "data", "--json", "m.json", "--output", "e"],
            &["m.json", "e/0.png"],
        ),
        (&["pairs", "--task", "grey", "--input", "data/val", "--output", "p"], &["p/train/0_png.png"]),
        (&["export", "--weights", "run", "--output", "G.safetensors"], &["G.safetensors"]),
        (&["check", "data", "--json", "c.json"], &["c.json"]),
    ];
    for (arguments, expected) in commands {
        let trace = "trace=write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir";
        let (status, _, errors) = traced(&["-y", "-s", "200", "-e", trace, "-o", "log"], here, arguments);
        assert_eq!(status, 0, "{arguments:?}: {errors}");
        let (losses, renamed) = lossy(&std::fs::read_to_string(here.join("log")).unwrap(), here);
        assert!(losses.is_empty(), "{arguments:?}: {losses:#?}");
        for name in expected {
            assert!(renamed.contains(&here.join(name)), "{arguments:?}: {name} is not renamed: {renamed:?}");
        }
    }
}

/// The injected errors, each for a system call.
const FAULTS: [(&str, &str); 11] = [
    ("openat", "EIO"),
    ("openat", "EMFILE"),
    ("read", "EIO"),
    ("statx", "ESTALE"),
    ("getdents64", "EIO"),
    ("write", "ENOSPC"),
    ("fsync", "EIO"),
    ("rename", "EIO"),
    ("mkdir", "ENOSPC"),
    ("unlinkat", "EIO"),
    ("flock", "EIO"),
];

/// The number of moments at which each error is injected.
const MOMENTS: usize = 4;

#[test]
fn an_error_of_any_system_call_costs_a_resumed_run_nothing() {
    if !has_strace() {
        return;
    }
    let folder = data();
    let here = &folder.path().canonicalize().unwrap();
    let more = ["--save-every", "1", "--workers", "0", "--out", "run"];
    succeeds("train", here, &[&SMALL[..], &more, &["--epochs", "2"]].concat());
    copy(&here.join("run"), &here.join("saved"));
    let resume = ["train", "--out", "run", "--resume", "--epochs", "4"];

    // An undisturbed run tells the result, and which calls concern the run and its data.
    let names: BTreeSet<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
    let trace = format!("trace={}", names.iter().copied().collect::<Vec<_>>().join(","));
    let (status, _, errors) = traced(&["-y", "-s", "200", "-e", &trace, "-o", "log"], here, &resume);
    assert_eq!(status, 0, "{errors}");
    let expected = results(&here.join("run"));
    let log = calls(&std::fs::read_to_string(here.join("log")).unwrap());
    let concerned = |name: &str| {
        // `strace` counts the calls of each thread; the first thread reads and writes the run.
        let own = log.iter().filter(|call| call.name == name && call.thread == log[0].thread);
        let concerned = own.enumerate().filter(|(_, call)| {
            let about = [here.to_str().unwrap(), "\"run", "\"data"];
            about.iter().any(|about| call.arguments.contains(about))
        });
        concerned.map(|(index, _)| index + 1).collect::<Vec<usize>>()
    };

    let (mut failed, mut tried) = (0, 0);
    for (name, error) in FAULTS {
        let at = concerned(name);
        assert!(!at.is_empty(), "no `{name}` concerns the run");
        let moments: BTreeSet<usize> = (0..MOMENTS).map(|part| at[at.len() * part / MOMENTS]).collect();
        for moment in moments {
            std::fs::remove_dir_all(here.join("run")).unwrap();
            copy(&here.join("saved"), &here.join("run"));
            let inject = format!("inject={name}:error={error}:when={moment}");
            let (status, _, errors) =
                traced(&["-e", &format!("trace={name}"), "-e", &inject, "-o", "/dev/null"], here, &resume);
            let case = format!("{name} {error} at {moment}");
            assert!([0, 1].contains(&status) && !errors.contains("panicked"), "{case}: {status}: {errors}");
            assert!(status == 0 || errors.contains("error: "), "{case}: {errors}");
            (failed, tried) = (failed + status, tried + 1);
            succeeds("train", here, &resume[1..]);
            let found = results(&here.join("run"));
            let differing: Vec<&PathBuf> = expected
                .keys()
                .chain(found.keys())
                .filter(|path| found.get(*path) != expected.get(*path))
                .collect();
            assert!(differing.is_empty(), "{case}: {differing:?} differ; {errors}");
        }
    }
    assert!(failed * 4 > tried, "only {failed} of {tried} errors were seen");
}

/// Copies a folder of files.
fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        match entry.file_type().is_dir() {
            true => std::fs::create_dir(target).unwrap(),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Returns what a run must not lose: its curves, samples, weights and last checkpoint.
fn results(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let kept = [
        "metrics.jsonl",
        "generator.safetensors",
        "generator-best.safetensors",
        "samples",
        "checkpoints/step-000000016",
    ];
    for name in kept {
        for entry in walkdir::WalkDir::new(run.join(name)).into_iter().flatten() {
            if entry.file_type().is_file() {
                let path = entry.path().strip_prefix(run).unwrap().to_owned();
                found.insert(path, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_file_system_without_locks_is_trained_on_with_a_warning() {
    if !has_strace() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_pairs(&here.join("data"), 4, 16);
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let inject = format!("inject=flock:error={error}");
        let arguments = [&["train"], &SMALL[..], &["--epochs", "1", "--out", error]].concat();
        let (status, shown, warnings) =
            traced(&["-e", "trace=flock", "-e", &inject, "-o", "/dev/null"], here, &arguments);
        assert_eq!(status, 0, "{error}: {warnings}");
        assert!(
            shown.contains("4 steps;") && warnings.contains("this file system has no locks"),
            "{warnings}"
        );
    }
    // An interrupted lock is tried again.
    let arguments = [&["train"], &SMALL[..], &["--epochs", "1", "--out", "interrupted"]].concat();
    let strace = ["-e", "trace=flock", "-e", "inject=flock:error=EINTR:when=1", "-o", "/dev/null"];
    let (status, _, warnings) = traced(&strace, here, &arguments);
    assert!(status == 0 && !warnings.contains("locks"), "{warnings}");
}
