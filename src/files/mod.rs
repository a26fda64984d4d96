//! Writes files atomically, and reads nothing but files.

mod atomic;
mod disk;
mod read;

#[cfg(feature = "pth")]
pub(crate) use atomic::Output;
pub(crate) use atomic::{
    append, rename, require_space, scratch_in, sweep, sync, sync_folder, write, write_atomically,
    write_atomically_by, write_by,
};
#[cfg(test)]
pub(crate) use disk::fault;
pub(crate) use read::{MAX_TEXT, open, read};
