//! Activations and normalisation, with their gradients.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

use crate::kernels::activation::Activation;

/// Layers without a matrix product.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "_cube"),
    Autodiff
)]
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

/// The gradients of [`Pointwise`].
pub(crate) trait PointwiseGradients: Pointwise {
    /// Returns the gradient of `x` in [`Pointwise::activate`], from the output and its gradient.
    fn activate_backward(
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Returns the gradient of `x` in [`Pointwise::tanh`], from the output and its gradient.
    fn tanh_backward(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Returns the gradients of `x`, `scale` and `shift` in [`Pointwise::normalize`], from the gradient of its output.
    fn normalize_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        statistics: [FloatTensor<Self>; 2],
        epsilon: f64,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

impl<B: PointwiseGradients, C: CheckpointStrategy> Pointwise for Autodiff<B, C> {
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

impl<B: PointwiseGradients> Backward<B, 1> for ActivateBackward {
    /// The output, which determines the derivative.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::activate_backward(ops.state, gradient, self.activation));
        }
    }
}

#[derive(Debug)]
struct TanhBackward;

impl<B: PointwiseGradients> Backward<B, 1> for TanhBackward {
    /// The output, which determines the derivative.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::tanh_backward(ops.state, gradient));
        }
    }
}

#[derive(Debug)]
struct NormalizeBackward {
    epsilon: f64,
}

impl<B: PointwiseGradients> Backward<B, 3> for NormalizeBackward {
    /// The input, the scale, the means and the variances.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, scale, mean, variance) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::normalize_backward(x, scale, [mean, variance], self.epsilon, gradient);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
