//! Scores of generated pictures.
//!
//! | question | measure |
//! |---|---|
//! | how far is an output from its target? | [`l1`], [`psnr`], [`ssim`] |
//! | is it as sharp? | [`gradient_energy`] |
//! | has the set the colours of the real one? | [`LabHistogram`] |
//! | can its labels be read back? | [`Palette`], [`Confusion`] |
//! | has the set the features of the real one? | `fid`, `kid`, by `Inception` (feature `fid`) |

mod colour;
#[cfg(feature = "fid")]
mod fid;
mod fidelity;
#[cfg(feature = "fid")]
mod inception;
mod segmentation;
mod sharpness;

pub use colour::LabHistogram;
#[cfg(feature = "fid")]
pub use fid::{Features, fid, kid, kid_of_all};
pub use fidelity::{Metric, Scores, l1, psnr, ssim};
#[cfg(feature = "fid")]
pub use inception::Inception;
pub use segmentation::{Confusion, Palette};
pub use sharpness::gradient_energy;
