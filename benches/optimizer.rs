//! One update of Adam for the parameters of both networks of the paper, with this crate's Adam and with burn's.

use std::time::{Duration, Instant};

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use criterion::{Criterion, criterion_group, criterion_main};
use pix2pix::{__private::AdamRule, Tensor, device};

/// U-Net-256 and the 70×70 discriminator.
const VALUES: usize = 54_413_955 + 2_768_705;

#[derive(Module, Debug)]
struct Weights {
    values: Param<Tensor<1>>,
}

fn optimizer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("optimizer");
    group.sample_size(10);
    let gradient = vec![1e-3; VALUES];

    let [mut value, mut m, mut v] = [(); 3].map(|()| vec![0.0; VALUES]);
    let rule = AdamRule { beta_1: 0.5, beta_2: 0.999, step_size: 2e-4, epsilon: 1e-8, gradient_scale: 1.0 };
    group.bench_function("ours", |bencher| {
        bencher.iter(|| rule.update(&mut value, &mut m, &mut v, &gradient));
    });

    let device = device::cpu().autodiff();
    let values = Tensor::<1>::from_floats(value.as_slice(), &device);
    let mut weights = Some(Weights { values: Param::from_tensor(values) });
    let mut adam = AdamConfig::new().with_beta_1(0.5).with_beta_2(0.999).init();
    let output_gradient = Tensor::<1>::from_floats(gradient.as_slice(), &device);
    group.bench_function("burn", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let module = weights.take().expect("the weights are put back after each round");
                let loss = (module.values.val() * output_gradient.clone()).sum();
                let gradients = GradientsParams::from_grads(loss.backward(), &module);
                let start = Instant::now();
                weights = Some(adam.step(2e-4, module, gradients));
                spent += start.elapsed();
            }
            spent
        });
    });
}

criterion_group!(benches, optimizer);
criterion_main!(benches);
