//! Metrics of generated images.
//!
//! | question | metric |
//! |---|---|
//! | how far is an output from its target? | [`l1`], [`psnr`], [`ssim_unit`] |
//! | would people call them similar? | `Lpips` (feature `eval`) |
//! | is it as sharp? | [`gradient_energy`] |
//! | does the set have the colours of the real one? | [`LabHistogram`] |
//! | can its labels be read back? | [`Palette`], [`Confusion`] |
//! | does the set have the features of the real one? | `fid`, `kid_of_all`, by `Inception` (feature `eval`) |
//! | do outputs fit their own inputs? | `joint_kid` (feature `eval`) |

mod colour;
#[cfg(feature = "eval")]
mod fid;
mod fidelity;
#[cfg(feature = "eval")]
mod inception;
#[cfg(feature = "eval")]
mod joint_kid;
#[cfg(feature = "eval")]
mod lpips;
mod segmentation;
mod sharpness;
mod ssim;

pub use colour::LabHistogram;
#[cfg(feature = "eval")]
pub use fid::{Features, fid, kid, kid_of_all};
pub use fidelity::{Metric, Metrics, l1, psnr};
#[cfg(feature = "eval")]
pub use inception::Inception;
#[cfg(feature = "eval")]
pub use joint_kid::{JointKid, joint_kid};
#[cfg(feature = "eval")]
pub use lpips::{Lpips, LpipsNetwork};
pub use segmentation::Confusion;
pub use sharpness::gradient_energy;
pub(crate) use ssim::unit_similarity_map;
pub use ssim::{ssim_signed, ssim_unit};

pub use crate::raster::Palette;
