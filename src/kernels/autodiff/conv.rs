//! Convolutions and transposed convolutions that activate the map as they read it, with their gradients.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};

use crate::kernels::activation::Activation;
use crate::kernels::geometry::Geometry;
use crate::kernels::options::Options;

/// The two directions of a convolution between a large and a small feature map.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "_cube"),
    Autodiff
)]
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

/// The gradients of [`Convolve`]. Each is computed only if it is wanted.
pub(crate) trait ConvolveGradients: Convolve {
    /// Returns the gradients of `large` and `weight` in [`Convolve::down`].
    fn down_backward(
        large: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        call: Call,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2];

    /// Returns the gradients of the `parts` of the small map, whose channels are concatenated, and of `weight` in
    /// [`Convolve::up`] or [`Convolve::up_with_skip`]. `wanted` is for the parts, then for the weight.
    fn up_backward(
        parts: Vec<FloatTensor<Self>>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        call: Call,
        wanted: &[bool],
    ) -> Vec<Option<FloatTensor<Self>>>;
}

/// The parameters that the backward pass of a convolution needs besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) geometry: Geometry,
    pub(crate) activation: Activation,
    /// Whether the CPU kernels compute by the definition.
    #[cfg_attr(not(feature = "_host"), allow(dead_code))]
    pub(crate) exact: bool,
}

/// Returns the parameters of the backward pass, and the options without the cache: training changes the weight after
/// every pass, so cached filters would be stale.
fn tracked<'a>(geometry: Geometry, options: Options<'a>) -> (Call, Options<'a>) {
    let Options { activation, exact, .. } = options;
    (Call { geometry, activation, exact }, Options { cache: Default::default(), ..options })
}

impl<B: ConvolveGradients, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
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
                prepared.finish((vec![small], weight), output)
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
        let prepared = UpBackward(call).prepare::<C>([skip.node(), small.node(), weight.node()]);
        let (skip, small, weight) = (skip.into_primitive(), small.into_primitive(), weight.into_primitive());
        match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let output = B::up_with_skip(skip.clone(), small.clone(), weight.clone(), geometry, options);
                prepared.finish((vec![skip, small], weight), output)
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::up_with_skip(skip, small, weight, geometry, options))
            }
        }
    }
}

#[derive(Debug)]
struct DownBackward(Call);

impl<B: ConvolveGradients> Backward<B, 2> for DownBackward {
    /// The large map and the weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (large, weight) = ops.state;
        let output_gradient = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = B::down_backward(large, weight, output_gradient, self.0, wanted);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct UpBackward(Call);

/// The parents are the parts of the small map, one or two, then the weight.
impl<B: ConvolveGradients, const N: usize> Backward<B, N> for UpBackward {
    /// The parts of the small map, and the weight.
    type State = (Vec<FloatTensor<B>>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (parts, weight) = ops.state;
        let output_gradient = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = B::up_backward(parts, weight, output_gradient, self.0, &wanted);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
