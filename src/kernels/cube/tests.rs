//! Compares the GPU kernels with the CPU kernels, on any adapter: a software adapter stands in for a GPU.
#![allow(clippy::unwrap_used)]

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, DeviceKind, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::conv::limit;
use crate::kernels::{self, Activation, AdamRule, Options};
use crate::rng::stream;
use crate::transfer::{read_back, upload};

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    read_back(tensor).unwrap()
}

const ACTIVATIONS: [Activation; 3] = [Activation::Linear, Activation::Relu, Activation::LeakyRelu];

/// Returns the CPU and the device under test.
fn devices() -> [Device; 2] {
    [Device::flex(), Device::wgpu(DeviceKind::DefaultDevice)]
}

fn random<const D: usize>(rng: &mut ChaCha8Rng, shape: [usize; D]) -> Vec<f32> {
    (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Runs `compute` on both devices and compares all tensors that it returns, relative to their largest value.
fn assert_same(what: &str, compute: impl Fn(&Device) -> Vec<Vec<f32>>) {
    let [expected, found] = devices().map(|device| compute(&device));
    assert_eq!(expected.len(), found.len());
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(expected.len(), found.len(), "{what}, tensor {index}");
        let largest = expected.iter().fold(1e-3, |largest: f32, value| largest.max(value.abs()));
        let apart = expected.iter().zip(found).map(|(a, b)| (a - b).abs() / largest);
        // A comparison with NaN is false.
        let worst = apart.fold(0.0, |worst: f32, apart| if apart <= worst { worst } else { apart });
        assert!(worst < 2e-5, "{what}, tensor {index}: {worst:e}");
    }
}

/// A convolution, and the parts of its small map.
#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    channels: usize,
    size: [usize; 2],
    outputs: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
}

fn cases() -> Vec<Case> {
    let mut rng = stream(3, 0);
    let mut cases = Vec::new();
    for (kernel, stride, padding) in
        [(4, 2, 1), (4, 1, 1), (3, 1, 1), (3, 2, 1), (7, 1, 3), (7, 1, 0), (1, 1, 0)]
    {
        for images in [1, 3] {
            let mut pick = |range: std::ops::Range<usize>| rng.random_range(range);
            let size = [pick(7..20), pick(7..20)];
            let (channels, outputs) = (pick(1..9), [pick(1..7), pick(0..7)]);
            cases.push(Case { images, channels, size, outputs, kernel, stride, padding });
        }
    }
    cases
}

fn options(activation: Activation) -> Options<'static> {
    Options { activation, exact: true, cache: None }
}

/// Returns the output of a convolution, and the gradients of the map and the weight.
fn convolve(case: Case, activation: Activation, device: &Device) -> Vec<Vec<f32>> {
    let Case { images, channels, size: [height, width], outputs, kernel, stride, padding } = case;
    let (mut rng, device) = (stream(1, 1), device.clone().autodiff());
    let [map, weight] = [[images, channels, height, width], [outputs[0], channels, kernel, kernel]]
        .map(|shape| upload::<4>(random(&mut rng, shape), shape, &device).require_grad());
    let out = kernels::convolve(map.clone(), weight.clone(), [stride, padding], options(activation));
    let factor = upload::<4>(random(&mut rng, out.dims()), out.dims(), &device);
    let gradients = (out.clone() * factor).sum().backward();
    let gradients = [map, weight].map(|tensor| read(tensor.grad(&gradients).unwrap()));
    [read(out)].into_iter().chain(gradients).collect()
}

/// Returns the output of a transposed convolution with a skip connection, if the second part has channels, and the
/// gradients of the parts and the weight.
fn convolve_transposed(case: Case, activation: Activation, device: &Device) -> Vec<Vec<f32>> {
    let Case { images, channels, size, outputs: [own, skip], kernel, stride, padding } = case;
    let (mut rng, device) = (stream(1, 2), device.clone().autodiff());
    let small = size.map(|size| (size + 2 * padding - kernel) / stride + 1);
    let mut tensor = |shape: [usize; 4]| upload::<4>(random(&mut rng, shape), shape, &device).require_grad();
    let x = tensor([images, own, small[0], small[1]]);
    let skip_map = (skip > 0).then(|| tensor([images, skip, small[0], small[1]]));
    let weight = tensor([own + skip, channels, kernel, kernel]);
    let options = options(activation);
    let out = kernels::convolve_transposed(
        skip_map.clone(),
        x.clone(),
        weight.clone(),
        [stride, padding],
        size,
        options,
    );
    let factor = upload::<4>(random(&mut stream(1, 3), out.dims()), out.dims(), &device);
    let gradients = (out.clone() * factor).sum().backward();
    let tensors = [Some(x), skip_map, Some(weight)].into_iter().flatten();
    let gradients = tensors.map(|tensor| read(tensor.grad(&gradients).unwrap()));
    [read(out)].into_iter().chain(gradients).collect()
}

#[test]
fn convolutions_equal_those_of_the_cpu() {
    for case in cases() {
        for activation in ACTIVATIONS {
            assert_same(&format!("{case:?} {activation:?}"), |device| convolve(case, activation, device));
        }
    }
}

#[test]
fn transposed_convolutions_equal_those_of_the_cpu() {
    for case in cases() {
        for activation in ACTIVATIONS {
            let what = format!("transposed {case:?} {activation:?}");
            assert_same(&what, |device| convolve_transposed(case, activation, device));
        }
    }
}

#[test]
fn small_buffers_cut_convolutions_into_strips() {
    for case in cases() {
        for bytes in [1, 2000, 20_000] {
            let cut = |compute: fn(Case, Activation, &Device) -> Vec<Vec<f32>>| {
                let what = format!("{case:?} in {bytes} bytes");
                assert_same(&what, |device| {
                    limit::while_at(bytes, || compute(case, Activation::LeakyRelu, device))
                });
            };
            cut(convolve);
            cut(convolve_transposed);
        }
    }
}

#[test]
fn normalisation_equals_that_of_the_cpu() {
    for shape @ [_, channels, ..] in [[1, 3, 8, 8], [4, 5, 1, 1], [3, 1, 37, 11], [1, 40_000, 2, 1]] {
        assert_same(&format!("{shape:?}"), |device| {
            let (mut rng, device) = (stream(2, 1), device.clone().autodiff());
            let x = upload::<4>(random(&mut rng, shape), shape, &device).require_grad();
            let [scale, shift] =
                [0, 1].map(|_| upload::<1>(random(&mut rng, [channels]), [channels], &device).require_grad());
            let (out, mean, variance) = kernels::normalize(x.clone(), scale.clone(), shift.clone(), 1e-5);
            let factor = upload::<4>(random(&mut rng, shape), shape, &device);
            let gradients = (out.clone() * factor).sum().backward();
            let gradient = |tensor: &Tensor<1>| read(tensor.grad(&gradients).unwrap());
            let statistics = [read(mean), read(variance)];
            let of_parameters = [gradient(&scale), gradient(&shift)];
            let of_x = read(x.grad(&gradients).unwrap());
            [read(out), of_x].into_iter().chain(statistics).chain(of_parameters).collect()
        });
    }
}

#[test]
fn activations_equal_those_of_the_cpu() {
    let values: Vec<f32> =
        (-40..=40).map(|i| (i as f32 / 10.0).powi(3)).chain([1e30, -1e30, 1e-20, 0.0]).collect();
    let count = values.len();
    for activation in ACTIVATIONS {
        assert_same(&format!("{activation:?}"), |device| {
            let device = device.clone().autodiff();
            let x = upload::<4>(values.clone(), [1, 1, 1, count], &device).require_grad();
            let out = kernels::activate(x.clone(), activation);
            let gradients = (out.clone() * 0.5).sum().backward();
            vec![read(out / 1e30), read(x.grad(&gradients).unwrap())]
        });
    }
    assert_same("tanh", |device| {
        let device = device.clone().autodiff();
        let x = upload::<4>(values.clone(), [1, 1, 1, count], &device).require_grad();
        let out = kernels::tanh(x.clone());
        let gradients = (out.clone() * 0.5).sum().backward();
        let small: Vec<f32> = (1..10).map(|i| i as f32 * 1e-4).collect();
        let near_zero = kernels::tanh(upload(small, [1, 1, 1, 9], &device));
        vec![read(out), read(x.grad(&gradients).unwrap()), read(near_zero)]
    });
    let [_, device] = devices();
    let nan = kernels::tanh(upload(vec![f32::NAN], [1, 1, 1, 1], &device));
    assert!(read(nan)[0].is_nan(), "a diverged network must not look sound");
}

#[test]
fn the_cross_entropy_equals_burns() {
    let values: Vec<f32> = (-60..=60).map(|i| (i as f32 / 10.0).powi(3)).collect();
    let [_, device] = devices().map(Device::autodiff);
    for target in [0.0, 0.9, 1.0] {
        let logits = upload::<4>(values.clone(), [1, 1, 11, 11], &device).require_grad();
        let ours = kernels::cross_entropy(logits.clone(), target);
        let theirs = (logits.clone() * (1.0 - target) - log_sigmoid(logits.clone())).mean();
        let gradient = |loss: &Tensor<1>| read(logits.grad(&(loss.clone() * 3.0).backward()).unwrap());
        for (a, b) in gradient(&ours).into_iter().zip(gradient(&theirs)) {
            assert!((a - b).abs() < 1e-6, "{target}: {a} and {b}");
        }
        let [ours, theirs] = [ours, theirs].map(|loss| read(loss)[0]);
        assert!((ours - theirs).abs() < 1e-5 * theirs, "{target}: {ours} and {theirs}");
    }
}

#[test]
fn an_update_equals_that_of_the_cpu_and_works_in_place() {
    let rule = AdamRule { beta_1: 0.5, beta_2: 0.999, step_size: 2e-4, epsilon: 1e-8, gradient_scale: 0.7 };
    let [_, device] = devices();
    let mut rng = stream(4, 0);
    for count in [1, 1000, 70_000] {
        let mut values = [0; 4].map(|_| random(&mut rng, [count]));
        values[2].iter_mut().for_each(|value| *value = value.abs());
        let tensors = values.clone().map(|values| upload::<1>(values, [count], &device));
        let found = kernels::update_parameter(tensors, rule).map(read);
        let [value, first, second, gradient] = &mut values;
        rule.update(value, first, second, gradient);
        for (found, expected) in found.iter().zip([value, first, second]) {
            assert!(found.iter().zip(&*expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(0.1)));
        }
    }
}

#[test]
fn running_statistics_move_towards_those_of_the_batch() {
    let [_, device] = devices();
    let tensor = |values: [f32; 2]| upload::<1>(values.to_vec(), [2], &device);
    let running = [tensor([1.0, 2.0]), tensor([4.0, 8.0])];
    let batch = [tensor([3.0, -2.0]), tensor([10.0, 0.0])];
    let [mean, variance] = kernels::update_statistics(running, batch, 0.25, 2.0).map(read);
    assert_eq!(mean, [1.5, 1.0]);
    assert_eq!(variance, [8.0, 6.0]);
}
