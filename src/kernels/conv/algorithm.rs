//! Which algorithm computes a convolution.

use super::feature_map::Map;
use super::filters::{Filters, Weight};
use super::geometry::Geometry;
use super::im2col;
use super::winograd::Winograd;
use crate::device;

/// An algorithm for the three products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels) enum Method {
    /// By definition, as one matrix product.
    Direct,
    /// By Winograd's minimal filtering F(m, r): m outputs of a tile, r taps of a phase.
    Winograd(usize, usize),
}

/// Calls a method of the Winograd algorithm of these sizes, which are known when compiling.
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

impl Method {
    /// The fastest one that we measured for such a shape (`docs/benchmarks.md`).
    ///
    /// Transforming the filters costs the more, the fewer positions there are to use them, unless they are kept. Thin
    /// maps do not fill the products. F(4, 2) multiplies less than F(2, 2), but has more to transform.
    pub(in crate::kernels) fn of(g: &Geometry) -> Self {
        const THINNEST: usize = 32;
        let fits = g.kernel.is_multiple_of(g.stride) && g.padding <= g.stride;
        if !fits || g.stride > 2 || g.large[0] < THINNEST || device::is_exact() {
            return Self::Direct;
        }
        let positions = g.pictures * g.small_plane();
        let filters_per_position = g.large[0] * g.small[0] / positions;
        match (g.stride, g.kernel / g.stride) {
            (_, 2) if Filters::are_kept() && positions >= 4096 => Self::Winograd(4, 2),
            (_, 2) if Filters::are_kept() && positions >= 256 => Self::Winograd(2, 2),
            (_, 2) if filters_per_position < 100 || (filters_per_position < 400 && positions >= 1024) => {
                Self::Winograd(2, 2)
            }
            (1, 3) if filters_per_position < 200 => Self::Winograd(4, 3),
            (1, 4) if filters_per_position < 400 => Self::Winograd(3, 4),
            _ => Self::Direct,
        }
    }

    pub(in crate::kernels) fn down(self, g: &Geometry, large: Map, weight: &Weight) -> Vec<f32> {
        match self {
            Self::Direct => im2col::down(g, large, &weight.values),
            Self::Winograd(m, r) => {
                let filters = weight.filters(self, || winograd!(g, m, r, filters(&weight.values)));
                winograd!(g, m, r, down(large, &filters))
            }
        }
    }

    pub(in crate::kernels) fn up(self, g: &Geometry, small: Map, weight: &Weight) -> Vec<f32> {
        match self {
            Self::Direct => im2col::up(g, small, &weight.values),
            Self::Winograd(m, r) => {
                let filters = weight.filters(self, || winograd!(g, m, r, filters(&weight.values)));
                winograd!(g, m, r, up(small, &filters))
            }
        }
    }

    pub(in crate::kernels) fn weight(self, g: &Geometry, large: Map, small: Map) -> Vec<f32> {
        match self {
            Self::Direct => im2col::weight(g, large, small),
            Self::Winograd(m, r) => winograd!(g, m, r, weight(large, small)),
        }
    }
}
