//! Convolutions and transposed convolutions that activate the map as they read it, with their gradients.

use std::borrow::Cow;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata, backend_extension};

use crate::kernels::activation::Activation;
use crate::kernels::buffer_pool::Buffer;
use crate::kernels::conv::{Algorithm, FeatureMap, Geometry, Options};
use crate::kernels::host::{Host, on_host_backends};
use crate::kernels::pointwise;

/// The two directions of a convolution between a large and a small feature map.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait Convolve: Backend {
    /// Computes a convolution: from the large map to the small one.
    fn down(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self>;

    /// Computes a transposed convolution: from the small map to the large one.
    fn up(
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self>;

    /// Computes a transposed convolution of the concatenated channels of `skip` and `small`.
    fn up_with_skip(
        skip: FloatTensor<Self>,
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self>;
}

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
                let values = Self::read(&small);
                let small = FeatureMap::new(&values, geometry.small[0], options.activation);
                up::<Self>(small, &weight, geometry, options)
            }

            fn up_with_skip(
                skip: FloatTensor<Self>,
                small: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                options: Options<'_>,
            ) -> FloatTensor<Self> {
                let parts = [(Self::read(&skip), &skip), (Self::read(&small), &small)];
                up::<Self>(concatenated::<Self>(&parts, options.activation), &weight, geometry, options)
            }
        }
    };
}
on_host_backends!(implement);

/// A tensor and its values.
type Part<'a, B> = (Cow<'a, [f32]>, &'a FloatTensor<B>);

fn concatenated<'a, B: Host>(parts: &'a [Part<'a, B>; 2], activation: Activation) -> FeatureMap<'a> {
    FeatureMap::concatenated([0, 1].map(|index| (&*parts[index].0, parts[index].1.shape()[1])), activation)
}

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
    small: FeatureMap,
    weight: &FloatTensor<B>,
    g: Geometry,
    Options { exact, cache, .. }: Options<'_>,
) -> FloatTensor<B> {
    let values = Algorithm::of(&g, exact, cache.is_some()).up(&g, small, &B::read(weight), cache);
    B::wrap(values, [g.images, g.large[0], g.large[1], g.large[2]])
}

impl<B: Convolve + Host, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn down(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self> {
        let (call, options) = tracked(geometry, options);
        let prepared = DownBackward(call).prepare::<C>([large.node(), weight.node()]);
        let (large, weight) = (large.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::down(large.clone(), weight.clone(), geometry, options);
                prepared.finish((large, weight), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::down(large, weight, geometry, options)),
        }
    }

    fn up(
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self> {
        let (call, options) = tracked(geometry, options);
        let prepared = UpBackward(call).prepare::<C>([small.node(), weight.node()]);
        let (small, weight) = (small.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::up(small.clone(), weight.clone(), geometry, options);
                prepared.finish((small, weight), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::up(small, weight, geometry, options)),
        }
    }

    fn up_with_skip(
        skip: FloatTensor<Self>,
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        options: Options<'_>,
    ) -> FloatTensor<Self> {
        let (call, options) = tracked(geometry, options);
        let prepared = UpWithSkipBackward(call).prepare::<C>([skip.node(), small.node(), weight.node()]);
        let (skip, small, weight) = (skip.into_primitive(), small.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::up_with_skip(skip.clone(), small.clone(), weight.clone(), geometry, options);
                prepared.finish((skip, small, weight), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::up_with_skip(skip, small, weight, geometry, options))
            }
        }
    }
}

/// The parameters that the backward pass of a convolution needs besides its tensors.
#[derive(Clone, Copy, Debug)]
struct Call {
    geometry: Geometry,
    activation: Activation,
    algorithm: Algorithm,
}

impl Call {
    /// Computes the gradient of the weight.
    fn weight_gradient<B: Host>(&self, large: FeatureMap, small: FeatureMap) -> FloatTensor<B> {
        let g = &self.geometry;
        B::wrap(self.algorithm.weight(g, large, small), [g.small[0], g.large[0], g.kernel, g.kernel])
    }
}

/// Returns the parameters of the backward pass, and the options without the cache: training changes the weight after
/// every pass, so cached filters would be stale.
fn tracked<'a>(geometry: Geometry, options: Options<'a>) -> (Call, Options<'a>) {
    let Options { activation, exact, .. } = options;
    let algorithm = Algorithm::of(&geometry, exact, false);
    (Call { geometry, activation, algorithm }, Options { cache: None, ..options })
}

#[derive(Debug)]
struct DownBackward(Call);

impl<B: Convolve + Host> Backward<B, 2> for DownBackward {
    /// The large map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Call { geometry: g, activation, algorithm } = self.0;
        let ([large_node, weight_node], (large, weight)) = (ops.parents, ops.state);
        let output_gradient = grads.consume::<B>(&ops.node);
        let (values, output_gradient) = (B::read(&large), B::read(&output_gradient));
        let output_gradient = FeatureMap::new(&output_gradient, g.small[0], Activation::Linear);
        if let Some(node) = weight_node {
            let large = FeatureMap::new(&values, g.large[0], activation);
            grads.register::<B>(node.id, self.0.weight_gradient::<B>(large, output_gradient));
        }
        if let Some(node) = large_node {
            let mut gradient = algorithm.up(&g, output_gradient, &B::read(&weight), None);
            pointwise::activate_backward_in_place(&mut gradient, &values, activation);
            grads.register::<B>(node.id, B::wrap(gradient, large.shape()));
        }
    }
}

#[derive(Debug)]
struct UpBackward(Call);

impl<B: Convolve + Host> Backward<B, 2> for UpBackward {
    /// The small map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Call { geometry: g, activation, algorithm } = self.0;
        let ([small_node, weight_node], (small, weight)) = (ops.parents, ops.state);
        let output_gradient = grads.consume::<B>(&ops.node);
        let (values, output_gradient) = (B::read(&small), B::read(&output_gradient));
        let output_gradient = FeatureMap::new(&output_gradient, g.large[0], Activation::Linear);
        if let Some(node) = weight_node {
            let small = FeatureMap::new(&values, g.small[0], activation);
            grads.register::<B>(node.id, self.0.weight_gradient::<B>(output_gradient, small));
        }
        if let Some(node) = small_node {
            let mut gradient = algorithm.down(&g, output_gradient, &B::read(&weight), None);
            pointwise::activate_backward_in_place(&mut gradient, &values, activation);
            grads.register::<B>(node.id, B::wrap(gradient, small.shape()));
        }
    }
}

#[derive(Debug)]
struct UpWithSkipBackward(Call);

impl<B: Convolve + Host> Backward<B, 3> for UpWithSkipBackward {
    /// The two parts of the small map, and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Call { geometry: g, activation, algorithm } = self.0;
        let ([skip_node, small_node, weight_node], (skip, small, weight)) = (ops.parents, ops.state);
        let output_gradient = grads.consume::<B>(&ops.node);
        let output_gradient = B::read(&output_gradient);
        let output_gradient = FeatureMap::new(&output_gradient, g.large[0], Activation::Linear);
        let parts = [(B::read(&skip), &skip), (B::read(&small), &small)];
        if let Some(node) = weight_node {
            let small = concatenated::<B>(&parts, activation);
            grads.register::<B>(node.id, self.0.weight_gradient::<B>(output_gradient, small));
        }
        if skip_node.is_none() && small_node.is_none() {
            return;
        }
        let both = Buffer::from(algorithm.down(&g, output_gradient, &B::read(&weight), None));
        let both = FeatureMap::new(&both, g.small[0], Activation::Linear);
        let mut first = 0;
        for (node, (values, part)) in [skip_node, small_node].into_iter().zip(parts) {
            let channels = part.shape()[1];
            if let Some(node) = node {
                let mut gradient = both.channels(g.small_plane(), g.images, first..first + channels);
                pointwise::activate_backward_in_place(&mut gradient, &values, activation);
                grads.register::<B>(node.id, B::wrap(gradient, part.shape()));
            }
            first += channels;
        }
    }
}
