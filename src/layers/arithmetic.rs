//! How the CPU kernels compute a convolution.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::Device;

#[cfg(feature = "_host")]
use crate::kernels::{Activation, FilterCache, Options};

/// How the CPU kernels compute a convolution: a part of the layer that owns the weight.
///
/// It is a [`Module`] without parameters, so that no cached filters outlive their weight: whatever gives a network other
/// parameters (loading a record, an update, moving to another device) consumes the network, and here replaces the cache
/// by an empty one. A clone has the same parameters, and shares the cache.
#[derive(Clone, Debug, Default)]
pub struct Arithmetic {
    /// Whether to compute by the definition alone, without Winograd's algorithm.
    exact: bool,
    #[cfg(feature = "_host")]
    cache: Option<FilterCache>,
}

impl Arithmetic {
    /// Computes by the definition alone, without Winograd's algorithm, if `exact`.
    #[must_use]
    pub fn with_exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Caches the transformed filters from pass to pass, for layers that are not trained any more.
    pub(crate) fn with_cache(self) -> Self {
        #[cfg(feature = "_host")]
        return Self { cache: Some(self.cache.unwrap_or_default()), ..self };
        #[cfg(not(feature = "_host"))]
        self
    }

    /// Caches nothing.
    pub(crate) fn without_cache(self) -> Self {
        #[cfg(feature = "_host")]
        return Self { cache: None, ..self };
        #[cfg(not(feature = "_host"))]
        self
    }

    /// Returns the same arithmetic for other parameters: with an empty cache, if there is one.
    pub(crate) fn for_other_parameters(&self) -> Self {
        Self {
            exact: self.exact,
            #[cfg(feature = "_host")]
            cache: self.cache.as_ref().map(|_| FilterCache::default()),
        }
    }

    /// Returns the options of a kernel behind an activation.
    #[cfg(feature = "_host")]
    pub(super) fn options(&self, activation: Activation) -> Options<'_> {
        Options { activation, exact: self.exact, cache: self.cache.as_ref() }
    }

    /// Returns the cache, if there is one.
    #[cfg(all(test, feature = "_host"))]
    pub(super) fn cache(&self) -> Option<&FilterCache> {
        self.cache.as_ref()
    }
}

impl Module for Arithmetic {
    fn visit<V: ModuleVisitor>(&self, _: &mut V) {}

    fn map<M: ModuleMapper>(self, _: &mut M) -> Self {
        self.for_other_parameters()
    }

    fn to_device(self, _: &Device) -> Self {
        self.for_other_parameters()
    }

    fn fork(self, _: &Device) -> Self {
        self.for_other_parameters()
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        devices
    }

    fn materialize(self) -> Self {
        self.for_other_parameters()
    }

    fn valid(&self) -> Self {
        self.for_other_parameters()
    }

    fn train(self) -> Self {
        self.for_other_parameters()
    }
}

impl ModuleDisplayDefault for Arithmetic {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("{self:?}")).optional()
    }
}

impl ModuleDisplay for Arithmetic {}
