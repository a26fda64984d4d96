//! What a layer asks of a convolution besides its shape.

use super::filter_cache::FilterCache;
use crate::kernels::activation::Activation;

/// What a layer asks of a convolution besides its shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The activation that is applied as the map is read.
    pub(crate) activation: Activation,
    /// Whether to compute by the definition alone, without Winograd's algorithm.
    pub(crate) exact: bool,
    /// The cache of the weight's transformed filters, for a layer that is not trained.
    pub(crate) cache: Option<&'a FilterCache>,
}
