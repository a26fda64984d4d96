//! The options of a convolution.

use super::filter_cache::FilterCache;
use crate::kernels::activation::Activation;

/// The options that a layer passes to a convolution, besides its geometry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The activation that is applied as the map is read.
    pub(crate) activation: Activation,
    /// Whether to compute by the definition, without Winograd's algorithm.
    pub(crate) exact: bool,
    /// The cache of the weight's transformed filters; `None` for a layer in training.
    pub(crate) cache: Option<&'a FilterCache>,
}
