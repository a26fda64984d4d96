//! A run folder on disk: its layout, its lock, and its checkpoints, which are saved atomically. It does not know the
//! trainer.

mod checkpoint;
mod compat;
mod folder;
mod layout;
mod lock;
mod loss_sums;
mod lossless_f64;
mod manifest;
mod network;
mod plateau;
mod snapshot;
mod state;

pub use checkpoint::Checkpoint;
pub(crate) use folder::{Found, RunFolder, Skipped, latest, newest};
pub(crate) use loss_sums::LossSums;
pub(crate) use snapshot::{Snapshot, missing};
pub(crate) use state::{Best, Progress, run_id};
