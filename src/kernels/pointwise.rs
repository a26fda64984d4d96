//! Normalisation, activation and Adam in as few passes over memory as they need.

use pulp::Arch;
use rayon::prelude::*;

use super::buffer_pool;

/// Values that one task takes.
const CHUNK: usize = 1 << 14;
/// Values summed side by side, so that sums are vectors and as precise as many short ones.
const LANES: usize = 16;
/// Values summed in f32 before they are added to a sum in f64.
const RUN: usize = 64 * LANES;

/// A function of single values whose derivative follows from its output.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activation {
    /// `x` where it is positive, else this times `x`: ReLU and LeakyReLU.
    Rectify(f32),
    Tanh,
}

/// Applies an activation.
pub(super) fn activate(x: &[f32], activation: Activation) -> Vec<f32> {
    let arch = Arch::new();
    let mut out = buffer_pool::take(x.len());
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| {
        let pairs = out.iter_mut().zip(x);
        match activation {
            Activation::Rectify(slope) => arch.dispatch(
                #[inline(always)]
                || pairs.for_each(|(out, x)| *out = if *x > 0.0 { *x } else { slope * x }),
            ),
            Activation::Tanh => arch.dispatch(
                #[inline(always)]
                || pairs.for_each(|(out, x)| *out = tanh(*x)),
            ),
        }
    });
    out
}

/// The hyperbolic tangent to within 2e-7 of its value: by its power series near zero, elsewhere by e^2x.
///
/// Without branches, so that it is computed in vectors; the standard library's takes ten times as long.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    /// Below this the other way would cancel digits.
    const SMALL: f32 = 0.55;
    let size = x.abs();
    let square = size * size;
    // Lambert's continued fraction.
    let series = size * (10395.0 + square * (1260.0 + square * 21.0))
        / (10395.0 + square * (4725.0 + square * (210.0 + square)));
    // e^2x = 2^n · e^r, |r| < ln 2 / 2. From 10 on, tanh is 1 in f32.
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

/// The gradient of [`activate`], from its output and the gradient of that.
pub(super) fn activate_backward(output: &[f32], gradient: &[f32], activation: Activation) -> Vec<f32> {
    let arch = Arch::new();
    let mut out = buffer_pool::take(output.len());
    let chunks = out.par_chunks_mut(CHUNK).zip(output.par_chunks(CHUNK)).zip(gradient.par_chunks(CHUNK));
    chunks.for_each(|((out, output), gradient)| {
        let all = out.iter_mut().zip(output).zip(gradient);
        match activation {
            Activation::Rectify(slope) => arch.dispatch(
                #[inline(always)]
                || {
                    all.for_each(|((out, output), gradient)| {
                        *out = if *output > 0.0 { *gradient } else { slope * gradient };
                    })
                },
            ),
            Activation::Tanh => arch.dispatch(
                #[inline(always)]
                || all.for_each(|((out, output), gradient)| *out = gradient * (1.0 - output * output)),
            ),
        }
    });
    out
}

/// Turns the gradient of a rectified map into that of the map `x` itself, in place.
pub(super) fn rectify_backward(gradient: &mut [f32], x: &[f32], slope: f32) {
    if slope == 1.0 {
        return;
    }
    let arch = Arch::new();
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

/// Maps `[N, C, plane]`.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub(super) pictures: usize,
    pub(super) channels: usize,
    pub(super) plane: usize,
}

impl Planes {
    /// The planes of one channel.
    fn of<'a>(self, map: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> + Clone + use<'a> {
        let starts = (0..self.pictures).map(move |picture| (picture * self.channels + channel) * self.plane);
        starts.map(move |start| &map[start..start + self.plane])
    }

    /// All planes, those of one channel after each other, so that it is worked on while it is in the cache.
    fn by_channel(self, map: &mut [f32]) -> Vec<(usize, &mut [f32])> {
        let mut planes: Vec<_> = map.chunks_exact_mut(self.plane).enumerate().collect();
        planes.sort_by_key(|(index, _)| index % self.channels);
        planes
    }

    /// Values of one channel.
    fn count(self) -> f64 {
        (self.pictures * self.plane) as f64
    }
}

/// Normalises every channel by its own mean and variance; gives the output and those two.
pub(super) fn normalize(
    planes: Planes,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    epsilon: f64,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let arch = Arch::new();
    let mut out = buffer_pool::take(x.len());
    let mut targets = planes.by_channel(&mut out);
    let channels = targets.par_chunks_mut(planes.pictures.max(1)).enumerate().map(|(channel, out)| {
        arch.dispatch(
            #[inline(always)]
            || {
                let total: f64 = planes.of(x, channel).map(|plane| sum(plane, plane, |x, _| x)).sum();
                let mean = (total / planes.count()) as f32;
                let square = |x: f32, _: f32| (x - mean) * (x - mean);
                let squares: f64 = planes.of(x, channel).map(|plane| sum(plane, plane, square)).sum();
                let variance = (squares / planes.count()) as f32;
                let factor = scale[channel] * inverse_deviation(variance, epsilon);
                let shift = shift[channel];
                for ((_, out), x) in out.iter_mut().zip(planes.of(x, channel)) {
                    out.iter_mut().zip(x).for_each(|(out, x)| *out = (x - mean) * factor + shift);
                }
                (mean, variance)
            },
        )
    });
    let (mean, variance) = channels.unzip();
    (out, mean, variance)
}

/// The gradients of [`normalize`] in `x`, scale and shift.
pub(super) fn normalize_backward(
    planes: Planes,
    x: &[f32],
    scale: &[f32],
    [mean, variance]: [&[f32]; 2],
    epsilon: f64,
    gradient: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let arch = Arch::new();
    let mut out = buffer_pool::take(x.len());
    let mut targets = planes.by_channel(&mut out);
    let channels = targets.par_chunks_mut(planes.pictures.max(1)).enumerate().map(|(channel, out)| {
        arch.dispatch(
            #[inline(always)]
            || {
                let both = || planes.of(x, channel).zip(planes.of(gradient, channel));
                let mean = mean[channel];
                let deviation = inverse_deviation(variance[channel], epsilon);
                let along = |x: f32, gradient: f32| (x - mean) * gradient;
                let along: f64 = both().map(|(x, gradient)| sum(x, gradient, along)).sum();
                let along = (along * f64::from(deviation)) as f32;
                let all: f64 = planes.of(gradient, channel).map(|plane| sum(plane, plane, |g, _| g)).sum();
                let all = all as f32;
                let factor = scale[channel] * deviation;
                let share = (1.0 / planes.count()) as f32;
                let offset = all * share;
                let slope = along * share * deviation;
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

fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

/// The sum of `term(a, b)` over two slices of one length.
#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(RUN).zip(b.chunks(RUN)) {
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
