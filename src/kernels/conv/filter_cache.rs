//! Caches filters that Winograd's algorithm has transformed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernels::buffer_pool::Buffer;
use crate::kernels::geometry::Geometry;

/// A cache of the transformed filters of one weight. Clones share it.
///
/// The cache does not see the weight. Its owner, a layer, must replace the cache whenever it replaces the weight.
#[derive(Clone, Default)]
pub(crate) struct FilterCache(Arc<Mutex<Vec<Entry>>>);

struct Entry {
    /// `m` and `r` of F(m, r).
    algorithm: [usize; 2],
    weight: WeightShape,
    filters: Arc<Buffer>,
}

/// The properties of a weight, besides its values, that determine its transformed filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WeightShape {
    outputs: usize,
    inputs: usize,
    kernel: usize,
    stride: usize,
}

impl WeightShape {
    fn of(g: &Geometry) -> Self {
        Self { outputs: g.small[0], inputs: g.large[0], kernel: g.kernel, stride: g.stride }
    }
}

impl FilterCache {
    /// Returns the filters for F(m, r), transformed by `transform` at the first call.
    ///
    /// # Panics
    /// If the cache holds filters of a weight of another shape: one cache serves one layer.
    pub(super) fn get_or_transform(
        &self,
        algorithm: [usize; 2],
        g: &Geometry,
        transform: impl FnOnce() -> Buffer,
    ) -> Arc<Buffer> {
        let weight = WeightShape::of(g);
        if let Some(filters) = find(&self.entries(), algorithm, weight) {
            return filters;
        }
        // The lock is released here: the transform waits for other threads of the pool, which may need this cache.
        let filters = Arc::new(transform());
        let mut entries = self.entries();
        // Another pass may have added the filters in the meantime.
        find(&entries, algorithm, weight).unwrap_or_else(|| {
            entries.push(Entry { algorithm, weight, filters: filters.clone() });
            filters
        })
    }

    /// Returns whether nothing is cached.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(entries: &[Entry], algorithm: [usize; 2], weight: WeightShape) -> Option<Arc<Buffer>> {
    for entry in entries {
        let cached = entry.weight;
        assert_eq!(weight, cached, "a filter cache serves one weight, but got {weight:?} after {cached:?}");
    }
    entries.iter().find(|entry| entry.algorithm == algorithm).map(|entry| entry.filters.clone())
}

impl std::fmt::Debug for FilterCache {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_list().entries(self.entries().iter().map(|entry| entry.algorithm)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(inputs: usize) -> Geometry {
        Geometry { images: 1, large: [inputs, 8, 8], small: [2, 4, 4], kernel: 4, stride: 2, padding: 1 }
    }

    #[test]
    fn each_algorithm_transforms_the_filters_once() {
        let cache = FilterCache::default();
        for (algorithm, expected) in [([2, 2], 1), ([4, 2], 2), ([2, 2], 1), ([4, 2], 2)] {
            let filters = cache.clone().get_or_transform(algorithm, &geometry(3), || Buffer::new(expected));
            assert_eq!(filters.len(), expected);
        }
        let again = cache.get_or_transform([2, 2], &geometry(3), || panic!("it is cached"));
        assert_eq!(again.len(), 1);
    }

    #[test]
    #[should_panic(expected = "a filter cache serves one weight")]
    fn weights_of_another_shape_are_refused() {
        let cache = FilterCache::default();
        cache.get_or_transform([2, 2], &geometry(3), || Buffer::new(1));
        cache.get_or_transform([2, 2], &geometry(6), || Buffer::new(1));
    }
}
