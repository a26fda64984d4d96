//! One forward pass of generator and discriminator on every compiled backend: `{backend}/{network}/{size}x{batch}`.

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use pix2pix::Mode;
use support::{config, devices, images};

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    group.sample_size(10);
    for (name, device) in devices() {
        // `ndarray` shares the kernels of `flex`, so one size is enough.
        let sizes: &[(usize, usize)] =
            if name == "ndarray" { &[(64, 1)] } else { &[(64, 1), (128, 1), (256, 1), (256, 4), (512, 1)] };
        for &(size, batch) in sizes {
            let config = config(size, 64);
            let generator = config.generator.init_seeded(0, &device);
            let discriminator = config.discriminator.init_seeded(0, &device);
            let input = images(batch, size, &device);
            group.bench_function(format!("{name}/generator/{size}x{batch}"), |bencher| {
                bencher.iter(|| {
                    generator.forward(input.clone(), Mode::IMAGE);
                    device.sync().expect("the device works");
                });
            });
            group.bench_function(format!("{name}/discriminator/{size}x{batch}"), |bencher| {
                bencher.iter(|| {
                    discriminator.forward(input.clone(), input.clone(), Mode::PAPER);
                    device.sync().expect("the device works");
                });
            });
        }
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
