//! Convolutions and transposed convolutions of maps that are rectified as they are read.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata, backend_extension};

use super::on_host_backends;
use crate::kernels::buffer_pool::Workspace;
use crate::kernels::conv::{Geometry, Map, Method};
use crate::kernels::host::Host;
use crate::kernels::pointwise;

/// The two directions of a convolution between a large and a small feature map.
///
/// The map that is read is rectified with `slope` first.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(in crate::kernels) trait Convolve: Backend {
    /// A convolution: from the large map to the small one.
    fn down(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// A transposed convolution: from the small map to the large one.
    fn up(
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// The same, where the small map is the channels of `skip`, then those of `small`.
    fn up_joined(
        skip: FloatTensor<Self>,
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        slope: f32,
    ) -> FloatTensor<Self>;
}

macro_rules! implement {
    ($backend:ty) => {
        impl Convolve for $backend {
            fn down(
                large: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                slope: f32,
            ) -> FloatTensor<Self> {
                let values = Self::read(&large);
                down::<Self>(Map::rectified(&values, geometry.large[0], slope), &weight, geometry)
            }

            fn up(
                small: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                slope: f32,
            ) -> FloatTensor<Self> {
                let values = Self::read(&small);
                up::<Self>(Map::rectified(&values, geometry.small[0], slope), &weight, geometry)
            }

            fn up_joined(
                skip: FloatTensor<Self>,
                small: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
                slope: f32,
            ) -> FloatTensor<Self> {
                let parts = [(Self::read(&skip), &skip), (Self::read(&small), &small)];
                up::<Self>(joined::<Self>(&parts, slope), &weight, geometry)
            }
        }
    };
}

on_host_backends!(implement);

type Values<'a, B> = (std::borrow::Cow<'a, [f32]>, &'a FloatTensor<B>);

fn joined<'a, B: Host>(parts: &'a [Values<'a, B>; 2], slope: f32) -> Map<'a> {
    Map::joined([0, 1].map(|index| (&*parts[index].0, parts[index].1.shape()[1])), slope)
}

fn down<B: Host>(large: Map, weight: &FloatTensor<B>, g: Geometry) -> FloatTensor<B> {
    let values = Method::of(&g).down(&g, large, &B::weight(weight));
    B::wrap(values, [g.pictures, g.small[0], g.small[1], g.small[2]])
}

fn up<B: Host>(small: Map, weight: &FloatTensor<B>, g: Geometry) -> FloatTensor<B> {
    let values = Method::of(&g).up(&g, small, &B::weight(weight));
    B::wrap(values, [g.pictures, g.large[0], g.large[1], g.large[2]])
}

fn weight<B: Host>(large: Map, small: Map, g: Geometry) -> FloatTensor<B> {
    let values = Method::of(&g).weight(&g, large, small);
    B::wrap(values, [g.small[0], g.large[0], g.kernel, g.kernel])
}

impl<B: Convolve + Host, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn down(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        slope: f32,
    ) -> FloatTensor<Self> {
        let operation = DownBackward { geometry, slope };
        let prepared = operation.prepare::<C>([large.node(), weight.node()]);
        let (large, weight) = (large.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::down(large.clone(), weight.clone(), geometry, slope);
                prepared.finish((large, weight), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::down(large, weight, geometry, slope)),
        }
    }

    fn up(
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        slope: f32,
    ) -> FloatTensor<Self> {
        let operation = UpBackward { geometry, slope };
        let prepared = operation.prepare::<C>([small.node(), weight.node()]);
        let (small, weight) = (small.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::up(small.clone(), weight.clone(), geometry, slope);
                prepared.finish((small, weight), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::up(small, weight, geometry, slope)),
        }
    }

    fn up_joined(
        skip: FloatTensor<Self>,
        small: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: Geometry,
        slope: f32,
    ) -> FloatTensor<Self> {
        let operation = UpJoinedBackward { geometry, slope };
        let prepared = operation.prepare::<C>([skip.node(), small.node(), weight.node()]);
        let (skip, small, weight) = (skip.into_primitive(), small.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::up_joined(skip.clone(), small.clone(), weight.clone(), geometry, slope);
                prepared.finish((skip, small, weight), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::up_joined(skip, small, weight, geometry, slope))
            }
        }
    }
}

#[derive(Debug)]
struct DownBackward {
    geometry: Geometry,
    slope: f32,
}

impl<B: Convolve + Host> Backward<B, 2> for DownBackward {
    /// The large map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (g, slope) = (self.geometry, self.slope);
        let ([large_node, weight_node], (large, kernel)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        let (values, pull) = (B::read(&large), B::read(&gradient));
        let pull = Map::plain(&pull, g.small[0]);
        if let Some(node) = weight_node {
            let large = Map::rectified(&values, g.large[0], slope);
            grads.register::<B>(node.id, weight::<B>(large, pull, g));
        }
        if let Some(node) = large_node {
            let mut pulled = Method::of(&g).up(&g, pull, &B::weight(&kernel));
            pointwise::rectify_backward(&mut pulled, &values, slope);
            grads.register::<B>(node.id, B::wrap(pulled, large.shape()));
        }
    }
}

#[derive(Debug)]
struct UpBackward {
    geometry: Geometry,
    slope: f32,
}

impl<B: Convolve + Host> Backward<B, 2> for UpBackward {
    /// The small map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (g, slope) = (self.geometry, self.slope);
        let ([small_node, weight_node], (small, kernel)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        let (values, pull) = (B::read(&small), B::read(&gradient));
        let pull = Map::plain(&pull, g.large[0]);
        if let Some(node) = weight_node {
            let small = Map::rectified(&values, g.small[0], slope);
            grads.register::<B>(node.id, weight::<B>(pull, small, g));
        }
        if let Some(node) = small_node {
            let mut pulled = Method::of(&g).down(&g, pull, &B::weight(&kernel));
            pointwise::rectify_backward(&mut pulled, &values, slope);
            grads.register::<B>(node.id, B::wrap(pulled, small.shape()));
        }
    }
}

#[derive(Debug)]
struct UpJoinedBackward {
    geometry: Geometry,
    slope: f32,
}

impl<B: Convolve + Host> Backward<B, 3> for UpJoinedBackward {
    /// The two parts of the small map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (g, slope) = (self.geometry, self.slope);
        let ([skip_node, small_node, weight_node], (skip, small, kernel)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        let pull = B::read(&gradient);
        let pull = Map::plain(&pull, g.large[0]);
        let parts = [(B::read(&skip), &skip), (B::read(&small), &small)];
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, weight::<B>(pull, joined::<B>(&parts, slope), g));
        }
        if skip_node.is_none() && small_node.is_none() {
            return;
        }
        let pulled = Workspace::holding(Method::of(&g).down(&g, pull, &B::weight(&kernel)));
        let pulled = Map::plain(&pulled, g.small[0]);
        let mut before = 0;
        for (node, (values, part)) in [skip_node, small_node].into_iter().zip(parts) {
            let channels = part.shape()[1];
            if let Some(node) = node {
                let mut own = pulled.channels(g.small_plane(), g.pictures, before..before + channels);
                pointwise::rectify_backward(&mut own, &values, slope);
                grads.register::<B>(node.id, B::wrap(own, part.shape()));
            }
            before += channels;
        }
    }
}
