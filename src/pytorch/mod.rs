//! Imports and exports networks of the PyTorch original: `.pth` (feature `pth`) and `.safetensors`.
//!
//! Code in a file is never run. A network is found under any name in the file's dictionaries, and its architecture is
//! inferred from names and shapes.

#[cfg(feature = "pth")]
mod container;
mod export;
#[cfg(feature = "pth")]
mod foreign;
mod import;
mod index;
mod infer;
mod names;
#[cfg(feature = "pth")]
mod pickle;
mod read;
mod search;
mod state_dict;
#[cfg(feature = "pth")]
mod state_pickle;
#[cfg(feature = "pth")]
mod stored;
mod styles;
#[cfg(feature = "pth")]
mod tensors;
#[cfg(feature = "pth")]
mod torch_file;

pub use export::{
    check_format, discriminator_state, generator_state, save, save_discriminator, save_discriminator_as,
    save_generator, save_generator_as,
};
pub use import::Import;
pub use read::read;
#[cfg(feature = "eval")]
pub(crate) use read::{read_some, unwrapped};
pub use state_dict::StateDict;

pub use crate::weights::Precision;
