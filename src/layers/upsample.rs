//! The layers that double the resolution of a feature map.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::arithmetic::Arithmetic;
use super::conv::{Conv, ConvTranspose, KERNEL, concatenated};
use super::init::Initializer;
use crate::kernels::Activation;

/// How a decoder doubles the resolution. As text it is `transpose`, `nearest_conv` or `bilinear_conv`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UpsampleKind {
    /// A 4×4 transposed convolution with stride 2, as in the paper.
    #[default]
    Transpose,
    /// Nearest-neighbour resizing, then a 3×3 convolution. It avoids checkerboard patterns.
    NearestConv,
    /// Bilinear resizing, then a 3×3 convolution. It avoids checkerboard patterns.
    BilinearConv,
}

/// A layer that doubles the resolution: ReLU, then `[N, in, H, W]` to `[N, out, 2·H, 2·W]`.
#[derive(Module, Debug)]
pub(crate) enum Upsample {
    Transpose(ConvTranspose),
    Nearest(Conv),
    Bilinear(Conv),
}

impl Upsample {
    /// Creates the layer from `channels[0]` to `channels[1]` channels.
    pub(crate) fn new(channels: [usize; 2], kind: UpsampleKind, bias: bool, init: &mut Initializer) -> Self {
        match kind {
            UpsampleKind::Transpose => Self::Transpose(ConvTranspose::doubling(channels, KERNEL, bias, init)),
            UpsampleKind::NearestConv => Self::Nearest(Conv::new(channels, [3, 1, 0], bias, init)),
            UpsampleKind::BilinearConv => Self::Bilinear(Conv::new(channels, [3, 1, 0], bias, init)),
        }
    }

    /// Returns the layer with `affine`, a factor and an offset of `[out]` each, folded into its weight and bias.
    pub(crate) fn fold_affine(&self, affine: [Tensor<1>; 2]) -> Self {
        match self {
            Self::Transpose(conv) => Self::Transpose(conv.fold_affine(affine)),
            Self::Nearest(conv) => Self::Nearest(conv.fold_affine(affine)),
            Self::Bilinear(conv) => Self::Bilinear(conv.fold_affine(affine)),
        }
    }

    /// Returns the arithmetic of the layer's convolution.
    pub(crate) fn arithmetic_mut(&mut self) -> &mut Arithmetic {
        match self {
            Self::Transpose(conv) => conv.arithmetic_mut(),
            Self::Nearest(conv) | Self::Bilinear(conv) => conv.arithmetic_mut(),
        }
    }

    /// Doubles the resolution of the concatenated channels of a skip connection and of `x`.
    pub(crate) fn forward(&self, skip: Option<Tensor<4>>, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Transpose(conv) => conv.forward_with_skip(skip, x, Activation::Relu),
            Self::Nearest(conv) => {
                conv.forward_reflected(nearest(concatenated(skip, x, Activation::Relu)), 1)
            }
            Self::Bilinear(conv) => {
                conv.forward_reflected(bilinear(concatenated(skip, x, Activation::Relu)), 1)
            }
        }
    }
}

/// Doubles the resolution: repeats every pixel twice in each direction.
///
/// This and [`bilinear`] consist of operations that have a gradient on every backend, unlike burn's `interpolate`.
fn nearest(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n * c, h, 1, w, 1]).expand([n * c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

/// Doubles the resolution: an output pixel is three quarters of the nearest input pixel plus one quarter of the next,
/// in each direction (corners not aligned).
fn bilinear(x: Tensor<4>) -> Tensor<4> {
    [2, 3].into_iter().fold(x, |x, dim| {
        let size = x.dims()[dim];
        let border = |at| x.clone().narrow(dim, at, 1);
        let padded = Tensor::cat(vec![border(0), x.clone(), border(size - 1)], dim);
        let mixed = |neighbour| x.clone() * 0.75 + padded.clone().narrow(dim, neighbour, size) * 0.25;
        let mut shape = x.dims();
        shape[dim] *= 2;
        Tensor::stack::<5>(vec![mixed(0), mixed(2)], dim + 1).reshape(shape)
    })
}
