//! The integration tests: one binary, so that burn is linked once. Tests that measure a whole process, or switch something
//! in it, are binaries of their own beside this folder.

mod architecture;
mod checkpoint;
mod data;
mod devices;
mod fid;
mod golden;
mod gradients;
mod kernels;
mod layering;
mod overnight;
mod pytorch;
#[path = "../support/mod.rs"]
mod support;
mod training;
mod translate;
