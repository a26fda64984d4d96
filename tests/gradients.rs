//! Every layer and loss against finite differences: a short move along the gradient must change the loss by the
//! gradient's length times the move.
#![cfg(feature = "flex")]

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use pix2pix::{
    Backbone, DiscriminatorConfig, Dropout, GanMode, GeneratorConfig, Mode, Norm, Pix2PixLossConfig,
    Statistics, Tensor, UpsampleKind, device,
};

/// Length of the move in all parameters together, and the relative error that this and f32 allow.
const MOVE: f32 = 2e-3;
const TOLERANCE: f64 = 0.02;

/// The network moved along its gradients.
fn moved<M: Module>(network: &M, grads: &GradientsParams, by: f32) -> M {
    struct Move<'a>(&'a GradientsParams, f32);
    impl ModuleMapper for Move<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            let value = value.inner();
            let there = match self.0.get::<D>(id) {
                Some(grad) => value + grad * self.1,
                None => value,
            };
            Param::from_mapped_value(id, there.autodiff().require_grad(), mapper)
        }
    }
    // A copy of its own: a clone would share its running statistics.
    network.valid().map(&mut Move(grads, by)).train()
}

/// A network with weights ten times the initial ones, for slopes that f32 can measure.
fn enlarged<M: Module>(network: M) -> M {
    struct Enlarge;
    impl ModuleMapper for Enlarge {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            let value = if D == 4 { value.inner() * 10.0 } else { value.inner() };
            Param::from_mapped_value(id, value.autodiff().require_grad(), mapper)
        }
    }
    network.map(&mut Enlarge)
}

/// Checks the gradients of a loss for all parameters of a network.
fn check<M: Module>(what: &str, network: &M, loss: impl Fn(&M) -> Tensor<1>) {
    struct Squares<'a>(&'a GradientsParams, f64);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1 += f64::from(grad.square().sum().into_scalar::<f32>());
            }
        }
    }
    let grads = GradientsParams::from_grads(loss(network).backward(), network);
    let mut squares = Squares(&grads, 0.0);
    network.visit(&mut squares);
    let length = squares.1.sqrt();
    agree(what, length, |by| loss(&moved(network, &grads, by / length as f32)));
}

/// Checks a slope against the difference that a move makes.
fn agree(what: &str, found: f64, loss: impl Fn(f32) -> Tensor<1>) {
    let value = |by| f64::from(loss(by).into_scalar::<f32>());
    let expected = (value(MOVE) - value(-MOVE)) / f64::from(2.0 * MOVE);
    let error = (found - expected).abs() / expected.abs();
    assert!(found > 1e-3 && error < TOLERANCE, "{what}: gradient {found}, finite difference {expected}");
}

fn image(channels: usize, size: usize, phase: f32) -> Tensor<4> {
    let values: Vec<f32> = (0..2 * channels * size * size).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
    let device = device::cpu().autodiff();
    Tensor::<1>::from_floats(values.as_slice(), &device).reshape([2, channels, size, size])
}

#[test]
fn generators() {
    let device = device::cpu().autodiff();
    let base = GeneratorConfig::new(2, 2).with_base_channels(3).with_backbone(Backbone::Unet { depth: 3 });
    let cases = [
        base.clone(),
        base.clone().with_norm(Norm::Instance { affine: true }),
        base.clone().with_norm(Norm::None),
        base.clone().with_upsample(UpsampleKind::NearestConv),
        base.clone().with_upsample(UpsampleKind::BilinearConv),
        base.clone().with_backbone(Backbone::EncoderDecoder { depth: 3 }),
        base.clone().with_backbone(Backbone::Resnet { blocks: 1 }),
    ];
    for config in cases {
        for statistics in [Statistics::Batch, Statistics::Image, Statistics::Running] {
            let generator = enlarged(config.init_seeded(1, &device));
            let mode = Mode { statistics, dropout: Dropout::Seeded(3) };
            let weigh = |output: Tensor<4>| (output * image(2, 16, 1.0)).sum();
            let loss = |network: &pix2pix::Generator| weigh(network.forward_with(image(2, 16, 0.0), mode));
            let what = format!("{config} {statistics:?}");
            check(&what, &generator, loss);

            let input = image(2, 16, 0.0).require_grad();
            let grads = weigh(generator.forward_with(input.clone(), mode)).backward();
            let along = input.grad(&grads).unwrap();
            let length = f64::from(along.clone().square().sum().into_scalar::<f32>()).sqrt();
            agree(&format!("{what} input"), length, |by| {
                let input = input.clone().inner() + along.clone() * (by / length as f32);
                weigh(generator.forward_with(input.autodiff(), mode))
            });
        }
    }
}

#[test]
fn discriminators_under_every_objective() {
    let device = device::cpu().autodiff();
    for layers in [0, 2] {
        for norm in [Norm::Batch, Norm::Instance { affine: false }, Norm::None] {
            for gan in [GanMode::Vanilla, GanMode::LeastSquares, GanMode::Hinge] {
                let config = DiscriminatorConfig::new(2, 2).with_base_channels(3).with_layers(layers);
                let judge = enlarged(config.with_norm(norm).init_seeded(1, &device));
                let objective = Pix2PixLossConfig::new().with_gan(gan).with_real_label(0.9).init();
                let loss = |judge: &pix2pix::Discriminator| {
                    let verdict = |phase| judge.forward(image(2, 16, 0.0), image(2, 16, phase));
                    objective.discriminator(verdict(1.0), verdict(2.0)).total()
                };
                let what = format!("{layers} layers, {norm:?}, {gan:?}");
                check(&what, &judge, loss);
            }
        }
    }
}
