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

/// Writes computed weights of LPIPS with SqueezeNet, and returns the files of the network and of the heads.
pub(crate) fn write_lpips(folder: &Path) -> [String; 2] {
    let mut of_network = pix2pix::pytorch::StateDict::new();
    let mut conv = |name: String, [outputs, inputs, kernel]: [usize; 3]| {
        let count = outputs * inputs * kernel * kernel;
        let scale = (6.0 / (inputs * kernel * kernel) as f32).sqrt();
        let values = (0..count).map(|i| scale * (i as f32 * 1.7).sin()).collect();
        of_network.insert(format!("{name}.weight"), (vec![outputs, inputs, kernel, kernel], values));
        of_network.insert(format!("{name}.bias"), (vec![outputs], vec![0.01; outputs]));
    };
    conv("features.0".to_owned(), [64, 3, 3]);
    for (index, [inputs, between, outputs]) in [
        (3, [64, 16, 64]),
        (4, [128, 16, 64]),
        (6, [128, 32, 128]),
        (7, [256, 32, 128]),
        (9, [256, 48, 192]),
        (10, [384, 48, 192]),
        (11, [384, 64, 256]),
        (12, [512, 64, 256]),
    ] {
        conv(format!("features.{index}.squeeze"), [between, inputs, 1]);
        conv(format!("features.{index}.expand1x1"), [outputs, between, 1]);
        conv(format!("features.{index}.expand3x3"), [outputs, between, 3]);
    }
    let channels = [64, 128, 256, 384, 384, 512, 512].into_iter().enumerate();
    let head = |(index, channels): (usize, usize)| {
        (format!("lin{index}.model.1.weight"), (vec![1, channels, 1, 1], vec![0.1; channels]))
    };
    let of_heads = channels.map(head).collect();
    [("squeezenet.safetensors", of_network), ("heads.safetensors", of_heads)].map(|(name, state)| {
        let path = folder.join(name);
        pix2pix::pytorch::save(&state, &path).unwrap();
        path.display().to_string()
    })
}
