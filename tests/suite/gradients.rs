//! Compares the gradients of every layer, loss and custom kernel with finite differences.
//!
//! The tests move one parameter or input at a time, in a random direction and in the opposite direction. The difference
//! of the losses, summed in double precision on the host, must equal the slope that the gradient predicts. So a missing
//! gradient, of a whole parameter or of a part of it, fails the test. Moving along the gradient itself would not detect
//! it.
#![cfg(feature = "flex")]

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use pix2pix::__private::{self as layers, Activation, Arithmetic};
use pix2pix::config::DiscriminatorKind;
use pix2pix::{
    Backbone, Discriminator, DiscriminatorConfig, DropoutMode, GanMode, Generator, GeneratorConfig, Mode,
    Norm, Pix2PixLossConfig, PixelLoss, Statistics, Tensor, UpsampleKind, device,
};

/// The distances by which each value moves. A ReLU whose input changes its sign spoils some of these moves, and
/// rounding spoils others; a wrong gradient spoils all of them.
const MOVES: [f32; 6] = [1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6];
/// The largest error that finite differences in f32 explain, relative to the gradient's length.
const TOLERANCE: f64 = 0.02;
/// A gradient shorter than this fraction of the longest may be rounding noise, such as that of a bias before an
/// instance norm. Its error is measured relative to this fraction of the longest gradient.
const SHORT: f64 = 0.05;

/// Returns a random direction of `count` values of +1 and −1.
fn signs(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut sign = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if state >> 40 & 1 == 0 { 1.0 } else { -1.0 }
    };
    (0..count).map(|_| sign()).collect()
}

fn direction<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let signs = signs(shape.iter().product(), seed);
    Tensor::<1>::from_floats(signs.as_slice(), &device::cpu()).reshape(shape)
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec().unwrap()
}

/// Returns the network with parameter `index` moved.
fn moved<M: Module>(network: &M, index: usize, by: f32) -> M {
    struct Move {
        index: usize,
        next: usize,
        by: f32,
    }
    impl ModuleMapper for Move {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, mut value, mapper) = param.consume();
            if self.next == self.index {
                value = value.clone() + direction(value.dims(), self.index as u64) * self.by;
            }
            self.next += 1;
            Param::from_mapped_value(id, value, mapper)
        }
    }
    // `valid` copies the network without gradients; a clone would share its running statistics.
    network.valid().map(&mut Move { index, next: 0, by })
}

/// Returns a network with weights ten times the initial ones, so that f32 can measure the slopes, and with biases that
/// are not zero, where a ReLU has no slope.
fn enlarged<M: Module>(network: M) -> M {
    struct Enlarge {
        name: String,
        seed: u64,
    }
    impl ModuleMapper for Enlarge {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.name = name.to_owned();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.name.starts_with("running_") {
                return param;
            }
            self.seed += 1;
            let (id, value, mapper) = param.consume();
            let value = value.inner();
            let value = match D {
                4 => value * 10.0,
                _ => value.clone() + direction(value.dims(), self.seed) * 0.1,
            };
            Param::from_mapped_value(id, value.autodiff().require_grad(), mapper)
        }
    }
    network.map(&mut Enlarge { name: String::new(), seed: 0 })
}

/// The slope of the loss along a random direction, as a gradient predicts it. Both numbers are 0 without a gradient.
struct Slope {
    /// The parameter or input.
    name: String,
    along: f64,
    /// The length of the gradient.
    length: f64,
}

/// Returns the index and the slope of every learned parameter, in the order of the network, without running statistics.
fn slopes<M: Module>(network: &M, grads: &GradientsParams) -> Vec<(usize, Slope)> {
    struct Visit<'a> {
        grads: &'a GradientsParams,
        path: Vec<String>,
        next: usize,
        found: Vec<(usize, Slope)>,
    }
    impl ModuleVisitor for Visit<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.path.join(".");
            if !name.contains("running_") {
                let grad = self.grads.get::<D>(param.id).map_or_else(Vec::new, values);
                self.found.push((self.next, slope(name, &grad, self.next as u64)));
            }
            self.next += 1;
        }
    }
    let mut visit = Visit { grads, path: vec![], next: 0, found: vec![] };
    network.visit(&mut visit);
    visit.found
}

fn slope(name: String, grad: &[f64], seed: u64) -> Slope {
    let along = grad.iter().zip(signs(grad.len(), seed)).map(|(grad, sign)| grad * f64::from(sign)).sum();
    Slope { name, along, length: grad.iter().map(|grad| grad * grad).sum::<f64>().sqrt() }
}

/// Checks the gradients of a loss for every parameter of a network. `value` is the same loss in double precision.
fn check<M: Module>(what: &str, network: &M, loss: impl Fn(&M) -> Tensor<1>, value: impl Fn(&M) -> f64) {
    let grads = GradientsParams::from_grads(loss(network).backward(), network);
    let slopes = slopes(network, &grads);
    let longest = slopes.iter().map(|(_, slope)| slope.length).fold(0.0, f64::max);
    assert!(longest > 1e-3, "{what}: all gradients vanish");
    for (index, slope) in slopes {
        agree(what, &slope, longest, |by| value(&moved(network, index, by)));
    }
}

/// Checks a slope against finite differences of `value`.
fn agree(what: &str, slope: &Slope, longest: f64, value: impl Fn(f32) -> f64) {
    let differences = MOVES.map(|by| (value(by) - value(-by)) / f64::from(2.0 * by));
    let scale = slope.length.max(SHORT * longest);
    let errors = differences.map(|difference| (slope.along - difference).abs() / scale);
    assert!(
        errors.iter().any(|error| *error < TOLERANCE),
        "{what} {}: gradient {:e} of length {:e}, finite differences {differences:?}",
        slope.name,
        slope.along,
        slope.length
    );
}

pub(crate) fn image(channels: usize, size: usize, phase: f32) -> Tensor<4> {
    let values: Vec<f32> = (0..2 * channels * size * size).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([2, channels, size, size])
}

/// Returns the sum of a tensor's values, each times a fixed number.
fn weighted_sum(output: Tensor<4>) -> Tensor<1> {
    let [_, channels, size, _] = output.dims();
    (output * image(channels, size, 1.0).autodiff()).sum()
}

/// Computes [`weighted_sum`] in double precision on the host.
fn weighted_sum_on_host(output: Tensor<4>) -> f64 {
    let [_, channels, size, _] = output.dims();
    let weights = values(image(channels, size, 1.0));
    values(output).iter().zip(weights).map(|(value, weight)| value * weight).sum()
}

#[test]
fn gradients_of_generators_equal_finite_differences() {
    let device = device::cpu().autodiff();
    let base = GeneratorConfig::new(2, 2).with_base_channels(3).with_backbone(Backbone::Unet { depth: 3 });
    let cases = [
        base.clone(),
        base.clone().with_norm(Norm::Instance { affine: true }),
        base.clone().with_norm(Norm::Instance { affine: false }),
        base.clone().with_norm(Norm::None),
        base.clone().with_upsample(UpsampleKind::NearestConv),
        base.clone().with_upsample(UpsampleKind::BilinearConv),
        base.clone().with_backbone(Backbone::EncoderDecoder { depth: 3 }),
        base.clone().with_backbone(Backbone::Resnet { blocks: 1 }),
        base.clone().with_backbone(Backbone::Dcgan { depth: 4, noise: 5 }),
    ];
    for config in cases {
        for statistics in [Statistics::Batch, Statistics::Image, Statistics::Running] {
            let generator = enlarged(config.init_seeded(1, &device));
            let mode = Mode { statistics, dropout: DropoutMode::Seeded(3) };
            let what =
                format!("{:?} {:?} {:?} {statistics:?}", config.backbone, config.norm, config.upsample);
            let input = || config.noise().map_or_else(|| image(2, 16, 0.0), |noise| image(noise, 1, 0.0));
            let loss = |network: &Generator| weighted_sum(network.forward(input().autodiff(), mode));
            let value = |network: &Generator| weighted_sum_on_host(network.forward(input(), mode));
            check(&what, &generator, loss, value);

            let leaf = input().autodiff().require_grad();
            let grads = weighted_sum(generator.forward(leaf.clone(), mode)).backward();
            let slope = slope("input".into(), &values(leaf.grad(&grads).unwrap()), 0);
            let still = generator.valid();
            agree(&what, &slope, 0.0, |by| {
                let input = input();
                let there = input.clone() + direction(input.dims(), 0) * by;
                weighted_sum_on_host(still.forward(there, mode))
            });
        }
    }
}

/// Computes the discriminator's loss in double precision, from its definition.
fn discriminator_loss(gan: GanMode, label: f64, real: &[f64], fake: &[f64]) -> f64 {
    let mean = |logits: &[f64], loss: &dyn Fn(f64) -> f64| {
        logits.iter().map(|logit| loss(*logit)).sum::<f64>() / logits.len() as f64
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let entropy = |x: f64, label: f64| -label * sigmoid(x).ln() - (1.0 - label) * (1.0 - sigmoid(x)).ln();
    let [real, fake] = match gan {
        GanMode::Vanilla | GanMode::Minimax => {
            [mean(real, &|x| entropy(x, label)), mean(fake, &|x| entropy(x, 0.0))]
        }
        GanMode::LeastSquares => [mean(real, &|x| (x - label).powi(2)), mean(fake, &|x| x * x)],
        GanMode::Hinge => [mean(real, &|x| (1.0 - x).max(0.0)), mean(fake, &|x| (1.0 + x).max(0.0))],
        GanMode::Energy => [mean(real, &|x| -x), mean(fake, &|x| (MARGIN + x).max(0.0))],
        other => panic!("no reference for {other}"),
    };
    0.5 * (real + fake)
}

/// Computes the generator's loss in double precision, from its definition.
fn generator_loss(config: &Pix2PixLossConfig, fake: &[f64], output: &[f64], target: &[f64]) -> f64 {
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    let gan = mean(
        &mut fake.iter().map(|x| match config.gan {
            GanMode::Vanilla => (1.0 + (-x).exp()).ln(),
            GanMode::Minimax => -(1.0 + x.exp()).ln(),
            GanMode::LeastSquares => (x - 1.0).powi(2),
            GanMode::Hinge | GanMode::Energy => -x,
            other => panic!("no reference for {other}"),
        }),
        fake.len(),
    );
    let distance = output.iter().zip(target).map(|(a, b)| match config.pixel {
        PixelLoss::L1 => (a - b).abs(),
        PixelLoss::L2 => (a - b).powi(2),
        other => panic!("no reference for {other}"),
    });
    config.gan_weight * gan + config.l1_weight * mean(&mut { distance }, output.len())
}

/// The default margin of energies.
const MARGIN: f64 = 0.1;

const OBJECTIVES: [GanMode; 5] =
    [GanMode::Vanilla, GanMode::Minimax, GanMode::LeastSquares, GanMode::Hinge, GanMode::Energy];

#[test]
fn gradients_of_discriminators_equal_finite_differences() {
    let device = device::cpu().autodiff();
    let kinds = [
        (DiscriminatorKind::Patch, 0, &OBJECTIVES[..]),
        (DiscriminatorKind::Patch, 2, &OBJECTIVES[..4]),
        (DiscriminatorKind::Dcgan, 2, &OBJECTIVES[..1]),
        (DiscriminatorKind::AutoEncoder, 2, &OBJECTIVES[4..]),
    ];
    for (kind, layers, objectives) in kinds {
        for norm in [Norm::Batch, Norm::Instance { affine: false }, Norm::None] {
            for gan in objectives.iter().copied() {
                let config =
                    DiscriminatorConfig::new(2, 2).with_base_channels(3).with_layers(layers).with_kind(kind);
                let discriminator = enlarged(config.with_norm(norm).init_seeded(2, &device));
                let objective = Pix2PixLossConfig::new().with_gan(gan).with_real_label(0.9).init();
                let loss = |discriminator: &Discriminator| {
                    let logits = |phase| {
                        discriminator.forward(
                            image(2, 16, 0.0).autodiff(),
                            image(2, 16, phase).autodiff(),
                            Mode::PAPER,
                        )
                    };
                    objective.discriminator(logits(1.0), logits(2.0)).total()
                };
                let value = |discriminator: &Discriminator| {
                    let logits = |phase| {
                        values(discriminator.forward(image(2, 16, 0.0), image(2, 16, phase), Mode::PAPER))
                    };
                    discriminator_loss(gan, 0.9, &logits(1.0), &logits(2.0))
                };
                check(&format!("{kind}, {layers} layers, {norm:?}, {gan:?}"), &discriminator, loss, value);
            }
        }
    }
}

/// Checks every value of a gradient against the finite difference of a function in double precision.
pub(crate) fn check_values(what: &str, at: &[f64], grad: &[f64], value: impl Fn(&[f64]) -> f64) {
    let scale = grad.iter().map(|grad| grad.abs()).fold(0.0, f64::max);
    assert!(scale > 0.0, "{what}");
    for (index, grad) in grad.iter().enumerate() {
        let there = |by: f64| {
            let mut at = at.to_vec();
            at[index] += by;
            value(&at)
        };
        let difference = (there(1e-5) - there(-1e-5)) / 2e-5;
        assert!((grad - difference).abs() < 1e-5 * scale, "{what} {index}: {grad:e} is not {difference:e}");
    }
}

#[test]
fn gradients_of_losses_equal_finite_differences() {
    let leaf = |size, phase| (image(1, size, phase) * 1.7).autodiff().require_grad();
    for gan in OBJECTIVES {
        let [real, fake] = [leaf(5, 0.2), leaf(5, 2.0)];
        let objective = Pix2PixLossConfig::new().with_gan(gan).with_real_label(0.8);
        let total = objective.init().discriminator(real.clone(), fake.clone()).total();
        let grads = total.backward();
        let [r, f] = [&real, &fake].map(|logits| values(logits.clone().inner()));
        let grad = |leaf: &Tensor<4>| values(leaf.grad(&grads).unwrap());
        check_values(&format!("D real {gan:?}"), &r, &grad(&real), |r| discriminator_loss(gan, 0.8, r, &f));
        check_values(&format!("D fake {gan:?}"), &f, &grad(&fake), |f| discriminator_loss(gan, 0.8, &r, f));

        for pixel in [PixelLoss::L1, PixelLoss::L2] {
            let objective = objective.clone().with_pixel(pixel).with_gan_weight(0.7).with_l1_weight(10.0);
            let [fake, output] = [leaf(5, 1.0), leaf(8, 0.5)];
            let target = image(1, 8, 3.0);
            let loss = objective.init();
            let total = loss.generator(Some(fake.clone().into()), output.clone(), target.clone().autodiff());
            let grads = total.total().backward();
            let [f, o] = [&fake, &output].map(|leaf| values(leaf.clone().inner()));
            let t = values(target);
            let grad = |leaf: &Tensor<4>| values(leaf.grad(&grads).unwrap());
            let what = format!("{gan:?} {pixel:?}");
            check_values(&format!("G logits {what}"), &f, &grad(&fake), |f| {
                generator_loss(&objective, f, &o, &t)
            });
            check_values(&format!("G output {what}"), &o, &grad(&output), |o| {
                generator_loss(&objective, &f, o, &t)
            });
        }
    }
}

#[test]
fn the_gradient_of_the_pulling_away_term_equals_finite_differences() {
    let term = |codes: &[f64]| {
        let vectors: Vec<&[f64]> = codes.chunks_exact(codes.len() / 3).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let squared = |a: usize, b: usize| {
            let [a, b] = [vectors[a], vectors[b]];
            dot(a, b).powi(2) / (dot(a, a) * dot(b, b))
        };
        // Each of three pairs is counted in both orders, and divided by 3·2.
        0.5 * (squared(0, 1) + squared(0, 2) + squared(1, 2)) / 3.0
    };
    let codes = (wave::<4>([3, 2, 2, 1], 0.9) + 0.2).autodiff().require_grad();
    let loss =
        Pix2PixLossConfig::new().with_gan(GanMode::Energy).with_l1_weight(0.0).with_pulling_away(0.5).init();
    let image = || Tensor::<4>::zeros([3, 1, 4, 4], &device::cpu()).autodiff();
    let logits = Tensor::<4>::zeros([3, 1, 1, 1], &device::cpu()).autodiff();
    let g =
        loss.with_pulling_away(loss.generator(Some(logits.into()), image(), image()), Some(codes.clone()));
    let total = g.total();
    let at = values(codes.clone().inner());
    assert!((values(total.clone().inner())[0] - term(&at)).abs() < 1e-6);
    let grads = total.backward();
    check_values("pulling away", &at, &values(codes.grad(&grads).unwrap()), term);
}

/// Checks a layer's gradients for each of its inputs.
fn check_layer(what: &str, inputs: &[Tensor<4>], layer: impl Fn(&[Tensor<4>]) -> Tensor<4>) {
    let leaves: Vec<Tensor<4>> = inputs.iter().map(|input| input.clone().autodiff().require_grad()).collect();
    let grads = weighted_sum(layer(&leaves)).backward();
    for (index, leaf) in leaves.iter().enumerate() {
        let grad = values(leaf.grad(&grads).expect(what));
        let slope = slope(format!("input {index}"), &grad, index as u64);
        agree(what, &slope, 0.0, |by| {
            let mut inputs = inputs.to_vec();
            inputs[index] = inputs[index].clone() + direction(inputs[index].dims(), index as u64) * by;
            weighted_sum_on_host(layer(&inputs))
        });
    }
}

/// Returns a tensor of noise-like values. None of them is so close to zero that a move changes its sign.
fn wave<const D: usize>(shape: [usize; D], scale: f32) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let wave = |i: usize| (i as f32 * scale).sin();
    let values: Vec<f32> = (0..count).map(|i| wave(i) + 0.1 * wave(i).signum()).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
}

#[test]
fn gradients_of_custom_kernels_equal_finite_differences() {
    let bias = |tensor: &Tensor<4>| {
        let count = tensor.dims().iter().product::<usize>();
        Some(tensor.clone().reshape([count]))
    };
    for activation in [Activation::Relu, Activation::LeakyRelu, Activation::Linear] {
        for [kernel, stride, padding] in [[4, 2, 1], [4, 1, 1], [3, 1, 1], [3, 2, 1], [7, 1, 0], [1, 1, 0]] {
            let inputs =
                [wave([2, 3, 16, 16], 0.7), wave([5, 3, kernel, kernel], 1.3), wave([5, 1, 1, 1], 2.1)];
            check_layer(
                &format!("convolution {kernel} {stride} {padding} {activation:?}"),
                &inputs,
                |inputs| {
                    let [x, weight, shift] = [0, 1, 2].map(|index| inputs[index].clone());
                    layers::convolve(
                        x,
                        activation,
                        weight,
                        bias(&shift),
                        [stride, padding],
                        &Arithmetic::default(),
                    )
                },
            );
        }
        for kernel in [3, 4] {
            let inputs = [
                wave([2, 3, 8, 8], 0.7),
                wave([5, 4, kernel, kernel], 1.3),
                wave([4, 1, 1, 1], 2.1),
                wave([2, 2, 8, 8], 0.9),
            ];
            check_layer(&format!("transposed convolution {kernel} {activation:?}"), &inputs, |inputs| {
                let [x, weight, shift, skip] = [0, 1, 2, 3].map(|index| inputs[index].clone());
                layers::conv_transpose_2x(
                    Some(skip),
                    x,
                    activation,
                    weight,
                    bias(&shift),
                    &Arithmetic::default(),
                )
            });
            let alone = [inputs[0].clone(), wave([3, 4, kernel, kernel], 1.3)];
            check_layer(
                &format!("transposed convolution without a skip connection {kernel} {activation:?}"),
                &alone,
                |inputs| {
                    layers::conv_transpose_2x(
                        None,
                        inputs[0].clone(),
                        activation,
                        inputs[1].clone(),
                        None,
                        &Arithmetic::default(),
                    )
                },
            );
        }
    }
}
