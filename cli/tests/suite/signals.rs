//! Signals: the first saves the run, and one that the program was started to ignore does not stop it.
#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{finish, text, wait_until};
use crate::support::write_pairs;

/// Starts a training in a shell that ignores SIGHUP, as `nohup` does.
fn start_ignoring(folder: &Path, steps: &str) -> Child {
    let flags = "train --data data --size 16 --base-channels 2 --patch 16 --out run --save-steps 1";
    let script = format!("trap '' HUP; exec \"$0\" {flags} --steps {steps}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_pix2pix")]).current_dir(folder);
    shell.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_run_started_with_nohup_goes_on_when_the_terminal_closes() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(&folder.path().join("data"), 4, 16);
    let is_running = || folder.path().join("run/data.json").exists();
    let child = start_ignoring(folder.path(), "40");
    wait_until("the run has begun", is_running);
    send("-HUP", &child);
    let output = finish(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("finishing the step"), "{}", text(&output.stderr));
    assert!(folder.path().join("run/checkpoints/step-000000040").exists());
}

#[test]
fn a_signal_that_is_not_ignored_saves_the_run() {
    let folder = tempfile::tempdir().unwrap();
    write_pairs(&folder.path().join("data"), 4, 16);
    let child = start_ignoring(folder.path(), "1000000");
    wait_until("the run has begun", || folder.path().join("run/data.json").exists());
    send("-TERM", &child);
    let output = finish(child);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("finishing the step"), "{}", text(&output.stderr));
}
