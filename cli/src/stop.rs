//! Stopping on Ctrl-C, SIGTERM or SIGHUP: the training step is finished and the run saved.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::note;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Makes these signals finish the step and save; a second one ends the program at once.
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

/// Whether one of the signals came.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
