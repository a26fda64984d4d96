//! The activations that a kernel applies before a convolution.

/// An activation, applied to each value of a feature map before a convolution reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// No activation: values do not change.
    Linear,
    /// ReLU: negative values become zero.
    Relu,
    /// LeakyReLU: negative values are multiplied by 0.2.
    LeakyRelu,
}

impl Activation {
    /// The slope for negative values of every LeakyReLU of the networks (Isola et al. 2017, appendix 6.1).
    pub(crate) const LEAK: f64 = 0.2;

    /// Returns the factor that multiplies negative values.
    #[cfg(feature = "_kernels")]
    pub(crate) fn slope(self) -> f32 {
        match self {
            Self::Linear => 1.0,
            Self::Relu => 0.0,
            Self::LeakyRelu => Self::LEAK as f32,
        }
    }
}
