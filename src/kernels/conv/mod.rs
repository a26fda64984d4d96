//! Convolutions: their geometry, the maps that they read, and the algorithms that compute them.

mod algorithm;
mod batched_gemm;
mod chunks;
mod feature_map;
mod filter_cache;
mod geometry;
mod im2col;
mod im2col_small;
mod options;
mod skinny_gemm;
mod winograd;

pub(super) use algorithm::Algorithm;
pub(super) use feature_map::FeatureMap;
pub(crate) use filter_cache::FilterCache;
pub(super) use geometry::Geometry;
pub(crate) use options::Options;
