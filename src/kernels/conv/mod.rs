//! Convolutions on the CPU: the maps that they read, and the algorithms that compute them.

mod algorithm;
mod batched_gemm;
mod chunks;
mod feature_map;
mod filter_cache;
mod im2col;
mod im2col_small;
mod skinny_gemm;
mod winograd;

pub(super) use algorithm::Algorithm;
pub(super) use feature_map::FeatureMap;
pub(crate) use filter_cache::FilterCache;
