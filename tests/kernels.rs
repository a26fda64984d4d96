//! Our own convolutions against burn's: values and both gradients, on random shapes, in every way they are computed.
#![cfg(feature = "flex")]

use std::sync::Mutex;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use pix2pix::single::{self, Slope};
use pix2pix::{Backbone, Device, Generator, GeneratorConfig, Mode, Tensor, device};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The greatest error, of the mean absolute value, that rounding explains; burn's own and F(2, 2) stay below this.
const PRECISE: f64 = 1e-5;
/// The same for F(4, 3) and F(3, 4): at a point of 2 the powers differ more in size.
const WINOGRAD: f64 = 6e-5;

/// Held by whoever needs the switch of [`device::set_exact`] to stay as it is.
static SWITCH: Mutex<()> = Mutex::new(());

fn random(shape: [usize; 4], rng: &mut StdRng, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape).require_grad()
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Output, gradient of `x` and gradient of `weight` under a random weighting of the output.
fn pass(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    layer: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
) -> [Vec<f32>; 3] {
    let output = layer(x.clone(), weight.clone());
    let pull = random(output.dims(), &mut StdRng::seed_from_u64(1), &x.device());
    let grads = (output.clone() * pull.detach()).sum().backward();
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
        // The weight's gradient sums over all positions, which are up to 100 000 here.
        let tolerance = if name.contains("weight") { 10.0 * tolerance } else { tolerance };
        assert!(worst <= tolerance * scale, "{what}: {name} off by {worst:e} where {scale:e} is usual");
    }
}

/// Slope 0.2, a skip connection of a third of the channels, and all gradients.
fn compare_rectified(case: &Case, device: &Device) {
    let Case { pictures, large, small, height, width, kernel, stride, padding } = *case;
    let mut rng = StdRng::seed_from_u64(2);
    let weight = random([small, large, kernel, kernel], &mut rng, device);
    let x = random([pictures, large, height, width], &mut rng, device);
    let options = || ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    check(
        &format!("rectified {case:?}"),
        WINOGRAD,
        pass(&x, &weight, |x, weight| single::convolve(x, Slope::LEAKY, weight, None, [stride, padding])),
        pass(&x, &weight, |x, weight| conv2d(leaky_relu(x, 0.2), weight, None, options())),
    );
    if stride == 2 && padding == 1 && kernel >= 3 && small >= 3 {
        let x = random([pictures, small, height, width], &mut rng, device);
        let options = || ConvTransposeOptions::new([2, 2], [1, 1], [4 - kernel; 2], [1, 1], 1);
        let expected = pass(&x, &weight, |x, weight| conv_transpose2d(relu(x), weight, None, options()));
        let single = |x, weight| single::double_by(None, x, Slope::RELU, weight, None);
        check(
            &format!("rectified, transposed {case:?}"),
            WINOGRAD,
            pass(&x, &weight, single),
            expected.clone(),
        );
        let joined = |x: Tensor<4>, weight| {
            let skip = x.clone().narrow(1, 0, small / 3);
            let x = x.narrow(1, small / 3, small - small / 3);
            single::double_by(Some(skip), x, Slope::RELU, weight, None)
        };
        check(&format!("joined {case:?}"), WINOGRAD, pass(&x, &weight, joined), expected);
    }
}

fn compare(case: &Case, exact: bool, device: &Device) {
    let tolerance = if exact || case.stride == 2 { PRECISE } else { WINOGRAD };
    let Case { pictures, large, small, height, width, kernel, stride, padding } = *case;
    let mut rng = StdRng::seed_from_u64(0);
    let x = random([pictures, large, height, width], &mut rng, device);
    let weight = random([small, large, kernel, kernel], &mut rng, device);
    let options = || ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
    check(
        &format!("{case:?}"),
        tolerance,
        pass(&x, &weight, |x, weight| single::convolve(x, Slope::LINEAR, weight, None, [stride, padding])),
        pass(&x, &weight, |x, weight| conv2d(x, weight, None, options())),
    );
    if stride == 2 && padding == 1 && kernel >= 3 {
        let x = random([pictures, small, height, width], &mut rng, device);
        let options = || ConvTransposeOptions::new([2, 2], [1, 1], [4 - kernel; 2], [1, 1], 1);
        check(
            &format!("transposed {case:?}"),
            tolerance,
            pass(&x, &weight, |x, weight| single::double_by(None, x, Slope::LINEAR, weight, None)),
            pass(&x, &weight, |x, weight| conv_transpose2d(x, weight, None, options())),
        );
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    pictures: usize,
    /// Channels.
    large: usize,
    /// Channels.
    small: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// The kernels of all our networks: halving, the discriminator's last layers, ResNet's blocks, ends and halvings.
const KERNELS: [[usize; 3]; 6] = [[4, 2, 1], [4, 1, 1], [3, 1, 0], [3, 1, 1], [7, 1, 0], [3, 2, 1]];

fn random_cases(count: usize) -> impl Iterator<Item = Case> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..count).map(move |index| {
        let [kernel, stride, padding] = KERNELS[index % KERNELS.len()];
        Case {
            pictures: rng.random_range(1..4),
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

/// Shapes that reach each way of computing: few and many positions, thin and thick maps, pieces of large maps and of
/// large batches.
fn chosen_cases() -> Vec<Case> {
    let case = |pictures, large, small, height, width, [kernel, stride, padding]: [usize; 3]| Case {
        pictures,
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
fn random_shapes_give_what_burn_gives() {
    let _held = SWITCH.lock();
    let device = device::cpu().autodiff();
    random_cases(60).for_each(|case| compare(&case, false, &device));
}

#[test]
fn chosen_shapes_give_what_burn_gives() {
    let _held = SWITCH.lock();
    let device = device::cpu().autodiff();
    chosen_cases().iter().for_each(|case| compare(case, false, &device));
}

#[test]
fn activations_and_skip_connections_are_read_as_they_should_be() {
    let _held = SWITCH.lock();
    let device = device::cpu().autodiff();
    random_cases(30).chain(chosen_cases()).for_each(|case| compare_rectified(&case, &device));
}

/// A convolution is linear in `x` and in the weight, so that finite differences of any size are exact but for rounding:
/// ⟨pull, layer(change)⟩ must be ⟨gradient, change⟩.
#[test]
fn gradients_are_finite_differences() {
    let _held = SWITCH.lock();
    let device = device::cpu().autodiff();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    for case in chosen_cases().into_iter().take(9) {
        let mut rng = StdRng::seed_from_u64(5);
        let x = random([case.pictures, case.large, case.height, case.width], &mut rng, &device);
        let weight = random([case.small, case.large, case.kernel, case.kernel], &mut rng, &device);
        let layer = |x, weight| single::convolve(x, Slope::LINEAR, weight, None, [case.stride, case.padding]);
        let [output, x_gradient, weight_gradient] = pass(&x, &weight, layer);
        let shape = layer(x.clone(), weight.clone()).dims();
        let pull = values(random(shape, &mut StdRng::seed_from_u64(1), &device));
        assert_eq!(output.len(), pull.len());
        let x_change = random(x.dims(), &mut rng, &device);
        let weight_change = random(weight.dims(), &mut rng, &device);
        let difference = dot(&pull, &values(layer(x_change.clone(), weight.clone())));
        let size = dot(&pull, &pull).sqrt() * dot(&output, &output).sqrt();
        assert!((difference - dot(&x_gradient, &values(x_change))).abs() < 1e-5 * size, "{case:?}");
        let difference = dot(&pull, &values(layer(x, weight_change.clone())));
        assert!((difference - dot(&weight_gradient, &values(weight_change))).abs() < 1e-5 * size, "{case:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let _held = SWITCH.lock();
    let compute = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = device::cpu().autodiff();
            let mut all = Vec::new();
            for case in chosen_cases().into_iter().take(9) {
                let mut rng = StdRng::seed_from_u64(3);
                let x = random([case.pictures, case.large, case.height, case.width], &mut rng, &device);
                let weight = random([case.small, case.large, case.kernel, case.kernel], &mut rng, &device);
                let layer =
                    |x, weight| single::convolve(x, Slope::LINEAR, weight, None, [case.stride, case.padding]);
                all.extend(pass(&x, &weight, layer).concat().into_iter().map(f32::to_bits));
            }
            all
        })
    };
    let one = compute(1);
    assert!(one == compute(2) && one == compute(4));
}

#[test]
fn the_exact_way_is_more_precise() {
    let _held = SWITCH.lock();
    let device = device::cpu().autodiff();
    device::set_exact(true);
    chosen_cases().iter().take(9).for_each(|case| compare(case, true, &device));
    device::set_exact(false);
}

/// Filters kept from pass to pass belong to the weights they were made of, whatever happens to those.
#[test]
fn kept_filters_follow_their_weights() {
    struct Halve;
    impl ModuleMapper for Halve {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|values| values * 0.5)
        }
    }
    let _held = SWITCH.lock();
    let device = device::cpu();
    let mut rng = StdRng::seed_from_u64(4);
    let mut config = GeneratorConfig::new(3, 3);
    (config.backbone, config.base_channels) = (Backbone::Unet { depth: 4 }, 48);
    // Wide enough for all three ways: direct, F(2, 2) and F(4, 2).
    let shape = [1, 3, 304, 272];
    let x = values(random(shape, &mut rng, &device.clone().autodiff()));
    let x = Tensor::<1>::from_floats(x.as_slice(), &device).reshape(shape);
    let pass = |generator: &Generator| values(generator.forward(x.clone(), Mode::IMAGE));

    let plain = config.init_seeded(0, &device);
    let kept = plain.clone().for_inference();
    let first = pass(&kept);
    assert_eq!(first, pass(&kept), "what is kept is what was computed");
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close(&first, &pass(&plain)));

    let halved = kept.map(&mut Halve);
    let expected = pass(&plain.map(&mut Halve));
    assert!(close(&pass(&halved), &expected) && !close(&first, &expected));
}

/// A worker may take up one pass while it waits for its part of another.
#[test]
fn a_pass_beside_one_with_kept_filters_is_what_it_is_alone() {
    let _held = SWITCH.lock();
    let device = device::cpu();
    let mut config = GeneratorConfig::new(3, 3);
    (config.backbone, config.base_channels) = (Backbone::Unet { depth: 4 }, 32);
    let plain = config.init_seeded(0, &device);
    let kept = plain.clone().for_inference();
    let ramp: Vec<f32> = (0..3 * 272 * 272).map(|i| (i as f32 * 0.01).sin()).collect();
    let x = Tensor::<1>::from_floats(ramp.as_slice(), &device).reshape([1, 3, 272, 272]);
    let pass = |generator: &Generator| values(generator.forward(x.clone(), Mode::IMAGE));
    let alone = [pass(&plain), pass(&kept)];
    assert!(alone[0] != alone[1], "they round differently");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            for (generator, alone) in [&plain, &kept].into_iter().zip(&alone) {
                scope.spawn(|| (0..10).for_each(|_| assert!(pass(generator) == *alone)));
            }
        }
    });
}

#[test]
fn tanh_is_that_of_the_standard_library() {
    let device = device::cpu().autodiff();
    let all: Vec<f32> =
        (-60_000..60_000).map(|i| i as f32 * 2e-4).chain([1e-30, -3e-8, 1e30, -1e30]).collect();
    let x = Tensor::<1>::from_floats(all.as_slice(), &device).reshape([1, 1, 1, all.len()]).require_grad();
    let output = single::tanh(x.clone());
    let slope = values(x.grad(&output.clone().sum().backward()).unwrap());
    for ((x, found), slope) in all.iter().zip(values(output)).zip(slope) {
        let expected = f64::from(*x).tanh();
        let error = (f64::from(found) - expected).abs();
        assert!(error <= 2e-7 * expected.abs() && found.abs() <= 1.0, "tanh({x}) is {expected}, not {found}");
        assert!((f64::from(slope) - (1.0 - expected * expected)).abs() < 5e-7, "slope at {x}");
    }
    let odd = values(single::tanh(Tensor::<1>::from_floats([f32::NAN, 0.0], &device).reshape([1, 1, 1, 2])));
    assert!(odd[0].is_nan() && odd[1] == 0.0);
}
