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
//! | translate pictures | [`Translator`] |
//! | score outputs | [`metrics`] |
//! | bring checkpoints over from PyTorch, or take them there | [`pytorch`] |
//! | choose a backend | [`device`] |
//! | read on | [`guide`] |
#![recursion_limit = "256"]
#![warn(clippy::unwrap_used)]

mod config;
pub mod data;
pub mod device;
mod discriminator;
mod error;
mod files;
mod generator;
pub mod guide;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod kernels;
mod layers;
mod loss;
pub mod metrics;
pub mod pytorch;
mod random;
mod read_back;
pub mod report;
mod train;
mod translate;
mod weights;

pub use crate::{
    config::{Pix2PixConfig, Schedule, TrainingConfig},
    discriminator::{Condition, Discriminator, DiscriminatorConfig},
    error::{CheckpointProblem, Error, Result, ShapeMismatch},
    generator::{Backbone, DropoutLayout, Generator, GeneratorConfig},
    layers::{Dropout, Mode, Norm, Statistics, UpsampleKind},
    loss::{DiscriminatorLoss, GanMode, GeneratorLoss, Pix2PixLoss, Pix2PixLossConfig, PixelLoss},
    train::{Advice, Event, LossValues, Losses, Trainer},
    translate::Translator,
};
pub use burn::tensor::{Device, Tensor};

/// For the benchmark and the tests of single layers; not part of the interface.
#[doc(hidden)]
pub mod single {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    pub use crate::kernels::AdamRule;
    pub use crate::layers::{Slope, convolve, double_by, tanh};
}
