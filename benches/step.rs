//! One training step on every compiled backend: `{backend}/step-base{channels}/{size}x{batch}`.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pix2pix::Trainer;
use pix2pix::data::Batch;
use support::{config, devices, images};

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.sample_size(10);
    for (name, device) in devices() {
        let cases: &[(usize, usize, usize)] = if name == "ndarray" {
            &[(32, 16, 1)]
        } else {
            &[(32, 16, 1), (64, 32, 1), (64, 32, 4), (128, 64, 1), (256, 64, 1)]
        };
        for &(size, channels, batch) in cases {
            let mut trainer =
                Trainer::new(config(size, channels), &device).expect("the configuration is valid");
            let pair = Batch { input: images(batch, size, &device), target: images(batch, size, &device) };
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(format!("{name}/step-base{channels}/{size}x{batch}"), |bencher| {
                bencher.iter(|| {
                    trainer.step(pair.clone());
                    device.sync().expect("the device works");
                });
            });
        }
    }
}

criterion_group!(benches, step);
criterion_main!(benches);
