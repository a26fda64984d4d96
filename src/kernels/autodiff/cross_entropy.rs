//! The cross-entropy of logits on GPUs, with its gradient. On the CPU, burn's operations cost little.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

/// The cross-entropy of logits that have one target.
#[backend_extension(Cube: cfg(feature = "_cube"), Autodiff)]
pub(crate) trait CrossEntropy: Backend {
    /// Returns the mean of −t·log σ(x) − (1 − t)·log(1 − σ(x)) over all logits x of `[N, C, H, W]` with the target t.
    fn cross_entropy(logits: FloatTensor<Self>, target: f32) -> FloatTensor<Self>;
}

/// The gradient of [`CrossEntropy`].
pub(crate) trait CrossEntropyGradient: CrossEntropy {
    /// Returns the gradient of `logits` from that of the mean.
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        target: f32,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl<B: CrossEntropyGradient, C: CheckpointStrategy> CrossEntropy for Autodiff<B, C> {
    fn cross_entropy(logits: FloatTensor<Self>, target: f32) -> FloatTensor<Self> {
        let operation = CrossEntropyBackward { target };
        match operation.prepare::<C>([logits.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let logits = logits.into_primitive();
                prepared.finish(logits.clone(), B::cross_entropy(logits, target))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::cross_entropy(logits.into_primitive(), target))
            }
        }
    }
}

#[derive(Debug)]
struct CrossEntropyBackward {
    target: f32,
}

impl<B: CrossEntropyGradient> Backward<B, 1> for CrossEntropyBackward {
    /// The logits.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = node {
            grads.register::<B>(node.id, B::cross_entropy_backward(ops.state, self.target, gradient));
        }
    }
}
