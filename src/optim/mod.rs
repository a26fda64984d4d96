//! The optimiser: Adam with gradient clipping.

mod adam;
mod clip;

pub use crate::kernels::AdamRule;
pub(crate) use adam::Adam;
pub(crate) use clip::is_finite;
