//! Tests of the trainer that reach into the crate.

mod disk_faults;
