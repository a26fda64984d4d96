//! The convolutions of the CPU backends.

use std::borrow::Cow;

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;

use super::{Host, on_host_backends};
use crate::kernels::activation::Activation;
use crate::kernels::autodiff::{Call, Convolve, ConvolveGradients};
use crate::kernels::buffer_pool::Buffer;
use crate::kernels::conv::{Algorithm, FeatureMap};
use crate::kernels::geometry::Geometry;
use crate::kernels::options::Options;
use crate::kernels::pointwise;

macro_rules! implement {
    ($backend:ty) => {
        impl Convolve for $backend {
            fn down(
                large: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                options: Options<'_>,
            ) -> FloatTensor<Self> {
                let values = Self::read(&large);
                let large = FeatureMap::new(&values, geometry.large[0], options.activation);
                down::<Self>(large, &weight, geometry, options)
            }

            fn up(
                small: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                options: Options<'_>,
            ) -> FloatTensor<Self> {
                up::<Self>(&[small], &weight, geometry, options)
            }

            fn up_with_skip(
                skip: FloatTensor<Self>,
                small: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                options: Options<'_>,
            ) -> FloatTensor<Self> {
                up::<Self>(&[skip, small], &weight, geometry, options)
            }
        }

        impl ConvolveGradients for $backend {
            fn down_backward(
                large: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                output_gradient: FloatTensor<Self>,
                call: Call,
                wanted: [bool; 2],
            ) -> [Option<FloatTensor<Self>>; 2] {
                down_backward::<Self>(&large, &weight, &output_gradient, call, wanted)
            }

            fn up_backward(
                parts: Vec<FloatTensor<Self>>,
                weight: FloatTensor<Self>,
                output_gradient: FloatTensor<Self>,
                call: Call,
                wanted: &[bool],
            ) -> Vec<Option<FloatTensor<Self>>> {
                up_backward::<Self>(&parts, &weight, &output_gradient, call, wanted)
            }
        }
    };
}
on_host_backends!(implement);

fn down<B: Host>(
    large: FeatureMap,
    weight: &FloatTensor<B>,
    g: Geometry,
    Options { exact, cache, .. }: Options<'_>,
) -> FloatTensor<B> {
    let values = Algorithm::of(&g, exact, cache.is_some()).down(&g, large, &B::read(weight), cache);
    B::wrap(values, [g.images, g.small[0], g.small[1], g.small[2]])
}

fn up<B: Host>(
    parts: &[FloatTensor<B>],
    weight: &FloatTensor<B>,
    g: Geometry,
    Options { activation, exact, cache }: Options<'_>,
) -> FloatTensor<B> {
    let parts = read_all::<B>(parts);
    let algorithm = Algorithm::of(&g, exact, cache.is_some());
    let values = algorithm.up(&g, feature_map(&parts, activation), &B::read(weight), cache);
    B::wrap(values, [g.images, g.large[0], g.large[1], g.large[2]])
}

/// The values and the number of channels of a part of a map.
type Part<'a> = (Cow<'a, [f32]>, usize);

fn read_all<B: Host>(parts: &[FloatTensor<B>]) -> Vec<Part<'_>> {
    parts.iter().map(|part| (B::read(part), part.shape()[1])).collect()
}

/// Returns the map of one part, or of the concatenated channels of two.
fn feature_map<'a>(parts: &'a [Part<'a>], activation: Activation) -> FeatureMap<'a> {
    match parts {
        [(values, channels)] => FeatureMap::new(values, *channels, activation),
        [first, second] => {
            FeatureMap::concatenated([first, second].map(|part| (&*part.0, part.1)), activation)
        }
        _ => unreachable!("a map has one or two parts"),
    }
}

fn down_backward<B: Host>(
    large: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    output_gradient: &FloatTensor<B>,
    Call { geometry: g, activation, exact }: Call,
    [large_wanted, weight_wanted]: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    let algorithm = Algorithm::of(&g, exact, false);
    let (values, output_gradient) = (B::read(large), B::read(output_gradient));
    let output_gradient = FeatureMap::new(&output_gradient, g.small[0], Activation::Linear);
    let weight_gradient = weight_wanted.then(|| {
        let large = FeatureMap::new(&values, g.large[0], activation);
        weight_gradient::<B>(algorithm, &g, large, output_gradient)
    });
    let large_gradient = large_wanted.then(|| {
        let mut gradient = algorithm.up(&g, output_gradient, &B::read(weight), None);
        pointwise::activate_backward_in_place(&mut gradient, &values, activation);
        B::wrap(gradient, large.shape())
    });
    [large_gradient, weight_gradient]
}

fn up_backward<B: Host>(
    tensors: &[FloatTensor<B>],
    weight: &FloatTensor<B>,
    output_gradient: &FloatTensor<B>,
    Call { geometry: g, activation, exact }: Call,
    wanted: &[bool],
) -> Vec<Option<FloatTensor<B>>> {
    let algorithm = Algorithm::of(&g, exact, false);
    let output_gradient = B::read(output_gradient);
    let output_gradient = FeatureMap::new(&output_gradient, g.large[0], Activation::Linear);
    let parts = read_all::<B>(tensors);
    let (weight_wanted, parts_wanted) = (wanted[parts.len()], &wanted[..parts.len()]);
    let weight_gradient = weight_wanted
        .then(|| weight_gradient::<B>(algorithm, &g, output_gradient, feature_map(&parts, activation)));
    let mut gradients: Vec<_> = parts.iter().map(|_| None).collect();
    if parts_wanted.contains(&true) {
        let all = algorithm.down(&g, output_gradient, &B::read(weight), None);
        for (index, mut gradient) in split(all, &g, &parts).into_iter().enumerate() {
            if parts_wanted[index] {
                pointwise::activate_backward_in_place(&mut gradient, &parts[index].0, activation);
                gradients[index] = Some(B::wrap(gradient, tensors[index].shape()));
            }
        }
    }
    gradients.push(weight_gradient);
    gradients
}

/// Splits the channels of a small map among its parts.
fn split(all: Vec<f32>, g: &Geometry, parts: &[Part]) -> Vec<Vec<f32>> {
    if parts.len() == 1 {
        return vec![all];
    }
    let all = Buffer::from(all);
    let map = FeatureMap::new(&all, g.small[0], Activation::Linear);
    let mut first = 0;
    let part = |(_, channels): &Part| {
        first += channels;
        map.channels(g.small_plane(), g.images, first - channels..first)
    };
    parts.iter().map(part).collect()
}

fn weight_gradient<B: Host>(
    algorithm: Algorithm,
    g: &Geometry,
    large: FeatureMap,
    small: FeatureMap,
) -> FloatTensor<B> {
    B::wrap(algorithm.weight(g, large, small), [g.small[0], g.large[0], g.kernel, g.kernel])
}
