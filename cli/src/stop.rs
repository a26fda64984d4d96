//! Stops on Ctrl-C, SIGTERM or SIGHUP after the training step, so that the run can be saved.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::note;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Handles these signals: the first one requests a stop, the second one ends the program at once.
pub(crate) fn listen() {
    let listening = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        note!("finishing the step and saving; press Ctrl-C again to stop without saving");
    });
    if let Err(error) = listening {
        note!("warning: Ctrl-C will stop without saving: {error}");
    }
}

/// Returns whether a stop was requested.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
