//! Scores of generated pictures.
//!
//! | question | measure |
//! |---|---|
//! | how far is an output from its target? | [`l1`], [`psnr`], [`ssim`] |
//! | is it as sharp? | [`gradient_energy`] |
//! | has the set the colours of the real one? | [`LabHistogram`] |
//! | can its labels be read back? | [`Palette`], [`Confusion`] |

mod colour;
mod pixel;
mod segmentation;
mod sharpness;

pub use colour::LabHistogram;
pub use pixel::{Metric, Scores, l1, psnr, ssim};
pub use segmentation::{Confusion, Palette};
pub use sharpness::gradient_energy;
