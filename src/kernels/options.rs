//! The options of a convolution.

use super::activation::Activation;
#[cfg(feature = "_host")]
use super::conv::FilterCache;

/// The options that a layer passes to a convolution, besides its geometry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The activation that is applied as the map is read.
    pub(crate) activation: Activation,
    /// Whether to compute by the definition, without Winograd's algorithm, which only the CPU kernels use.
    pub(crate) exact: bool,
    /// The cache of the weight's transformed filters on the CPU; `None` for a layer in training.
    #[cfg(feature = "_host")]
    pub(crate) cache: Option<&'a FilterCache>,
    /// Stands in for the cache in builds without a CPU backend.
    #[cfg(not(feature = "_host"))]
    pub(crate) cache: std::marker::PhantomData<&'a ()>,
}
