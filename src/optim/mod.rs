//! The optimiser: Adam with gradient clipping.

mod adam;
mod clip;
mod rule;

pub(crate) use adam::Adam;
pub(crate) use clip::is_finite;
pub use rule::AdamRule;
