//! The settings and the filter cache of a convolution on the CPU.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::Device;

#[cfg(feature = "_host")]
use crate::kernels::FilterCache;
#[cfg(feature = "_kernels")]
use crate::kernels::{Activation, Options};

/// The settings and the filter cache of a convolution on the CPU, as a part of the layer that owns the weight.
///
/// It is a [`Module`] without parameters, so that cached filters never outlive their weight: every operation that
/// changes a network's parameters (loading a record, an update, moving to another device) consumes the modules of the
/// network, and this one then replaces its cache by an empty one. A clone has the same parameters and shares the cache.
#[derive(Clone, Debug, Default)]
pub struct Arithmetic {
    /// Whether to compute by the definition, without Winograd's algorithm.
    exact: bool,
    #[cfg(feature = "_host")]
    cache: Option<FilterCache>,
}

impl Arithmetic {
    /// Computes by the definition, without Winograd's algorithm, if `exact` is true.
    #[must_use]
    pub fn with_exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// Enables the cache of transformed filters, for layers that are no longer trained.
    pub(crate) fn with_cache(self) -> Self {
        #[cfg(feature = "_host")]
        return Self { cache: Some(self.cache.unwrap_or_default()), ..self };
        #[cfg(not(feature = "_host"))]
        self
    }

    /// Disables the cache.
    pub(crate) fn without_cache(self) -> Self {
        #[cfg(feature = "_host")]
        return Self { cache: None, ..self };
        #[cfg(not(feature = "_host"))]
        self
    }

    /// Returns the same settings for other parameters. An enabled cache becomes empty.
    pub(crate) fn for_other_parameters(&self) -> Self {
        Self {
            exact: self.exact,
            #[cfg(feature = "_host")]
            cache: self.cache.as_ref().map(|_| FilterCache::default()),
        }
    }

    /// Returns the options of a kernel that applies `activation` first.
    #[cfg(feature = "_kernels")]
    pub(super) fn options(&self, activation: Activation) -> Options<'_> {
        #[cfg(feature = "_host")]
        let cache = self.cache.as_ref();
        #[cfg(not(feature = "_host"))]
        let cache = std::marker::PhantomData;
        Options { activation, exact: self.exact, cache }
    }

    /// Returns the cache, if it is enabled.
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
