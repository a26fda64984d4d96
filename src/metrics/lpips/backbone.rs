//! The networks that LPIPS takes its features from: AlexNet and SqueezeNet 1.1 as in torchvision, without classifiers.

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::names;
use crate::transfer::upload;
use crate::weights::Named;

/// The network that LPIPS takes its features from. As text it is `alex` or `squeeze`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LpipsNetwork {
    /// AlexNet (Krizhevsky 2014), five maps of features: the usual choice for a metric.
    Alex,
    /// SqueezeNet 1.1 (Iandola et al. 2016), seven maps of features: the smallest.
    Squeeze,
}

names::named!(LpipsNetwork, "LPIPS network");

/// A layer of a network, with the number of its place in torchvision's `features`.
#[derive(Clone, Copy)]
enum Layer {
    /// A convolution and ReLU: channels in and out, kernel, stride, padding.
    Conv { index: usize, channels: [usize; 2], kernel: usize, stride: usize, padding: usize },
    /// A block of SqueezeNet: a 1×1 convolution, then one of 1×1 and one of 3×3 side by side, each with ReLU. Channels
    /// in, between, and out of either.
    Fire { index: usize, channels: [usize; 3] },
    /// The maximum over 3×3 pixels with stride 2.
    Pool,
    /// LPIPS takes the features here.
    Features,
}

use Layer::{Features, Fire, Pool};

const fn conv(index: usize, channels: [usize; 2], [kernel, stride, padding]: [usize; 3]) -> Layer {
    Layer::Conv { index, channels, kernel, stride, padding }
}

const fn fire(index: usize, channels: [usize; 3]) -> Layer {
    Fire { index, channels }
}

const ALEX: [Layer; 12] = [
    conv(0, [3, 64], [11, 4, 2]),
    Features,
    Pool,
    conv(3, [64, 192], [5, 1, 2]),
    Features,
    Pool,
    conv(6, [192, 384], [3, 1, 1]),
    Features,
    conv(8, [384, 256], [3, 1, 1]),
    Features,
    conv(10, [256, 256], [3, 1, 1]),
    Features,
];

const SQUEEZE: [Layer; 19] = [
    conv(0, [3, 64], [3, 2, 0]),
    Features,
    Pool,
    fire(3, [64, 16, 64]),
    fire(4, [128, 16, 64]),
    Features,
    Pool,
    fire(6, [128, 32, 128]),
    fire(7, [256, 32, 128]),
    Features,
    Pool,
    fire(9, [256, 48, 192]),
    Features,
    fire(10, [384, 48, 192]),
    Features,
    fire(11, [384, 64, 256]),
    Features,
    fire(12, [512, 64, 256]),
    Features,
];

/// The name, shape, stride and padding of a convolution.
struct Convolution {
    name: String,
    shape: [usize; 4],
    stride: usize,
    padding: usize,
}

impl Layer {
    /// Returns the convolutions of the layer: those of a `Fire` in the order squeeze, 1×1, 3×3.
    fn convolutions(self) -> Vec<Convolution> {
        let convolution = |name, [inputs, outputs]: [usize; 2], [kernel, stride, padding]: [usize; 3]| {
            Convolution { name, shape: [outputs, inputs, kernel, kernel], stride, padding }
        };
        match self {
            Self::Conv { index, channels, kernel, stride, padding } => {
                vec![convolution(format!("features.{index}"), channels, [kernel, stride, padding])]
            }
            Fire { index, channels: [inputs, between, outputs] } => {
                let name = |part: &str| format!("features.{index}.{part}");
                vec![
                    convolution(name("squeeze"), [inputs, between], [1, 1, 0]),
                    convolution(name("expand1x1"), [between, outputs], [1, 1, 0]),
                    convolution(name("expand3x3"), [between, outputs], [3, 1, 1]),
                ]
            }
            Pool | Features => vec![],
        }
    }
}

impl LpipsNetwork {
    fn layers(self) -> &'static [Layer] {
        match self {
            Self::Alex => &ALEX,
            Self::Squeeze => &SQUEEZE,
        }
    }

    /// Returns the number of channels of each map of features.
    pub(super) fn channels(self) -> Vec<usize> {
        let (mut found, mut now) = (vec![], 0);
        for layer in self.layers() {
            match layer {
                Layer::Conv { channels: [_, outputs], .. } => now = *outputs,
                Fire { channels: [.., outputs], .. } => now = 2 * outputs,
                Pool => {}
                Features => found.push(now),
            }
        }
        found
    }

    /// Returns the smallest side of an image that leaves a pixel in every map.
    pub(super) fn min_size(self) -> usize {
        match self {
            Self::Alex => 31,
            Self::Squeeze => 17,
        }
    }

    /// Returns the names and shapes of all parameters, in the order of the layers.
    pub(super) fn parameters(self) -> Vec<(String, Vec<usize>)> {
        let convolutions = self.layers().iter().flat_map(|layer| layer.convolutions());
        let parameters = convolutions.flat_map(|Convolution { name, shape, .. }| {
            [(format!("{name}.weight"), shape.to_vec()), (format!("{name}.bias"), vec![shape[0]])]
        });
        parameters.collect()
    }
}

/// A network with its weights.
#[derive(Debug)]
pub(super) struct Backbone {
    pub(super) network: LpipsNetwork,
    weights: BTreeMap<String, (Tensor<4>, Tensor<1>)>,
}

impl Backbone {
    /// Uploads the weights.
    ///
    /// # Panics
    /// If one of [`LpipsNetwork::parameters`] is missing or has another shape.
    pub(super) fn new(network: LpipsNetwork, named: &mut Named, device: &Device) -> Self {
        let mut weights = BTreeMap::new();
        for Convolution { name, shape, .. } in network.layers().iter().flat_map(|layer| layer.convolutions())
        {
            let mut take = |part: &str| {
                named.remove(&format!("{name}.{part}")).expect("the names and shapes are checked").1
            };
            let (weight, bias) = (take("weight"), take("bias"));
            let parameters = (upload(weight, shape, device), upload(bias, [shape[0]], device));
            weights.insert(name, parameters);
        }
        Self { network, weights }
    }

    /// Returns the maps of features of images `[N, 3, H, W]`.
    pub(super) fn features(&self, mut x: Tensor<4>) -> Vec<Tensor<4>> {
        // PyTorch's SqueezeNet keeps a pixel at the border that its pooling would cut off.
        let keeps_border = self.network == LpipsNetwork::Squeeze;
        let mut found = vec![];
        for layer in self.network.layers() {
            let convolutions = layer.convolutions();
            x = match (layer, convolutions.as_slice()) {
                (_, [only]) => self.convolve(x, only),
                (_, [squeeze, one, three]) => {
                    let x = self.convolve(x, squeeze);
                    Tensor::cat(vec![self.convolve(x.clone(), one), self.convolve(x, three)], 1)
                }
                (Pool, _) => {
                    let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]);
                    max_pool2d(x, options.with_ceil_mode(keeps_border))
                }
                _ => {
                    found.push(x.clone());
                    x
                }
            };
        }
        found
    }

    /// Runs a convolution and ReLU.
    fn convolve(&self, x: Tensor<4>, Convolution { name, stride, padding, .. }: &Convolution) -> Tensor<4> {
        let (weight, bias) = &self.weights[name];
        let options = ConvOptions::new([*stride; 2], [*padding; 2], [1, 1], 1);
        relu(conv2d(x, weight.clone(), Some(bias.clone()), options))
    }
}
