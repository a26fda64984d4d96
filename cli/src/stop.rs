//! Stops on Ctrl-C, SIGTERM or SIGHUP after the training step, so that the run can be saved.

use std::io::Result;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::note;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Handles these signals: the first one requests a stop, the second one ends the program at once.
pub(crate) fn listen() {
    if let Err(error) = handle(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note!("finishing the step and saving; press Ctrl-C again to stop without saving");
    }) {
        note!("warning: Ctrl-C will stop without saving: {error}");
    }
}

/// Returns whether a stop was requested.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Calls `stop` at each signal, in a thread of its own. A signal that the program was started to ignore, as by `nohup`,
/// stays ignored.
#[cfg(unix)]
fn handle(stop: impl Fn() + Send + 'static) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let ignored = ignored();
    let heeded = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let mut signals = signal_hook::iterator::Signals::new(heeded)?;
    std::thread::Builder::new().spawn(move || signals.forever().for_each(|_| stop()))?;
    Ok(())
}

/// Returns the signals that the program ignores, a bit for each; none on systems that do not tell.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
fn handle(stop: impl Fn() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(stop).map_err(std::io::Error::other)
}
