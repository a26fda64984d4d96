//! Imports and exports networks of the PyTorch original: `.pth` (feature `pth`, import only) and `.safetensors`.
//!
//! Code in a file is never run. The architecture is inferred from names and shapes.

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
