//! Convolutions and transposed convolutions, computed by the crate's kernels if they support the tensor, else by burn.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};

use super::activation::activate;
use super::arithmetic::Arithmetic;
use super::init::Initializer;
use super::spectral::SpectralNorm;
#[cfg(feature = "_kernels")]
use crate::kernels;
use crate::kernels::Activation;

/// The kernel of every layer of a U-Net that halves or doubles the resolution: 4×4, stride 2 (appendix 6.1).
pub(super) const KERNEL: usize = 4;

/// A convolution with a square kernel, zero padding and equal strides.
#[derive(Module, Debug)]
pub(crate) struct Conv {
    /// `[out, in, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    arithmetic: Arithmetic,
}

impl Conv {
    /// Creates a convolution from `channels[0]` to `channels[1]` channels.
    pub(crate) fn new(
        channels: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
        bias: bool,
        init: &mut Initializer,
    ) -> Self {
        let weight = init.weight([channels[1], channels[0], kernel, kernel]);
        let bias = bias.then(|| init.bias(channels[1]));
        Self { weight, bias, stride, padding, arithmetic: Arithmetic::default() }
    }

    /// Creates the convolution that halves the resolution: 4×4, stride 2, padding 1.
    pub(crate) fn halving(channels: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        Self::new(channels, [KERNEL, 2, 1], bias, init)
    }

    /// Returns the convolution with `affine`, a factor and an offset of `[out]` each, folded into its weight and bias.
    pub(crate) fn fold_affine(&self, affine: [Tensor<1>; 2]) -> Self {
        let (weight, bias) = fold_affine(&self.weight, &self.bias, affine, 0);
        Self { weight, bias, arithmetic: self.arithmetic.for_other_parameters(), ..*self }
    }

    /// Returns the convolution's arithmetic.
    pub(crate) fn arithmetic_mut(&mut self) -> &mut Arithmetic {
        &mut self.arithmetic
    }

    /// Convolves `[N, in, H, W]` to `[N, out, (H + 2·padding − kernel) / stride + 1, …]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_activated(x, Activation::Linear)
    }

    /// Applies an activation, then convolves like [`forward`](Self::forward).
    pub(crate) fn forward_activated(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        let geometry = [self.stride, self.padding];
        convolve(x, activation, self.weight.val(), bias, geometry, &self.arithmetic)
    }

    /// Convolves like [`forward_activated`](Self::forward_activated), with the weight divided by the estimate of its
    /// largest singular value.
    pub(crate) fn forward_normalised(
        &self,
        x: Tensor<4>,
        activation: Activation,
        norm: &SpectralNorm,
    ) -> Tensor<4> {
        let (weight, bias) = (norm.normalised(self.weight.val()), self.bias.as_ref().map(Param::val));
        convolve(x, activation, weight, bias, [self.stride, self.padding], &self.arithmetic)
    }

    /// Returns the weight, `[out, in, kernel, kernel]`.
    pub(crate) fn weight(&self) -> Tensor<4> {
        self.weight.val()
    }

    /// Pads by reflection with `margin` pixels, then convolves like [`forward`](Self::forward).
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
    arithmetic: Arithmetic,
}

impl ConvTranspose {
    /// Creates a transposed convolution with a `kernel` of 4 (U-Net) or 3 (ResNet) and padding 1.
    pub(crate) fn doubling(channels: [usize; 2], kernel: usize, bias: bool, init: &mut Initializer) -> Self {
        let weight = init.weight([channels[0], channels[1], kernel, kernel]);
        let bias = bias.then(|| init.bias(channels[1]));
        Self { weight, bias, arithmetic: Arithmetic::default() }
    }

    /// Returns the convolution with `affine`, a factor and an offset of `[out]` each, folded into its weight and bias.
    pub(crate) fn fold_affine(&self, affine: [Tensor<1>; 2]) -> Self {
        let (weight, bias) = fold_affine(&self.weight, &self.bias, affine, 1);
        Self { weight, bias, arithmetic: self.arithmetic.for_other_parameters() }
    }

    /// Returns the convolution's arithmetic.
    pub(crate) fn arithmetic_mut(&mut self) -> &mut Arithmetic {
        &mut self.arithmetic
    }

    /// Convolves `[N, in, H, W]` to `[N, out, 2·H, 2·W]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_with_skip(None, x, Activation::Linear)
    }

    /// Concatenates the channels of a skip connection and those of `x`, applies an activation, then convolves like
    /// [`forward`](Self::forward).
    pub(super) fn forward_with_skip(
        &self,
        skip: Option<Tensor<4>>,
        x: Tensor<4>,
        activation: Activation,
    ) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        conv_transpose_2x(skip, x, activation, self.weight.val(), bias, &self.arithmetic)
    }
}

/// Returns the weight and the bias of a convolution whose output is multiplied by `factor` and shifted by `offset`.
///
/// `out` is the dimension of the weight that has the output channels.
fn fold_affine(
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

/// Applies an activation, then convolves, by the crate's kernels if they support the tensor, else by burn.
///
/// # Shapes
/// - `x`: `[N, C, H, W]`
/// - `weight`: `[O, C, kernel, kernel]`, `bias`: `[O]`
/// - returns `[N, O, h, w]`
pub fn convolve(
    x: Tensor<4>,
    activation: Activation,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    [stride, padding]: [usize; 2],
    arithmetic: &Arithmetic,
) -> Tensor<4> {
    #[cfg(feature = "_kernels")]
    if kernels::supports(&x) {
        let options = arithmetic.options(activation);
        return add_bias(kernels::convolve(x, weight, [stride, padding], options), bias);
    }
    let _ = arithmetic; // only the kernels use it
    conv2d(activate(x, activation), weight, bias, ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1))
}

/// Concatenates `skip` and `x`, applies an activation, then doubles the resolution by a transposed convolution, by
/// the crate's kernels if they support the tensor, else by burn.
///
/// # Shapes
/// - `skip` and `x`: `[N, .., h, w]`, with `O` channels together
/// - `weight`: `[O, C, kernel, kernel]` with a kernel of 3 or 4, `bias`: `[C]`
/// - returns `[N, C, 2·h, 2·w]`
pub fn conv_transpose_2x(
    skip: Option<Tensor<4>>,
    x: Tensor<4>,
    activation: Activation,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    arithmetic: &Arithmetic,
) -> Tensor<4> {
    #[cfg(feature = "_kernels")]
    if kernels::supports(&x) {
        let [_, _, height, width] = x.dims();
        let (size, options) = ([2 * height, 2 * width], arithmetic.options(activation));
        return add_bias(kernels::convolve_transposed(skip, x, weight, [2, 1], size, options), bias);
    }
    let _ = arithmetic; // only the kernels use it
    let padding_out = KERNEL - weight.dims()[2];
    let options = ConvTransposeOptions::new([2, 2], [1, 1], [padding_out; 2], [1, 1], 1);
    conv_transpose2d(concatenated(skip, x, activation), weight, bias, options)
}

/// Concatenates the channels of a skip connection and those of `x`, then applies an activation.
pub(super) fn concatenated(skip: Option<Tensor<4>>, x: Tensor<4>, activation: Activation) -> Tensor<4> {
    let x = match skip {
        Some(skip) => Tensor::cat(vec![skip, x], 1),
        None => x,
    };
    activate(x, activation)
}

/// Adds a bias, `[C]`, to every pixel.
#[cfg(feature = "_kernels")]
fn add_bias(x: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    match bias {
        Some(bias) => {
            let channels = bias.dims()[0];
            x + bias.reshape([1, channels, 1, 1])
        }
        None => x,
    }
}

/// Pads by reflection. The border itself is not repeated.
pub(crate) fn reflect(x: Tensor<4>, margin: usize) -> Tensor<4> {
    x.pad([(margin, margin), (margin, margin)], PadMode::Reflect)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::ModuleMapper;

    use super::*;

    struct Halve;

    impl ModuleMapper for Halve {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|values| values * 0.5)
        }
    }

    fn cached_conv(seed: u64) -> Conv {
        let mut conv = Conv::halving([32, 32], true, &mut Initializer::new(seed, &crate::device::cpu()));
        conv.arithmetic = conv.arithmetic.with_cache();
        conv
    }

    /// Returns a map that is large enough for Winograd's algorithm.
    fn input() -> Tensor<4> {
        let values: Vec<f32> = (0..32 * 64 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &crate::device::cpu()).reshape([1, 32, 64, 64])
    }

    fn is_filled(conv: &Conv) -> bool {
        conv.arithmetic.cache().is_some_and(|cache| !cache.is_empty())
    }

    #[test]
    fn cached_filters_do_not_outlive_their_weight() {
        let device = crate::device::cpu();
        let conv = cached_conv(0);
        conv.forward(input());
        assert!(is_filled(&conv) && is_filled(&conv.clone()), "clones share the cache");

        let record = cached_conv(1).into_record();
        let affine = || [2.0, 1.0].map(|value| Tensor::full([32], value, &device));
        let changed = [
            ("map", conv.clone().map(&mut Halve)),
            ("load_record", conv.clone().load_record(record)),
            ("fork", conv.clone().fork(&device)),
            ("to_device", conv.clone().to_device(&device)),
            ("train", conv.clone().train()),
            ("valid", conv.valid()),
            ("no_grad", conv.clone().no_grad()),
            ("fold_affine", conv.fold_affine(affine())),
        ];
        for (name, changed) in changed {
            assert!(changed.arithmetic.cache().is_some(), "{name} keeps the cache enabled");
            assert!(!is_filled(&changed), "{name} empties the cache");
            let mut fresh = changed.clone();
            fresh.arithmetic = Arithmetic::default().with_cache();
            assert_eq!(changed.forward(input()).into_data(), fresh.forward(input()).into_data(), "{name}");
        }
        assert!(is_filled(&conv), "the original keeps its filters");
    }

    #[test]
    fn training_caches_nothing() {
        let conv = cached_conv(0).fork(&crate::device::cpu().autodiff());
        conv.forward(input().autodiff());
        assert!(!is_filled(&conv));
    }

    #[test]
    fn exact_arithmetic_is_kept_when_parameters_change() {
        let mut conv = cached_conv(0);
        let winograd = conv.forward(input()).into_data();
        conv.arithmetic = conv.arithmetic.with_exact(true);
        let exact = conv.forward(input()).into_data();
        assert_ne!(winograd, exact, "they round differently");
        assert_eq!(conv.valid().to_device(&crate::device::cpu()).forward(input()).into_data(), exact);
    }
}
