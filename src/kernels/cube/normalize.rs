//! Normalisation of each channel by its own mean and variance, one cube per channel.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::sum::{UNITS, total};
use super::tensor::empty;

/// The most cubes along one dimension of a launch that every adapter supports is 65,535.
const MAX_CUBES: usize = 32768;

/// The shape of a feature map `[N, C, plane]`.
#[derive(CubeLaunch, CubeType)]
struct Map {
    images: usize,
    channels: usize,
    plane: usize,
}

fn map_of(x: &CubeTensor) -> MapLaunch {
    let shape = x.meta.shape();
    MapLaunch::new(shape[0], shape[1], shape[2] * shape[3])
}

/// Returns one cube per channel.
fn one_cube_each(channels: usize) -> (CubeCount, CubeDim) {
    let wide = channels.min(MAX_CUBES);
    (CubeCount::Static(wide as u32, channels.div_ceil(wide) as u32, 1), CubeDim::new_1d(UNITS))
}

/// Returns the normalised map, the means and the biased variances.
pub(super) fn normalize(
    x: &CubeTensor,
    scale: &CubeTensor,
    shift: &CubeTensor,
    epsilon: f64,
) -> [CubeTensor; 3] {
    let shape: [usize; 4] = x.meta.shape().dims();
    let [out, mean, variance] = [empty(x, shape), empty(x, [shape[1]]), empty(x, [shape[1]])];
    let (count, dim) = one_cube_each(shape[1]);
    normalize_kernel::launch(
        &x.client,
        count,
        dim,
        x.clone().into_buffer_arg(),
        scale.clone().into_buffer_arg(),
        shift.clone().into_buffer_arg(),
        out.clone().into_buffer_arg(),
        mean.clone().into_buffer_arg(),
        variance.clone().into_buffer_arg(),
        map_of(x),
        epsilon as f32,
        UNITS as usize,
    );
    [out, mean, variance]
}

#[cube(launch)]
fn normalize_kernel(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    out: &mut [f32],
    means: &mut [f32],
    variances: &mut [f32],
    map: &Map,
    epsilon: f32,
    #[comptime] units: usize,
) {
    let channel = CUBE_POS;
    if channel >= map.channels {
        terminate!();
    }
    let mut sums = Shared::<[f32]>::new_slice(units);
    let count = map.images * map.plane;
    let unit = UNIT_POS as usize;

    let mut sum = f32::new(0.0);
    let mut index = unit;
    while index < count {
        sum += x[position(index, channel, map)];
        index += units;
    }
    let mean = total(&mut sums, sum, units) / f32::cast_from(count);

    let mut squares = f32::new(0.0);
    let mut index = unit;
    while index < count {
        let difference = x[position(index, channel, map)] - mean;
        squares += difference * difference;
        index += units;
    }
    let variance = total(&mut sums, squares, units) / f32::cast_from(count);

    let factor = scale[channel] / (variance + epsilon).sqrt();
    let mut index = unit;
    while index < count {
        let at = position(index, channel, map);
        out[at] = (x[at] - mean) * factor + shift[channel];
        index += units;
    }
    if unit == 0 {
        means[channel] = mean;
        variances[channel] = variance;
    }
}

/// Returns the gradients of the map, the scale and the shift.
pub(super) fn normalize_backward(
    x: &CubeTensor,
    scale: &CubeTensor,
    [mean, variance]: &[CubeTensor; 2],
    epsilon: f64,
    gradient: &CubeTensor,
) -> [CubeTensor; 3] {
    let shape: [usize; 4] = x.meta.shape().dims();
    let gradients = [empty(x, shape), empty(x, [shape[1]]), empty(x, [shape[1]])];
    let [x_gradient, scale_gradient, shift_gradient] = &gradients;
    let (count, dim) = one_cube_each(shape[1]);
    normalize_backward_kernel::launch(
        &x.client,
        count,
        dim,
        x.clone().into_buffer_arg(),
        scale.clone().into_buffer_arg(),
        mean.clone().into_buffer_arg(),
        variance.clone().into_buffer_arg(),
        gradient.clone().into_buffer_arg(),
        x_gradient.clone().into_buffer_arg(),
        scale_gradient.clone().into_buffer_arg(),
        shift_gradient.clone().into_buffer_arg(),
        map_of(x),
        epsilon as f32,
        UNITS as usize,
    );
    gradients
}

#[cube(launch)]
fn normalize_backward_kernel(
    x: &[f32],
    scale: &[f32],
    means: &[f32],
    variances: &[f32],
    gradient: &[f32],
    x_gradient: &mut [f32],
    scale_gradient: &mut [f32],
    shift_gradient: &mut [f32],
    map: &Map,
    epsilon: f32,
    #[comptime] units: usize,
) {
    let channel = CUBE_POS;
    if channel >= map.channels {
        terminate!();
    }
    let mut sums = Shared::<[f32]>::new_slice(units);
    let count = map.images * map.plane;
    let unit = UNIT_POS as usize;
    let mean = means[channel];
    let inverse = f32::new(1.0) / (variances[channel] + epsilon).sqrt();

    let mut sum = f32::new(0.0);
    let mut products = f32::new(0.0);
    let mut index = unit;
    while index < count {
        let at = position(index, channel, map);
        sum += gradient[at];
        products += gradient[at] * ((x[at] - mean) * inverse);
        index += units;
    }
    let sum = total(&mut sums, sum, units);
    let products = total(&mut sums, products, units);

    let factor = scale[channel] * inverse;
    let mean_gradient = sum / f32::cast_from(count);
    let mean_product = products / f32::cast_from(count);
    let mut index = unit;
    while index < count {
        let at = position(index, channel, map);
        let normalised = (x[at] - mean) * inverse;
        x_gradient[at] = factor * (gradient[at] - mean_gradient - normalised * mean_product);
        index += units;
    }
    if unit == 0 {
        scale_gradient[channel] = products;
        shift_gradient[channel] = sum;
    }
}

/// Returns where the map has a value of a channel, counted over all images.
#[cube]
fn position(index: usize, channel: usize, map: &Map) -> usize {
    (index / map.plane * map.channels + channel) * map.plane + index % map.plane
}
