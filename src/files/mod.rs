//! Looks at paths, writes files atomically, and reads nothing but files.

mod atomic;
mod disk;
mod look;
mod read;

#[cfg(feature = "pth")]
pub(crate) use atomic::Output;
pub(crate) use atomic::{
    append, create_folder, rename, require_space, scratch_in, sweep, sync, sync_folder, write,
    write_atomically, write_atomically_by, write_by,
};
#[cfg(test)]
pub(crate) use disk::fault;
pub(crate) use look::{exists, is_folder, look, own_folder};
pub(crate) use read::{MAX_RECORD, MAX_TEXT, open, read};
