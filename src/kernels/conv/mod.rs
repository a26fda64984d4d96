//! Convolutions: their shape, the maps that they read, and the algorithms that compute them.

mod algorithm;
mod batched_gemm;
mod feature_map;
mod filters;
mod geometry;
mod im2col;
mod im2col_small;
mod skinny_gemm;
mod winograd;

pub(super) use algorithm::Method;
pub(super) use feature_map::Map;
pub(crate) use filters::Filters;
pub(super) use filters::Weight;
pub(crate) use geometry::Geometry;
