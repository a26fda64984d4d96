//! The integration tests: one binary, so that burn is linked only once. Tests that measure or configure a whole process
//! are separate binaries beside this folder.

mod architecture;
mod augment;
mod checkpoint;
mod corpus;
mod data;
mod decoders;
mod devices;
mod fid;
mod golden;
mod gradients;
mod implementations;
mod kernels;
mod labels;
mod layering;
mod layouts;
mod overnight;
mod pytorch;
mod run_folder;
mod structured;
#[path = "../support/mod.rs"]
mod support;
mod systems;
mod torch_file;
mod training;
mod translate;
#[cfg(all(feature = "flex", feature = "pth", feature = "codecs", feature = "report"))]
#[path = "../support/untrusted.rs"]
mod untrusted;
