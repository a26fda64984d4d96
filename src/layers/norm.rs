//! Batch, instance or no normalisation. The caller chooses the statistics of batch normalisation.

use std::fmt;
use std::str::FromStr;

use burn::module::{Module, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::module::{batch_norm, batch_norm_train as burn_batch_norm_train};
use serde::{Deserialize, Serialize};

use super::init::Initializer;
use super::mode::{Mode, Statistics};
#[cfg(feature = "_cube")]
use crate::device::is_cube;
#[cfg(feature = "_kernels")]
use crate::kernels;
#[cfg(feature = "_cube")]
use crate::kernels::update_statistics;

/// The term added to the variance before the square root.
const EPSILON: f64 = 1e-5;
/// The weight of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// The normalisation after convolutions. As text it is `batch`, `instance`, `instance:affine` or `none`.
///
/// | variant | statistics | learned scale and shift | bias in the convolutions |
/// |---|---|---|---|
/// | `batch` | set by [`Mode`] | yes | no |
/// | `instance` | of each image | only if `affine` | yes |
/// | `none` | - | - | no |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Norm {
    /// Batch normalisation, the paper's choice.
    #[default]
    Batch,
    /// Instance normalisation.
    Instance {
        /// Whether it learns a scale and a shift.
        affine: bool,
    },
    /// No normalisation.
    None,
}

impl Norm {
    /// Returns whether convolutions before this normalisation have a bias: only those before an instance normalisation.
    ///
    /// This is the rule of the PyTorch original, so that its checkpoints fit.
    pub(crate) fn conv_bias(self) -> bool {
        matches!(self, Self::Instance { .. })
    }

    /// Creates the layer for `channels` channels, if there is one.
    pub(crate) fn init(self, channels: usize, init: &mut Initializer) -> Option<NormLayer> {
        let (affine, running) = match self {
            Self::Batch => (true, true),
            Self::Instance { affine } => (affine, false),
            Self::None => return None,
        };
        let (weight, bias) =
            if affine { (Some(init.scale(channels)), Some(init.bias(channels))) } else { (None, None) };
        let mut state =
            |value: f64| RunningState::with_id(init.id(), Tensor::full([channels], value, init.device()));
        let (running_mean, running_var) =
            if running { (Some(state(0.0)), Some(state(1.0))) } else { (None, None) };
        Some(NormLayer { weight, bias, running_mean, running_var })
    }
}

/// A normalisation layer. The fields have the names of PyTorch.
#[derive(Module, Debug)]
pub(crate) struct NormLayer {
    /// Scale, `[C]`.
    weight: Option<Param<Tensor<1>>>,
    /// Shift, `[C]`.
    bias: Option<Param<Tensor<1>>>,
    /// Present in batch normalisation only, `[C]`.
    running_mean: Option<RunningState<Tensor<1>>>,
    /// Present in batch normalisation only, `[C]`.
    running_var: Option<RunningState<Tensor<1>>>,
}

impl NormLayer {
    /// Normalises `x`, `[N, C, H, W]`.
    ///
    /// Running statistics are updated only if gradients are tracked, as in a training step.
    pub(crate) fn forward(&self, x: Tensor<4>, mode: Mode) -> Tensor<4> {
        let channels = x.dims()[1];
        let device = x.device();
        let value = |param: &Option<Param<Tensor<1>>>, otherwise: f64| match param {
            Some(param) => param.val(),
            None => Tensor::full([channels], otherwise, &device),
        };
        let (weight, bias) = (value(&self.weight, 1.0), value(&self.bias, 0.0));
        match (&self.running_mean, &self.running_var, mode.statistics) {
            (Some(mean), Some(var), Statistics::Running) => {
                let (mean, var) = (mean.value().to_device(&device), var.value().to_device(&device));
                batch_norm(x, weight, bias, mean, var, EPSILON)
            }
            (Some(mean), Some(var), Statistics::Batch) => {
                let [n, _, h, w] = x.dims();
                let (output, batch_mean, batch_var) = batch_norm_train(x, weight, bias);
                if device.is_autodiff() {
                    // PyTorch normalises with the biased variance, but its running statistics are of the unbiased one.
                    let count = (n * h * w) as f64;
                    let unbiased = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
                    update_running([mean, var], [batch_mean, batch_var], unbiased);
                }
                output
            }
            // `Statistics::Image`, and instance normalisation in every mode.
            _ => instance_norm(x, weight, bias),
        }
    }
}

/// Normalises `x`, if there is a norm.
pub(crate) fn normalised(norm: &Option<NormLayer>, x: Tensor<4>, mode: Mode) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(x, mode),
        None => x,
    }
}

/// The mean and the biased variance of each channel of a map, `[C]` each.
pub(crate) type Moments = [Tensor<1>; 2];

impl NormLayer {
    /// Returns the running statistics if `mode` uses them.
    pub(crate) fn known(&self, mode: Mode) -> Option<Moments> {
        match (&self.running_mean, &self.running_var, mode.statistics) {
            (Some(mean), Some(var), Statistics::Running) => Some([mean.value(), var.value()]),
            _ => None,
        }
    }

    /// Returns the factor and the offset, `[C]` each, of the normalisation by these statistics: `x · factor + offset`.
    pub(crate) fn affine(&self, [mean, var]: Moments) -> [Tensor<1>; 2] {
        let deviation = (var + EPSILON).sqrt();
        let factor = match &self.weight {
            Some(weight) => weight.val() / deviation,
            None => deviation.recip(),
        };
        let offset = match &self.bias {
            Some(bias) => bias.val() - mean * factor.clone(),
            None => -(mean * factor.clone()),
        };
        [factor, offset]
    }
}

/// Returns the mean and the biased variance of each channel of `x`.
pub(crate) fn moments(x: Tensor<4>) -> Moments {
    let channels = x.dims()[1];
    let device = x.device();
    let (_, mean, var) =
        batch_norm_train(x, Tensor::ones([channels], &device), Tensor::zeros([channels], &device));
    [mean, var]
}

/// Updates the running mean and variance with those of the newest batch, whose variance is multiplied by `unbiased`.
fn update_running(running: [&RunningState<Tensor<1>>; 2], [mean, var]: [Tensor<1>; 2], unbiased: f64) {
    let device = mean.device();
    let old = running.map(|state| state.value_sync().to_device(&device));
    #[cfg(feature = "_cube")]
    if is_cube(&device) {
        let untracked = |tensors: [Tensor<1>; 2]| tensors.map(Tensor::inner);
        let new = update_statistics(untracked(old), untracked([mean, var]), MOMENTUM as f32, unbiased as f32);
        return replace(running, new.map(Tensor::autodiff));
    }
    let moved =
        |old: Tensor<1>, newest: Tensor<1>| (old * (1.0 - MOMENTUM) + newest.detach() * MOMENTUM).detach();
    let [old_mean, old_var] = old;
    replace(running, [moved(old_mean, mean), moved(old_var, var.mul_scalar(unbiased))]);
}

fn replace(running: [&RunningState<Tensor<1>>; 2], new: [Tensor<1>; 2]) {
    for (state, new) in running.into_iter().zip(new) {
        state.update(new);
        // burn applies an update lazily. A checkpoint that is saved now must contain it.
        state.value_sync();
    }
}

/// Normalises every image alone: batch normalisation of one image of N·C channels.
fn instance_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let x = x.reshape([1, n * c, h, w]);
    batch_norm_train(x, weight.repeat(&[n]), bias.repeat(&[n])).0.reshape([n, c, h, w])
}

/// Normalises `x` per channel by its own mean and biased variance, and returns these too.
fn batch_norm_train(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    #[cfg(feature = "_kernels")]
    if kernels::supports(&x) {
        return kernels::normalize(x, weight, bias, EPSILON);
    }
    let result = burn_batch_norm_train(x, weight, bias, EPSILON);
    (result.output, result.mean, result.variance)
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batch",
            Self::Instance { affine: false } => "instance",
            Self::Instance { affine: true } => "instance:affine",
            Self::None => "none",
        })
    }
}

impl FromStr for Norm {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> crate::error::Result<Self> {
        match text {
            "batch" => Ok(Self::Batch),
            "instance" => Ok(Self::Instance { affine: false }),
            "instance:affine" => Ok(Self::Instance { affine: true }),
            "none" => Ok(Self::None),
            _ => {
                let problem = format!("`{text}` is not a norm; use batch, instance, instance:affine or none");
                Err(crate::error::Error::config("norm", problem))
            }
        }
    }
}
