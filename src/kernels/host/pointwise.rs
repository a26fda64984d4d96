//! The activations and the normalisation of the CPU backends.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;

use super::{Host, on_host_backends};
use crate::kernels::activation::Activation;
use crate::kernels::autodiff::{Pointwise, PointwiseGradients};
use crate::kernels::pointwise::{self, MapShape};

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

        impl PointwiseGradients for $backend {
            fn activate_backward(
                output: FloatTensor<Self>,
                gradient: FloatTensor<Self>,
                activation: Activation,
            ) -> FloatTensor<Self> {
                let values =
                    pointwise::activate_backward(&Self::read(&output), &Self::read(&gradient), activation);
                Self::wrap(values, output.shape())
            }

            fn tanh_backward(output: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
                let values = pointwise::tanh_backward(&Self::read(&output), &Self::read(&gradient));
                Self::wrap(values, output.shape())
            }

            fn normalize_backward(
                x: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                [mean, variance]: [FloatTensor<Self>; 2],
                epsilon: f64,
                gradient: FloatTensor<Self>,
            ) -> [FloatTensor<Self>; 3] {
                let (x_gradient, scale_gradient, shift_gradient) = pointwise::normalize_backward(
                    map_shape::<Self>(&x),
                    &Self::read(&x),
                    &Self::read(&scale),
                    [&Self::read(&mean), &Self::read(&variance)],
                    epsilon,
                    &Self::read(&gradient),
                );
                [
                    Self::wrap(x_gradient, x.shape()),
                    Self::wrap(scale_gradient, scale.shape()),
                    Self::wrap(shift_gradient, scale.shape()),
                ]
            }
        }
    };
}
on_host_backends!(implement);

fn map_shape<B: Host>(x: &FloatTensor<B>) -> MapShape {
    let shape = x.shape();
    MapShape { images: shape[0], channels: shape[1], plane: shape[2] * shape[3] }
}
