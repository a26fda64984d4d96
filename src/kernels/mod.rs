//! Kernels: convolutions, which take most of the time of a step, activations, normalisation and Adam's update.
//!
//! One set of kernels works on slices and serves every CPU backend, whose tensors lie in ordinary memory (`host` and the
//! files that it calls). Another is written in CubeCL and serves every GPU backend (`cube`). `autodiff` makes both
//! operations of burn, with their gradients.
//!
//! A convolution and a transposed convolution are one geometry seen from its two ends. So three functions (down, up,
//! weight) compute the forward pass and both gradients of either.

mod activation;
mod adam;
#[cfg(feature = "_kernels")]
mod autodiff;
#[cfg(feature = "_host")]
mod buffer_pool;
#[cfg(feature = "_host")]
mod conv;
#[cfg(feature = "_cube")]
mod cube;
#[cfg(feature = "_kernels")]
mod geometry;
#[cfg(feature = "_host")]
mod host;
#[cfg(feature = "_cube")]
mod noise;
#[cfg(feature = "_kernels")]
mod ops;
#[cfg(feature = "_kernels")]
mod options;
#[cfg(feature = "_host")]
mod pointwise;

pub use activation::Activation;
pub use adam::AdamRule;
#[cfg(feature = "_host")]
pub(crate) use conv::FilterCache;
#[cfg(feature = "_cube")]
pub(crate) use noise::Noise;
#[cfg(feature = "_kernels")]
pub(crate) use ops::{activate, convolve, convolve_transposed, normalize, supports, tanh};
#[cfg(feature = "_cube")]
pub(crate) use ops::{cross_entropy, dropout, update_parameter, update_statistics};
#[cfg(feature = "_kernels")]
pub(crate) use options::Options;

#[cfg(all(test, feature = "_host", target_arch = "x86_64"))]
mod tests {
    #[test]
    fn a_cpu_with_vector_instructions_does_not_run_the_scalar_kernels() {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            assert!(!matches!(pulp::Arch::new(), pulp::Arch::Scalar));
        }
    }
}
