//! Convolutions and transposed convolutions.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

use super::on_host_backends;
use crate::kernels::geometry::Geometry;
use crate::kernels::host::Host;
use crate::kernels::method::Method;

/// The two directions of a convolution between a large and a small feature map.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(in crate::kernels) trait Convolve: Backend {
    /// A convolution: from the large map to the small one.
    fn down(large: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;

    /// A transposed convolution: from the small map to the large one.
    fn up(small: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self>;
}

macro_rules! implement {
    ($backend:ty) => {
        impl Convolve for $backend {
            fn down(
                large: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
            ) -> FloatTensor<Self> {
                down::<Self>(&large, &weight, geometry)
            }

            fn up(
                small: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                geometry: Geometry,
            ) -> FloatTensor<Self> {
                up::<Self>(&small, &weight, geometry)
            }
        }
    };
}

on_host_backends!(implement);

fn down<B: Host>(large: &FloatTensor<B>, weight: &FloatTensor<B>, g: Geometry) -> FloatTensor<B> {
    let values = Method::of(&g).down(&g, &B::read(large), &B::read(weight));
    B::wrap(values, [g.pictures, g.small[0], g.small[1], g.small[2]])
}

fn up<B: Host>(small: &FloatTensor<B>, weight: &FloatTensor<B>, g: Geometry) -> FloatTensor<B> {
    let values = Method::of(&g).up(&g, &B::read(small), &B::read(weight));
    B::wrap(values, [g.pictures, g.large[0], g.large[1], g.large[2]])
}

fn weight<B: Host>(large: &FloatTensor<B>, small: &FloatTensor<B>, g: Geometry) -> FloatTensor<B> {
    let values = Method::of(&g).weight(&g, &B::read(large), &B::read(small));
    B::wrap(values, [g.small[0], g.large[0], g.kernel, g.kernel])
}

impl<B: Convolve + Host, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn down(large: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        let operation = DownBackward { geometry };
        match operation.prepare::<C>([large.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (large, weight) = (large.primitive().clone(), weight.primitive().clone());
                let output = B::down(large.clone(), weight.clone(), geometry);
                prepared.finish((large, weight), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::down(large.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }

    fn up(small: FloatTensor<Self>, weight: FloatTensor<Self>, geometry: Geometry) -> FloatTensor<Self> {
        let operation = UpBackward { geometry };
        match operation.prepare::<C>([small.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (small, weight) = (small.primitive().clone(), weight.primitive().clone());
                let output = B::up(small.clone(), weight.clone(), geometry);
                prepared.finish((small, weight), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::up(small.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }
}

#[derive(Debug)]
struct DownBackward {
    geometry: Geometry,
}

impl<B: Convolve + Host> Backward<B, 2> for DownBackward {
    /// The large map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([large_node, weight_node], (large, kernel)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, weight::<B>(&large, &gradient, self.geometry));
        }
        if let Some(node) = large_node {
            grads.register::<B>(node.id, up::<B>(&gradient, &kernel, self.geometry));
        }
    }
}

#[derive(Debug)]
struct UpBackward {
    geometry: Geometry,
}

impl<B: Convolve + Host> Backward<B, 2> for UpBackward {
    /// The small map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([small_node, weight_node], (small, kernel)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, weight::<B>(&gradient, &small, self.geometry));
        }
        if let Some(node) = small_node {
            grads.register::<B>(node.id, down::<B>(&gradient, &kernel, self.geometry));
        }
    }
}
