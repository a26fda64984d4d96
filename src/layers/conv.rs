//! Convolutions, and the ways to halve and double a feature map.

use burn::module::{Module, Param};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use serde::{Deserialize, Serialize};

use super::{Initializer, Slope, rectify};
use crate::Tensor;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels;

/// The kernel of every half- and double-resolution step: 4×4, stride 2 (appendix 6.1).
const KERNEL: usize = 4;

/// How a decoder doubles the resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UpsampleKind {
    /// A 4×4 transposed convolution with stride 2, the paper's choice.
    #[default]
    Transpose,
    /// Nearest-neighbour resizing, then a 3×3 convolution: a remedy for checkerboard patterns.
    NearestConv,
    /// Bilinear resizing, then a 3×3 convolution: a remedy for checkerboard patterns.
    BilinearConv,
}

/// A convolution with a square kernel, zero padding and equal strides.
#[derive(Module, Debug)]
pub(crate) struct Conv {
    /// `[out, in, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
}

impl Conv {
    pub(crate) fn new(
        channels: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
        bias: bool,
        init: &mut Initializer,
    ) -> Self {
        let weight = init.weight([channels[1], channels[0], kernel, kernel]);
        let bias = bias.then(|| init.bias(channels[1]));
        Self { weight, bias, stride, padding }
    }

    /// The step that halves the resolution: 4×4, stride 2, padding 1.
    pub(crate) fn halving(channels: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        Self::new(channels, [KERNEL, 2, 1], bias, init)
    }

    /// The convolution whose output is this one's times `factor` plus `offset`, `[out]` each.
    pub(crate) fn scaled(&self, affine: [Tensor<1>; 2]) -> Self {
        let (weight, bias) = scaled(&self.weight, &self.bias, affine, 0);
        Self { weight, bias, ..*self }
    }

    /// `[N, in, H, W]` to `[N, out, (H + 2·padding − kernel) / stride + 1, …]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_rectified(x, Slope::LINEAR)
    }

    /// The same after an activation.
    pub(crate) fn forward_rectified(&self, x: Tensor<4>, slope: Slope) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        convolve(x, slope, self.weight.val(), bias, [self.stride, self.padding])
    }

    /// The same, with the picture mirrored at its border by `margin` pixels instead of padded with zeros.
    pub(crate) fn forward_reflected(&self, x: Tensor<4>, margin: usize) -> Tensor<4> {
        self.forward(reflect(x, margin))
    }
}

/// A transposed convolution with stride 2 that doubles the resolution exactly.
#[derive(Module, Debug)]
pub(crate) struct ConvTranspose {
    /// `[in, out, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Option<Param<Tensor<1>>>,
}

impl ConvTranspose {
    /// `kernel` is 4 (U-Net) or 3 (ResNet), both with padding 1.
    pub(crate) fn doubling(channels: [usize; 2], kernel: usize, bias: bool, init: &mut Initializer) -> Self {
        let weight = init.weight([channels[0], channels[1], kernel, kernel]);
        let bias = bias.then(|| init.bias(channels[1]));
        Self { weight, bias }
    }

    /// The convolution whose output is this one's times `factor` plus `offset`, `[out]` each.
    pub(crate) fn scaled(&self, affine: [Tensor<1>; 2]) -> Self {
        let (weight, bias) = scaled(&self.weight, &self.bias, affine, 1);
        Self { weight, bias }
    }

    /// `[N, in, H, W]` to `[N, out, 2·H, 2·W]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_joined(None, x, Slope::LINEAR)
    }

    /// The same after an activation, with a skip connection's channels before those of `x`.
    fn forward_joined(&self, skip: Option<Tensor<4>>, x: Tensor<4>, slope: Slope) -> Tensor<4> {
        double_by(skip, x, slope, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

/// Weight and bias of a convolution whose output, along dimension `out` of its weight, is multiplied and shifted.
fn scaled(
    weight: &Param<Tensor<4>>,
    bias: &Option<Param<Tensor<1>>>,
    [factor, offset]: [Tensor<1>; 2],
    out: usize,
) -> (Param<Tensor<4>>, Option<Param<Tensor<1>>>) {
    let mut shape = [1; 4];
    shape[out] = factor.dims()[0];
    let weight = weight.val() * factor.clone().reshape(shape);
    let bias = match bias {
        Some(bias) => bias.val() * factor + offset,
        None => offset,
    };
    (Param::from_tensor(weight), Some(Param::from_tensor(bias)))
}

/// An activation and a convolution, by our own kernels where they are for this device, else by burn's.
///
/// `x` is `[N, C, H, W]`, `weight` `[O, C, kernel, kernel]`, `bias` `[O]`.
pub fn convolve(
    x: Tensor<4>,
    slope: Slope,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    [stride, padding]: [usize; 2],
) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        return shift(kernels::convolve(x, slope.value(), weight, [stride, padding]), bias);
    }
    conv2d(rectify(x, slope), weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1))
}

/// An activation and a transposed convolution that doubles the resolution, by our own kernels where they are for this
/// device.
///
/// `skip` and `x`, `[N, .., h, w]`, have `O` channels together; `weight` is `[O, C, kernel, kernel]` with a kernel of 3
/// or 4, `bias` `[C]`.
pub fn double_by(
    skip: Option<Tensor<4>>,
    x: Tensor<4>,
    slope: Slope,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if kernels::supports(&x) {
        let [_, _, height, width] = x.dims();
        let size = [2 * height, 2 * width];
        return shift(kernels::convolve_transposed(skip, x, slope.value(), weight, [2, 1], size), bias);
    }
    let padding_out = KERNEL - weight.dims()[2];
    let options = ConvTransposeOptions::new([2, 2], [1, 1], [padding_out; 2], [1, 1], 1);
    conv_transpose2d(joined(skip, x, slope), weight, bias, options)
}

/// A skip connection's channels, then those of `x`, all after an activation.
fn joined(skip: Option<Tensor<4>>, x: Tensor<4>, slope: Slope) -> Tensor<4> {
    let x = match skip {
        Some(skip) => Tensor::cat(vec![skip, x], 1),
        None => x,
    };
    rectify(x, slope)
}

/// Adds a bias, `[C]`, to every pixel.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn shift(x: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    match bias {
        Some(bias) => {
            let channels = bias.dims()[0];
            x + bias.reshape([1, channels, 1, 1])
        }
        None => x,
    }
}

/// A step that doubles the resolution: ReLU, then `[N, in, H, W]` to `[N, out, 2·H, 2·W]`.
#[derive(Module, Debug)]
pub(crate) enum Upsample {
    Transpose(ConvTranspose),
    Nearest(Conv),
    Bilinear(Conv),
}

impl Upsample {
    pub(crate) fn new(channels: [usize; 2], kind: UpsampleKind, bias: bool, init: &mut Initializer) -> Self {
        match kind {
            UpsampleKind::Transpose => Self::Transpose(ConvTranspose::doubling(channels, KERNEL, bias, init)),
            UpsampleKind::NearestConv => Self::Nearest(Conv::new(channels, [3, 1, 0], bias, init)),
            UpsampleKind::BilinearConv => Self::Bilinear(Conv::new(channels, [3, 1, 0], bias, init)),
        }
    }

    /// The step whose output is this one's times `factor` plus `offset`, `[out]` each.
    pub(crate) fn scaled(&self, affine: [Tensor<1>; 2]) -> Self {
        match self {
            Self::Transpose(conv) => Self::Transpose(conv.scaled(affine)),
            Self::Nearest(conv) => Self::Nearest(conv.scaled(affine)),
            Self::Bilinear(conv) => Self::Bilinear(conv.scaled(affine)),
        }
    }

    /// A skip connection's channels come before those of `x`.
    pub(crate) fn forward(&self, skip: Option<Tensor<4>>, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Transpose(conv) => conv.forward_joined(skip, x, Slope::RELU),
            Self::Nearest(conv) => conv.forward_reflected(nearest(joined(skip, x, Slope::RELU)), 1),
            Self::Bilinear(conv) => conv.forward_reflected(bilinear(joined(skip, x, Slope::RELU)), 1),
        }
    }
}

/// Doubles the resolution: every pixel becomes four.
///
/// This and [`bilinear`] are made of operations that have a gradient on every backend; burn's `interpolate` has not.
fn nearest(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n * c, h, 1, w, 1]).expand([n * c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w])
}

/// Doubles the resolution: a pixel is three parts its nearest one and one part the next (corners not aligned).
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

/// Mirrors the picture at its border, without repeating the border itself.
pub(crate) fn reflect(x: Tensor<4>, margin: usize) -> Tensor<4> {
    x.pad([(margin, margin), (margin, margin)], PadMode::Reflect)
}
