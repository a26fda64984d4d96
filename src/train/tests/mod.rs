//! Tests of the trainer that use private items of the crate.

mod disk_faults;
