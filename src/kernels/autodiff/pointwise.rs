//! Activations and normalisation, with their gradients.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata, backend_extension};

use crate::kernels::activation::Activation;
use crate::kernels::host::{Host, on_host_backends};
use crate::kernels::pointwise::{self, MapShape};

/// Layers without a matrix product.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub(crate) trait Pointwise: Backend {
    /// Applies an activation to every value.
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;

    /// Applies the hyperbolic tangent to every value.
    fn tanh(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Normalises `[N, C, H, W]` per channel; returns the output, the means and the biased variances. Only the output
    /// has a gradient.
    fn normalize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

macro_rules! implement {
    ($backend:ty) => {
        impl Pointwise for $backend {
            fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
                Self::wrap(pointwise::activate(&Self::read(&x), activation), x.shape())
            }

            fn tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
                Self::wrap(pointwise::tanh(&Self::read(&x)), x.shape())
            }

            fn normalize(
                x: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                shift: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let shape = map_shape::<Self>(&x);
                let (scale_values, shift_values) = (Self::read(&scale), Self::read(&shift));
                let (output, mean, variance) =
                    pointwise::normalize(shape, &Self::read(&x), &scale_values, &shift_values, epsilon);
                let channels = || scale.shape();
                let output = Self::wrap(output, x.shape());
                (output, Self::wrap(mean, channels()), Self::wrap(variance, channels()))
            }
        }
    };
}
on_host_backends!(implement);

fn map_shape<B: Host>(x: &FloatTensor<B>) -> MapShape {
    let shape = x.shape();
    MapShape { images: shape[0], channels: shape[1], plane: shape[2] * shape[3] }
}

impl<B: Pointwise + Host, C: CheckpointStrategy> Pointwise for Autodiff<B, C> {
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        let operation = ActivateBackward { activation };
        match operation.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::activate(x.into_primitive(), activation);
                prepared.finish(output.clone(), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::activate(x.into_primitive(), activation)),
        }
    }

    fn tanh(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match TanhBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::tanh(x.into_primitive());
                prepared.finish(output.clone(), output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::tanh(x.into_primitive())),
        }
    }

    fn normalize(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let operation = NormalizeBackward { epsilon };
        let prepared = operation.prepare::<C>([x.node(), scale.node(), shift.node()]);
        let (x, scale) = (x.into_primitive(), scale.into_primitive());
        let (output, mean, variance) =
            B::normalize(x.clone(), scale.clone(), shift.into_primitive(), epsilon);
        let output = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((x, scale, mean.clone(), variance.clone()), output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }
}

#[derive(Debug)]
struct ActivateBackward {
    activation: Activation,
}

impl<B: Host> Backward<B, 1> for ActivateBackward {
    /// The output, which determines the derivative.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            let values =
                pointwise::activate_backward(&B::read(&ops.state), &B::read(&gradient), self.activation);
            grads.register::<B>(node.id, B::wrap(values, ops.state.shape()));
        }
    }
}

#[derive(Debug)]
struct TanhBackward;

impl<B: Host> Backward<B, 1> for TanhBackward {
    /// The output, which determines the derivative.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            let values = pointwise::tanh_backward(&B::read(&ops.state), &B::read(&gradient));
            grads.register::<B>(node.id, B::wrap(values, ops.state.shape()));
        }
    }
}

#[derive(Debug)]
struct NormalizeBackward {
    epsilon: f64,
}

impl<B: Host> Backward<B, 3> for NormalizeBackward {
    /// The input, the scale, the means and the variances.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([x_node, scale_node, shift_node], (x, scale, mean, variance)) = (ops.parents, ops.state);
        let gradient = grads.consume::<B>(&ops.node);
        let (x_gradient, scale_gradient, shift_gradient) = pointwise::normalize_backward(
            map_shape::<B>(&x),
            &B::read(&x),
            &B::read(&scale),
            [&B::read(&mean), &B::read(&variance)],
            self.epsilon,
            &B::read(&gradient),
        );
        let nodes = [(x_node, x_gradient, &x), (scale_node, scale_gradient, &scale)];
        for (node, values, like) in nodes.into_iter().chain([(shift_node, shift_gradient, &scale)]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, B::wrap(values, like.shape()));
            }
        }
    }
}
