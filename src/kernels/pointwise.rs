//! Activation and normalisation in as few passes over memory as possible.

use pulp::Arch;
use rayon::prelude::*;

use super::activation::Activation;
use super::buffer_pool;

/// The number of values that one task processes.
const CHUNK: usize = 1 << 14;
/// The number of partial sums. They fill SIMD registers, and short sums have small rounding errors.
const LANES: usize = 16;
/// The number of values that are summed in f32 before the sum is added to one in f64.
const F32_SUM: usize = 64 * LANES;

/// Applies an activation.
pub(super) fn activate(x: &[f32], activation: Activation) -> Vec<f32> {
    let (arch, slope) = (Arch::new(), activation.slope());
    let mut out = buffer_pool::take(x.len());
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        arch.dispatch(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(out, x)| *out = if *x > 0.0 { *x } else { slope * x }),
        );
    });
    out
}

/// Returns the gradient of `x` in [`activate`], from the output and its gradient.
pub(super) fn activate_backward(output: &[f32], gradient: &[f32], activation: Activation) -> Vec<f32> {
    let (arch, slope) = (Arch::new(), activation.slope());
    let mut out = buffer_pool::take(output.len());
    let chunks = out.par_chunks_mut(CHUNK).zip(output.par_chunks(CHUNK)).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((out, output), gradient)| {
        arch.dispatch(
            #[inline(always)]
            || {
                for ((out, output), gradient) in out.iter_mut().zip(output).zip(gradient) {
                    *out = if *output > 0.0 { *gradient } else { slope * gradient };
                }
            },
        );
    });
    out
}

/// Replaces the gradient with respect to the activated map by the gradient with respect to `x`, the map before the
/// activation.
pub(super) fn activate_backward_in_place(gradient: &mut [f32], x: &[f32], activation: Activation) {
    if activation == Activation::Linear {
        return;
    }
    let (arch, slope) = (Arch::new(), activation.slope());
    gradient.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(gradient, x)| {
        arch.dispatch(
            #[inline(always)]
            || {
                for (gradient, x) in gradient.iter_mut().zip(x) {
                    *gradient = if *x > 0.0 { *gradient } else { slope * *gradient };
                }
            },
        )
    });
}

/// Applies the hyperbolic tangent.
pub(super) fn tanh(x: &[f32]) -> Vec<f32> {
    let arch = Arch::new();
    let mut out = buffer_pool::take(x.len());
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        arch.dispatch(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(out, x)| *out = tanh_of(*x)),
        );
    });
    out
}

/// Returns the gradient of `x` in [`tanh`], from the output and its gradient.
pub(super) fn tanh_backward(output: &[f32], gradient: &[f32]) -> Vec<f32> {
    let arch = Arch::new();
    let mut out = buffer_pool::take(output.len());
    let chunks = out.par_chunks_mut(CHUNK).zip(output.par_chunks(CHUNK)).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((out, output), gradient)| {
        arch.dispatch(
            #[inline(always)]
            || {
                for ((out, output), gradient) in out.iter_mut().zip(output).zip(gradient) {
                    *out = gradient * (1.0 - output * output);
                }
            },
        );
    });
    out
}

/// Returns the hyperbolic tangent with a relative error up to 2e-7: a continued fraction near zero, e^2x elsewhere.
///
/// It has no branches, so the compiler vectorises it. The function of the standard library takes ten times as long.
#[inline(always)]
fn tanh_of(x: f32) -> f32 {
    /// Below this, the formula with e^2x loses digits to cancellation.
    const SMALL: f32 = 0.55;
    let size = x.abs();
    let square = size * size;
    // Lambert's continued fraction.
    let series = size * (10395.0 + square * (1260.0 + square * 21.0))
        / (10395.0 + square * (4725.0 + square * (210.0 + square)));
    // e^2x = 2^n · e^r with |r| < ln 2 / 2. For x ≥ 10, tanh rounds to 1 in f32.
    let double = 2.0 * size.min(10.0);
    let n = (double * std::f32::consts::LOG2_E + 0.5).floor();
    let r = n.mul_add(-0.693_359_4, double);
    let r = n.mul_add(2.121_944_4e-4, r);
    let exponential = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0]
        .into_iter()
        .fold(1.0 / 5040.0f32, |sum, term| sum.mul_add(r, term));
    let power = f32::from_bits(((n as i32 + 127) as u32) << 23);
    let large = 1.0 - 2.0 / (power * exponential + 1.0);
    let result = if size < SMALL { series } else { large };
    if x.is_nan() { x } else { result.copysign(x) }
}

/// The shape of a feature map `[N, C, plane]`.
#[derive(Clone, Copy)]
pub(super) struct MapShape {
    pub(super) images: usize,
    pub(super) channels: usize,
    pub(super) plane: usize,
}

impl MapShape {
    /// Returns the planes of one channel.
    fn of<'a>(self, map: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> + Clone + use<'a> {
        let starts = (0..self.images).map(move |image| (image * self.channels + channel) * self.plane);
        starts.map(move |start| &map[start..start + self.plane])
    }

    /// Returns all planes with their indices, sorted by channel, so that a channel is normalised while it is in the
    /// CPU's cache.
    fn by_channel(self, map: &mut [f32]) -> Vec<(usize, &mut [f32])> {
        let mut planes: Vec<_> = map.chunks_exact_mut(self.plane).enumerate().collect();
        planes.sort_by_key(|(index, _)| index % self.channels);
        planes
    }

    /// Returns the number of values of one channel.
    fn count(self) -> f64 {
        (self.images * self.plane) as f64
    }
}

/// Normalises every channel by its own mean and variance; returns the output, the means and the biased variances.
pub(super) fn normalize(
    shape: MapShape,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    epsilon: f64,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let arch = Arch::new();
    let mut out = buffer_pool::take(x.len());
    let mut targets = shape.by_channel(&mut out);
    let channels = targets.par_chunks_mut(shape.images.max(1)).enumerate().map(|(channel, out)| {
        arch.dispatch(
            #[inline(always)]
            || {
                let total: f64 = shape.of(x, channel).map(|plane| sum(plane, plane, |x, _| x)).sum();
                let mean = (total / shape.count()) as f32;
                let square = |x: f32, _: f32| (x - mean) * (x - mean);
                let squares: f64 = shape.of(x, channel).map(|plane| sum(plane, plane, square)).sum();
                let variance = (squares / shape.count()) as f32;
                let factor = scale[channel] * inverse_deviation(variance, epsilon);
                let shift = shift[channel];
                for ((_, out), x) in out.iter_mut().zip(shape.of(x, channel)) {
                    out.iter_mut().zip(x).for_each(|(out, x)| *out = (x - mean) * factor + shift);
                }
                (mean, variance)
            },
        )
    });
    let (mean, variance) = channels.unzip();
    (out, mean, variance)
}

/// Returns the gradients of [`normalize`] with respect to `x`, `scale` and `shift`.
pub(super) fn normalize_backward(
    shape: MapShape,
    x: &[f32],
    scale: &[f32],
    [mean, variance]: [&[f32]; 2],
    epsilon: f64,
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let arch = Arch::new();
    let mut out = buffer_pool::take(x.len());
    let mut targets = shape.by_channel(&mut out);
    let channels = targets.par_chunks_mut(shape.images.max(1)).enumerate().map(|(channel, out)| {
        arch.dispatch(
            #[inline(always)]
            || {
                let both = || shape.of(x, channel).zip(shape.of(gradient, channel));
                let mean = mean[channel];
                let inverse = inverse_deviation(variance[channel], epsilon);
                let along = |x: f32, gradient: f32| (x - mean) * gradient;
                let along: f64 = both().map(|(x, gradient)| sum(x, gradient, along)).sum();
                let along = (along * f64::from(inverse)) as f32;
                let all: f64 = shape.of(gradient, channel).map(|plane| sum(plane, plane, |g, _| g)).sum();
                let all = all as f32;
                let factor = scale[channel] * inverse;
                let inverse_count = (1.0 / shape.count()) as f32;
                let offset = all * inverse_count;
                let slope = along * inverse_count * inverse;
                for ((_, out), (x, gradient)) in out.iter_mut().zip(both()) {
                    for ((out, x), gradient) in out.iter_mut().zip(x).zip(gradient) {
                        *out = factor * (gradient - offset - (x - mean) * slope);
                    }
                }
                (along, all)
            },
        )
    });
    let (scale_gradient, shift_gradient) = channels.unzip();
    (out, scale_gradient, shift_gradient)
}

/// Returns 1 / √(variance + epsilon).
fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

/// Returns the sum of `term(a, b)` over two slices of equal length.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(F32_SUM).zip(b.chunks(F32_SUM)) {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut lanes = [0.0; LANES];
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += term(a[lane], b[lane]);
            }
        }
        total += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
        total += a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(term(*a, *b))).sum::<f64>();
    }
    total
}
