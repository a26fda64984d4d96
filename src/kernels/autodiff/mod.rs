//! The kernels as operations of burn, with their gradients.
#![allow(deprecated)] // burn deprecates its own ndarray backend

mod conv;
mod pointwise;

pub(super) use conv::Convolve;
pub(super) use pointwise::Pointwise;

/// Implements a trait for every CPU backend that is compiled in.
macro_rules! on_host_backends {
    ($implement:ident) => {
        #[cfg(feature = "flex")]
        $implement!(burn::backend::Flex);
        #[cfg(feature = "ndarray")]
        mod ndarray {
            use super::*;
            $implement!(burn::backend::NdArray);
        }
    };
}
use on_host_backends;
