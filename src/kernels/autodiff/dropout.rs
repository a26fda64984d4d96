//! Dropout on GPUs, with its gradient. On the CPU, a mask of tensor operations costs as much.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

use crate::kernels::noise::Noise;

/// Dropout by a given noise.
#[backend_extension(Cube: cfg(feature = "_cube"), Autodiff)]
pub(crate) trait Dropout: Backend {
    /// Zeroes the values of `[N, C, H, W]` that the noise drops, and scales the others.
    fn dropout(x: FloatTensor<Self>, noise: Noise) -> FloatTensor<Self>;
}

impl<B: Dropout, C: CheckpointStrategy> Dropout for Autodiff<B, C> {
    fn dropout(x: FloatTensor<Self>, noise: Noise) -> FloatTensor<Self> {
        let operation = DropoutBackward { noise };
        match operation.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((), B::dropout(x.into_primitive(), noise)),
            OpsKind::UnTracked(prepared) => prepared.finish(B::dropout(x.into_primitive(), noise)),
        }
    }
}

#[derive(Debug)]
struct DropoutBackward {
    noise: Noise,
}

impl<B: Dropout> Backward<B, 1> for DropoutBackward {
    type State = ();

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::dropout(gradient, self.noise));
        }
    }
}
