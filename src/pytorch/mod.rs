//! Networks of the PyTorch original, in and out: `.pth` (feature `pth`) and `.safetensors` with its names.
//!
//! No code in a file is ever run. The architecture is inferred from names and shapes.

#[cfg(feature = "pth")]
mod container;
mod export;
mod import;
mod infer;
mod names;
mod read;
mod state_dict;

pub use export::{discriminator_state, generator_state, save};
pub use import::Import;
pub use read::read;
pub use state_dict::StateDict;
