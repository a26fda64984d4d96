//! Starts the program and waits for its end, with a time limit.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The time limit of a command.
const MAX_WAIT: Duration = Duration::from_secs(900);

/// Returns the program with a command and its arguments, which runs in `folder` with captured output.
pub(crate) fn pix2pix(command: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_pix2pix"));
    program.arg(command).args(arguments).current_dir(folder);
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// Waits for the end of a child and returns its output. Kills it after the time limit.
pub(crate) fn finish(child: Child) -> Output {
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    receiver.recv_timeout(MAX_WAIT).map(Result::unwrap).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("the program did not end within {MAX_WAIT:?}")
    })
}

/// Runs a command to its end and returns its output.
pub(crate) fn run(command: &str, folder: &Path, arguments: &[&str]) -> Output {
    finish(pix2pix(command, folder, arguments).spawn().unwrap())
}

/// Returns status, stdout and stderr.
pub(crate) fn told(output: Output) -> (i32, String, String) {
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed and returns its stdout.
pub(crate) fn succeeds(command: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = run(command, folder, arguments);
    assert!(output.status.success(), "{command} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with this status and returns its stderr.
pub(crate) fn fails(status: i32, command: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = run(command, folder, arguments);
    assert_eq!(output.status.code(), Some(status), "{command} {arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// Waits until `condition` holds. Fails after the time limit.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < MAX_WAIT, "{what}: not within {MAX_WAIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
