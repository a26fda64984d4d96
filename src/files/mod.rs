//! Writes files atomically.

mod atomic;
mod disk;

#[cfg(feature = "pth")]
pub(crate) use atomic::Output;
pub(crate) use atomic::{
    append, rename, require_space, scratch_in, sweep, sync, sync_folder, write, write_atomically,
    write_atomically_by,
};
#[cfg(test)]
pub(crate) use disk::fault;
