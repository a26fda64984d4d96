//! The kernels of the GPU backends, written in CubeCL.
//!
//! Every convolution is a matrix product: `columns` writes the patches of a map as a matrix, or sums such a matrix into
//! a map, and `product` multiplies. Nothing is tuned, so that the same seed gives the same bits on one adapter. Kernels
//! use shared memory only, no operations of subgroups, which some adapters lack.
// The macros of CubeCL generate public items and code that these lints refuse.
#![allow(missing_docs, unreachable_pub, clippy::too_many_arguments)]

mod columns;
mod conv;
mod cross_entropy;
mod dropout;
mod normalize;
mod pointwise;
mod product;
mod strips;
mod sum;
mod tensor;
#[cfg(all(test, feature = "flex", feature = "wgpu"))]
mod tests;
mod update;

pub(super) use update::Update;
