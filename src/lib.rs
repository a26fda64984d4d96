// Markdown uses the first definition of a label, so these replace the README's own: see `guide`.
#![cfg_attr(doc, doc = include_str!("../docs/rustdoc/links.md"))]
#![cfg_attr(doc, doc = include_str!("../docs/rustdoc/images.md"))]
#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | to | use |
//! |---|---|
//! | build a network | [`GeneratorConfig`], [`DiscriminatorConfig`] |
//! | say how it behaves in a pass | [`Mode`] |
//! | state the objective | [`Pix2PixLossConfig`] |
//! | read pairs | [`data::PairedFolder`] |
//! | train | [`Pix2PixConfig`], [`Trainer`] |
//! | translate images | [`Translator`] |
//! | make images of noise | [`Sampler`] |
//! | compute metrics of outputs | [`metrics`] |
//! | bring checkpoints over from PyTorch, or take them there | [`pytorch`] |
//! | choose a backend | [`device`] |
//! | draw pairs to try things on | [`demo`] |
//! | read on | [`guide`] |
#![recursion_limit = "256"]
#![warn(clippy::unwrap_used)]

pub mod config;
pub mod data;
pub mod demo;
pub mod device;
pub mod discriminator;
pub mod error;
mod files;
mod generator;
pub mod guide;
mod json;
mod kernels;
mod layers;
pub mod loss;
mod memory;
pub mod metrics;
mod names;
mod optim;
mod pack;
pub mod pytorch;
mod raster;
pub mod report;
mod rng;
mod run;
pub mod train;
mod transfer;
mod translate;
mod weights;

pub use crate::{
    config::{Pix2PixConfig, TrainingConfig},
    discriminator::{Condition, Discriminator, DiscriminatorConfig},
    error::{Error, Result},
    generator::{Backbone, DropoutLayout, Generator, GeneratorConfig},
    layers::{DropoutMode, Mode, Norm, Statistics, UpsampleKind},
    loss::{GanMode, Pix2PixLoss, Pix2PixLossConfig, PixelLoss},
    run::Checkpoint,
    train::{Event, Trainer},
    translate::{Sampler, Translator},
};
pub use burn::tensor::{Device, Tensor};
// Both are in signatures of this crate: their users need the same versions.
pub use {burn, image};

// Networks, translators and data sets can be shared between threads.
const _: () = {
    const fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<Generator>();
    is_shared_between_threads::<Discriminator>();
    is_shared_between_threads::<Translator>();
    is_shared_between_threads::<Sampler>();
    is_shared_between_threads::<data::PairedFolder>();
    is_shared_between_threads::<Error>();
};

/// For the benchmarks and tests of single layers. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::layers::{Activation, Arithmetic, conv_transpose_2x, convolve, tanh};
    pub use crate::optim::AdamRule;
}
