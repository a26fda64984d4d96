//! Compares this crate's convolutions with those of burn: outputs and both gradients, on random shapes and on shapes
//! that reach every algorithm.
#![cfg(feature = "flex")]

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use pix2pix::__private::{self as layers, Activation, Arithmetic};
use pix2pix::data::Batch;
use pix2pix::{Backbone, Device, Generator, GeneratorConfig, Mode, Pix2PixConfig, Tensor, Trainer, device};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The largest error, relative to the mean absolute value, that rounding explains. burn's convolutions and F(2, 2) stay
/// below it.
const PRECISE: f64 = 1e-5;
/// The same error for F(4, 3) and F(3, 4), whose matrices have larger entries: they evaluate at the point −2.
const WINOGRAD: f64 = 6e-5;

fn random(shape: [usize; 4], rng: &mut StdRng, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape).require_grad()
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn convolve(
    x: Tensor<4>,
    activation: Activation,
    weight: Tensor<4>,
    geometry: [usize; 2],
    exact: bool,
) -> Tensor<4> {
    layers::convolve(x, activation, weight, None, geometry, &Arithmetic::default().with_exact(exact))
}

fn double(
    skip: Option<Tensor<4>>,
    x: Tensor<4>,
    activation: Activation,
    weight: Tensor<4>,
    exact: bool,
) -> Tensor<4> {
    layers::conv_transpose_2x(skip, x, activation, weight, None, &Arithmetic::default().with_exact(exact))
}

/// Returns the output, the gradient of `x` and the gradient of `weight` under a random weighting of the output.
fn pass(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    layer: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
) -> [Vec<f32>; 3] {
    let output = layer(x.clone(), weight.clone());
    let output_gradient = random(output.dims(), &mut StdRng::seed_from_u64(1), &x.device());
    let grads = (output.clone() * output_gradient.detach()).sum().backward();
    [values(output), values(x.grad(&grads).unwrap()), values(weight.grad(&grads).unwrap())]
}

fn check(what: &str, tolerance: f64, found: [Vec<f32>; 3], expected: [Vec<f32>; 3]) {
    for (name, (found, expected)) in
        ["output", "gradient of x", "gradient of the weight"].into_iter().zip(found.into_iter().zip(expected))
    {
        assert_eq!(found.len(), expected.len(), "{what}: {name}");
        let scale = expected.iter().map(|v| f64::from(v.abs())).sum::<f64>() / expected.len() as f64;
        let pairs = found.iter().zip(&expected);
        let worst = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        // The weight's gradient sums over all positions, up to 100 000 here.
        let tolerance = if name.contains("weight") { 10.0 * tolerance } else { tolerance };
        assert!(
            worst <= tolerance * scale,
            "{what}: {name} differs by {worst:e}; the mean absolute value is {scale:e}"
        );
    }
}

/// Compares convolutions that apply an activation first, with and without a skip connection of a third of the channels.
fn compare_activated(case: &Case, device: &Device) {
    let Case { images, large, small, height, width, kernel, stride, padding } = *case;
    let mut rng = StdRng::seed_from_u64(2);
    let weight = random([small, large, kernel, kernel], &mut rng, device);
    let x = random([images, large, height, width], &mut rng, device);
    let options = || ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    check(
        &format!("activated {case:?}"),
        WINOGRAD,
        pass(&x, &weight, |x, weight| convolve(x, Activation::LeakyRelu, weight, [stride, padding], false)),
        pass(&x, &weight, |x, weight| conv2d(leaky_relu(x, 0.2), weight, None, options())),
    );
    if stride == 2 && padding == 1 && kernel >= 3 && small >= 3 {
        let x = random([images, small, height, width], &mut rng, device);
        let options = || ConvTransposeOptions::new([2, 2], [1, 1], [4 - kernel; 2], [1, 1], 1);
        let expected = pass(&x, &weight, |x, weight| conv_transpose2d(relu(x), weight, None, options()));
        let ours = |x, weight| double(None, x, Activation::Relu, weight, false);
        check(
            &format!("activated, transposed {case:?}"),
            WINOGRAD,
            pass(&x, &weight, ours),
            expected.clone(),
        );
        let with_skip = |x: Tensor<4>, weight| {
            let skip = x.clone().narrow(1, 0, small / 3);
            let x = x.narrow(1, small / 3, small - small / 3);
            double(Some(skip), x, Activation::Relu, weight, false)
        };
        check(&format!("with a skip connection {case:?}"), WINOGRAD, pass(&x, &weight, with_skip), expected);
    }
}

/// Compares a convolution, and the transposed one if it doubles the resolution.
fn compare(case: &Case, exact: bool, device: &Device) {
    let tolerance = if exact || case.stride == 2 { PRECISE } else { WINOGRAD };
    let Case { images, large, small, height, width, kernel, stride, padding } = *case;
    let mut rng = StdRng::seed_from_u64(0);
    let x = random([images, large, height, width], &mut rng, device);
    let weight = random([small, large, kernel, kernel], &mut rng, device);
    let options = || ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    check(
        &format!("{case:?}"),
        tolerance,
        pass(&x, &weight, |x, weight| convolve(x, Activation::Linear, weight, [stride, padding], exact)),
        pass(&x, &weight, |x, weight| conv2d(x, weight, None, options())),
    );
    if stride == 2 && padding == 1 && kernel >= 3 {
        let x = random([images, small, height, width], &mut rng, device);
        let options = || ConvTransposeOptions::new([2, 2], [1, 1], [4 - kernel; 2], [1, 1], 1);
        check(
            &format!("transposed {case:?}"),
            tolerance,
            pass(&x, &weight, |x, weight| double(None, x, Activation::Linear, weight, exact)),
            pass(&x, &weight, |x, weight| conv_transpose2d(x, weight, None, options())),
        );
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    /// Channels of the large map.
    large: usize,
    /// Channels of the small map.
    small: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// The kernel, stride and padding of the layers of the networks. 4×4: U-Net and discriminator; 3×3 and 7×7: ResNet.
const KERNELS: [[usize; 3]; 6] = [[4, 2, 1], [4, 1, 1], [3, 1, 0], [3, 1, 1], [7, 1, 0], [3, 2, 1]];

fn random_cases(count: usize) -> impl Iterator<Item = Case> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..count).map(move |index| {
        let [kernel, stride, padding] = KERNELS[index % KERNELS.len()];
        Case {
            images: rng.random_range(1..4),
            large: rng.random_range(1..70),
            small: rng.random_range(1..70),
            height: rng.random_range(kernel..40),
            width: rng.random_range(kernel..40),
            kernel,
            stride,
            padding,
        }
    })
}

/// Returns shapes that reach each algorithm: few and many positions, few and many channels, large maps and large
/// batches that are cut into pieces.
fn chosen_cases() -> Vec<Case> {
    let case = |images, large, small, height, width, [kernel, stride, padding]: [usize; 3]| Case {
        images,
        large,
        small,
        height,
        width,
        kernel,
        stride,
        padding,
    };
    vec![
        case(1, 64, 32, 64, 64, [4, 2, 1]),
        case(2, 33, 47, 37, 61, [4, 2, 1]),
        case(1, 128, 256, 18, 18, [4, 2, 1]),
        case(1, 256, 256, 8, 8, [4, 2, 1]),
        case(1, 128, 64, 31, 33, [4, 1, 1]),
        case(1, 48, 1, 31, 31, [4, 1, 1]),
        case(3, 64, 32, 128, 126, [4, 2, 1]),
        case(5, 128, 64, 40, 40, [4, 1, 1]),
        case(2, 64, 64, 34, 34, [3, 1, 0]),
        case(1, 3, 16, 262, 262, [7, 1, 0]),
        case(2, 3, 8, 512, 700, [4, 2, 1]),
        case(1, 20, 24, 600, 500, [4, 2, 1]),
    ]
}

#[test]
fn random_shapes_agree_with_burn() {
    let device = device::cpu().autodiff();
    random_cases(60).for_each(|case| compare(&case, false, &device));
}

#[test]
fn chosen_shapes_agree_with_burn() {
    let device = device::cpu().autodiff();
    chosen_cases().iter().for_each(|case| compare(case, false, &device));
}

#[test]
fn activations_and_skip_connections_agree_with_burn() {
    let device = device::cpu().autodiff();
    random_cases(30).chain(chosen_cases()).for_each(|case| compare_activated(&case, &device));
}

/// A convolution is linear in `x` and in the weight, so finite differences of any size are exact up to rounding:
/// ⟨output gradient, layer(change)⟩ must equal ⟨gradient, change⟩.
#[test]
fn gradients_equal_finite_differences() {
    let device = device::cpu().autodiff();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    for case in chosen_cases().into_iter().take(9) {
        let mut rng = StdRng::seed_from_u64(5);
        let x = random([case.images, case.large, case.height, case.width], &mut rng, &device);
        let weight = random([case.small, case.large, case.kernel, case.kernel], &mut rng, &device);
        let layer = |x, weight| convolve(x, Activation::Linear, weight, [case.stride, case.padding], false);
        let [output, x_gradient, weight_gradient] = pass(&x, &weight, layer);
        let shape = layer(x.clone(), weight.clone()).dims();
        let output_gradient = values(random(shape, &mut StdRng::seed_from_u64(1), &device));
        assert_eq!(output.len(), output_gradient.len());
        let x_change = random(x.dims(), &mut rng, &device);
        let weight_change = random(weight.dims(), &mut rng, &device);
        let difference = dot(&output_gradient, &values(layer(x_change.clone(), weight.clone())));
        let size = dot(&output_gradient, &output_gradient).sqrt() * dot(&output, &output).sqrt();
        assert!((difference - dot(&x_gradient, &values(x_change))).abs() < 1e-5 * size, "{case:?}");
        let difference = dot(&output_gradient, &values(layer(x, weight_change.clone())));
        assert!((difference - dot(&weight_gradient, &values(weight_change))).abs() < 1e-5 * size, "{case:?}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let compute = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = device::cpu().autodiff();
            let mut all = Vec::new();
            for case in chosen_cases().into_iter().take(9) {
                let mut rng = StdRng::seed_from_u64(3);
                let x = random([case.images, case.large, case.height, case.width], &mut rng, &device);
                let weight = random([case.small, case.large, case.kernel, case.kernel], &mut rng, &device);
                let layer =
                    |x, weight| convolve(x, Activation::Linear, weight, [case.stride, case.padding], false);
                all.extend(pass(&x, &weight, layer).concat().into_iter().map(f32::to_bits));
            }
            all
        })
    };
    let one = compute(1);
    assert!(one == compute(2) && one == compute(4));
}

#[test]
fn exact_arithmetic_stays_within_the_smaller_tolerance() {
    let device = device::cpu().autodiff();
    chosen_cases().iter().take(9).for_each(|case| compare(case, true, &device));
}

/// Cached filters are never used with other weights than those that they were transformed from.
#[test]
fn cached_filters_follow_their_weights() {
    struct Halve;
    impl ModuleMapper for Halve {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|values| values * 0.5)
        }
    }
    let device = device::cpu();
    let mut rng = StdRng::seed_from_u64(4);
    let mut config = GeneratorConfig::new(3, 3);
    (config.backbone, config.base_channels) = (Backbone::Unet { depth: 4 }, 48);
    // Large enough for all three algorithms: im2col, F(2, 2) and F(4, 2).
    let shape = [1, 3, 304, 272];
    let x = values(random(shape, &mut rng, &device.clone().autodiff()));
    let x = Tensor::<1>::from_floats(x.as_slice(), &device).reshape(shape);
    let pass = |generator: &Generator| values(generator.forward(x.clone(), Mode::IMAGE));

    let plain = config.init_seeded(0, &device);
    let cached = plain.clone().for_inference();
    let first = pass(&cached);
    assert_eq!(first, pass(&cached), "cached filters equal those of the first pass");
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close(&first, &pass(&plain)));

    let halved = cached.clone().map(&mut Halve);
    let expected = pass(&plain.clone().map(&mut Halve).for_inference());
    assert_eq!(pass(&halved), expected);
    assert!(!close(&first, &expected));

    let other = config.init_seeded(1, &device);
    let expected = pass(&other.clone().for_inference());
    let loaded = cached.clone().load_record(other.into_record());
    assert_eq!(pass(&loaded), expected, "a record replaces the weights and empties the cache");
    assert_eq!(pass(&cached), first, "the original keeps its weights and its cache");
}

/// A thread of the pool may run work of one pass while it waits for work of another pass.
#[test]
fn concurrent_passes_with_and_without_a_cache_do_not_interfere() {
    let device = device::cpu();
    let mut config = GeneratorConfig::new(3, 3);
    (config.backbone, config.base_channels) = (Backbone::Unet { depth: 4 }, 32);
    let plain = config.init_seeded(0, &device);
    let cached = plain.clone().for_inference();
    let ramp: Vec<f32> = (0..3 * 272 * 272).map(|i| (i as f32 * 0.01).sin()).collect();
    let x = Tensor::<1>::from_floats(ramp.as_slice(), &device).reshape([1, 3, 272, 272]);
    let pass = |generator: &Generator| values(generator.forward(x.clone(), Mode::IMAGE));
    let alone = [pass(&plain), pass(&cached)];
    assert!(alone[0] != alone[1], "they round differently");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            for (generator, alone) in [&plain, &cached].into_iter().zip(&alone) {
                scope.spawn(|| (0..10).for_each(|_| assert!(pass(generator) == *alone)));
            }
        }
    });
}

#[test]
fn a_resumed_run_keeps_its_exact_convolutions() {
    let device = device::cpu();
    let mut config = Pix2PixConfig::paper().with_size(64).unwrap();
    (config.generator.base_channels, config.discriminator.base_channels) = (32, 32);
    let step = |trainer: Trainer| {
        let mut trainer = trainer;
        let image = || Tensor::<1>::ones([3 * 64 * 64], &device).reshape([1, 3, 64, 64]);
        trainer.step(Batch { input: image(), target: image() * 0.5 });
        trainer
    };
    let weights = |trainer: &Trainer| {
        values(trainer.generator().valid().forward(Tensor::ones([1, 3, 64, 64], &device), Mode::IMAGE))
    };
    let exact = step(Trainer::new(config.clone(), &device).unwrap().with_exact_convolutions(true));
    let fast = step(Trainer::new(config, &device).unwrap());
    assert_ne!(weights(&exact), weights(&fast), "they round differently");

    let run = tempfile::tempdir().unwrap();
    exact.save(run.path()).unwrap();
    let resumed = Trainer::resume(run.path(), &device).unwrap();
    assert!(resumed.has_exact_convolutions() && resumed.config_changes().is_empty());
    assert_eq!(weights(&step(resumed)), weights(&step(exact)));
    let changed = Trainer::resume(run.path(), &device).unwrap().with_exact_convolutions(false);
    assert_eq!(changed.config_changes(), ["exact arithmetic is false, was true"]);
}

#[test]
fn tanh_agrees_with_the_standard_library() {
    let device = device::cpu().autodiff();
    let all: Vec<f32> =
        (-60_000..60_000).map(|i| i as f32 * 2e-4).chain([1e-30, -3e-8, 1e30, -1e30]).collect();
    let x = Tensor::<1>::from_floats(all.as_slice(), &device).reshape([1, 1, 1, all.len()]).require_grad();
    let output = layers::tanh(x.clone());
    let slope = values(x.grad(&output.clone().sum().backward()).unwrap());
    for ((x, found), slope) in all.iter().zip(values(output)).zip(slope) {
        let expected = f64::from(*x).tanh();
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 2e-7 * expected.abs() && found.abs() <= 1.0, "tanh({x}) is {expected}, not {found}");
        assert!((f64::from(slope) - (1.0 - expected * expected)).abs() < 5e-7, "slope at {x}");
    }
    let odd = values(layers::tanh(Tensor::<1>::from_floats([f32::NAN, 0.0], &device).reshape([1, 1, 1, 2])));
    assert!(odd[0].is_nan() && odd[1] == 0.0);
}
