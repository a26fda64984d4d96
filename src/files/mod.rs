//! Writes files atomically.

mod atomic;
mod disk;

pub(crate) use atomic::{
    append, rename, require_space, scratch_in, sweep, sync, sync_folder, write, write_atomically,
};
#[cfg(test)]
pub(crate) use disk::fault;
