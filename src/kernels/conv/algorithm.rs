//! Chooses the algorithm of a convolution.

use std::sync::Arc;

use super::feature_map::FeatureMap;
use super::filter_cache::FilterCache;
use super::im2col;
use super::winograd::Winograd;
use crate::kernels::buffer_pool::Buffer;
use crate::kernels::geometry::Geometry;

/// An algorithm for the three products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// By the definition, as one matrix product over gathered patches.
    Im2col,
    /// By Winograd's minimal filtering F(m, r): m outputs of a tile, r taps of a phase.
    Winograd(usize, usize),
}

/// Calls a method of [`Winograd`] with sizes that are known at compile time.
macro_rules! winograd {
    ($g:expr, $m:expr, $r:expr, $method:ident($($argument:expr),*)) => {
        match ($m, $r) {
            (2, 2) => Winograd::<2, 2, 3>::new($g).$method($($argument),*),
            (4, 2) => Winograd::<4, 2, 5>::new($g).$method($($argument),*),
            (4, 3) => Winograd::<4, 3, 6>::new($g).$method($($argument),*),
            (3, 4) => Winograd::<3, 4, 6>::new($g).$method($($argument),*),
            _ => unreachable!("no Winograd algorithm F({}, {})", $m, $r),
        }
    };
}

impl Algorithm {
    /// Returns the fastest algorithm for a geometry: [`Im2col`](Self::Im2col) if `exact`, else by the measurements in
    /// `docs/benchmarks.md`. `cached` is true if transformed filters are cached between passes.
    ///
    /// Every position of the small map uses the transformed filters. So with fewer positions for each filter, the
    /// transform of the filters costs relatively more, unless they are cached. F(4, 2) multiplies less than F(2, 2),
    /// but its transforms cost more.
    pub(crate) fn of(g: &Geometry, exact: bool, cached: bool) -> Self {
        // With fewer channels, the matrices are too narrow to fill the SIMD registers.
        const MIN_CHANNELS: usize = 32;
        let suits = g.kernel.is_multiple_of(g.stride) && g.padding <= g.stride;
        if !suits || g.stride > 2 || g.large[0] < MIN_CHANNELS || exact {
            return Self::Im2col;
        }
        let positions = g.images * g.small_plane();
        let filters_per_position = g.large[0] * g.small[0] / positions;
        // The comment of each row names the layers that the row is for, and the time of one forward pass on two cores
        // of a Zen 4 (the table in `docs/benchmarks.md`). The layers are those of U-Net-256 and its discriminator,
        // batch 1.
        match (g.stride, g.kernel / g.stride) {
            // 4×4, stride 2, cached: the outer two levels, for example encoder 2 with 4096 positions.
            (_, 2) if cached && positions >= 4096 => Self::Winograd(4, 2),
            // 4×4, stride 2, cached: the next two levels: encoder 3 with 1024 positions and encoder 4 with 256.
            (_, 2) if cached && positions >= 256 => Self::Winograd(2, 2),
            // 4×4, stride 2: encoder 3 (32 filters per position) 3.8 ms by im2col, 3.6 ms by F(2, 2); but encoder 4
            // (512 filters per position) 3.4 ms by im2col, 3.6 ms by F(2, 2).
            (_, 2) if filters_per_position < 100 || (filters_per_position < 400 && positions >= 1024) => {
                Self::Winograd(2, 2)
            }
            // 3×3, stride 1: a ResNet's blocks of 256 channels (16 filters per position) 16.3 ms, 7.6 ms by F(4, 3).
            (1, 3) if filters_per_position < 200 => Self::Winograd(4, 3),
            // 4×4, stride 1: layer 4 of the discriminator (136 filters per position) 13.8 ms, 6.8 ms by F(3, 4).
            (1, 4) if filters_per_position < 400 => Self::Winograd(3, 4),
            // Deep layers, which have few positions, and all other kernel sizes.
            _ => Self::Im2col,
        }
    }

    /// Computes the small map from the large one.
    pub(crate) fn down(
        self,
        g: &Geometry,
        large: FeatureMap,
        weight: &[f32],
        cache: Option<&FilterCache>,
    ) -> Vec<f32> {
        match self {
            Self::Im2col => im2col::down(g, large, weight),
            Self::Winograd(m, r) => {
                let filters = filters(g, [m, r], weight, cache);
                winograd!(g, m, r, down(large, &filters))
            }
        }
    }

    /// Computes the large map from the small one.
    pub(crate) fn up(
        self,
        g: &Geometry,
        small: FeatureMap,
        weight: &[f32],
        cache: Option<&FilterCache>,
    ) -> Vec<f32> {
        match self {
            Self::Im2col => im2col::up(g, small, weight),
            Self::Winograd(m, r) => {
                let filters = filters(g, [m, r], weight, cache);
                winograd!(g, m, r, up(small, &filters))
            }
        }
    }

    /// Computes the gradient of the weight.
    pub(crate) fn weight(self, g: &Geometry, large: FeatureMap, small: FeatureMap) -> Vec<f32> {
        match self {
            Self::Im2col => im2col::weight(g, large, small),
            Self::Winograd(m, r) => winograd!(g, m, r, weight(large, small)),
        }
    }
}

/// Returns the transformed filters for F(m, r), from the cache if there is one.
fn filters(g: &Geometry, [m, r]: [usize; 2], weight: &[f32], cache: Option<&FilterCache>) -> Arc<Buffer> {
    let transform = || winograd!(g, m, r, filters(weight));
    match cache {
        Some(cache) => cache.get_or_transform([m, r], g, transform),
        None => Arc::new(transform()),
    }
}
