//! Each convolution of U-Net-256 and of the 70×70 discriminator, with this crate's kernels and with burn's operation:
//! `{backend}/{layer}/{ours|exact|burn}/{forward|step}`, where a step is the forward pass and both gradients.

mod support;

use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pix2pix::__private::{self as layers, Activation, Arithmetic};
use pix2pix::{Device, Tensor};
use support::devices;

/// Name, channels of the large and of the small map, pixels of the large map, stride.
type Layer = (&'static str, usize, usize, usize, usize);

const CONVOLUTIONS: [Layer; 10] = [
    ("down1", 3, 64, 256, 2),
    ("down2-d2", 64, 128, 128, 2),
    ("down3-d3", 128, 256, 64, 2),
    ("down4", 256, 512, 32, 2),
    ("down5", 512, 512, 16, 2),
    ("down6", 512, 512, 8, 2),
    ("down7", 512, 512, 4, 2),
    ("d1", 6, 64, 256, 2),
    ("d4", 256, 512, 32, 1),
    ("d5", 512, 1, 31, 1),
];

const TRANSPOSED: [Layer; 7] = [
    ("up7", 512, 1024, 4, 2),
    ("up6", 512, 1024, 8, 2),
    ("up5", 512, 1024, 16, 2),
    ("up4", 256, 1024, 32, 2),
    ("up3", 128, 512, 64, 2),
    ("up2", 64, 256, 128, 2),
    ("up1", 3, 128, 256, 2),
];

fn tensor(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layers");
    group.sample_size(10);
    for (backend, device) in devices() {
        // The operations of burn take seconds on ndarray.
        let algorithms: &[&str] = if backend == "ndarray" { &["ours"] } else { &["ours", "exact", "burn"] };
        let convolutions = CONVOLUTIONS.map(|layer| (layer, false));
        let transposed = TRANSPOSED.map(|layer| (layer, true));
        for ((name, large, small, size, stride), is_transposed) in convolutions.into_iter().chain(transposed)
        {
            let weight = tensor([small, large, 4, 4], &device);
            let (x, positions) = match is_transposed {
                true => (tensor([1, small, size / 2, size / 2], &device), size * size / 4),
                false => (tensor([1, large, size, size], &device), ((size - 2) / stride + 1).pow(2)),
            };
            let layer = |algorithm: &str, x: Tensor<4>, weight: Tensor<4>| match (algorithm, is_transposed) {
                ("burn", true) => {
                    let options = ConvTransposeOptions::new([2, 2], [1, 1], [0, 0], [1, 1], 1);
                    conv_transpose2d(x, weight, None, options)
                }
                ("burn", false) => conv2d(x, weight, None, ConvOptions::new([stride; 2], [1, 1], [1, 1], 1)),
                (algorithm, true) => {
                    let arithmetic = Arithmetic::default().with_exact(algorithm == "exact");
                    layers::conv_transpose_2x(None, x, Activation::Linear, weight, None, &arithmetic)
                }
                (algorithm, false) => {
                    let arithmetic = Arithmetic::default().with_exact(algorithm == "exact");
                    layers::convolve(x, Activation::Linear, weight, None, [stride, 1], &arithmetic)
                }
            };
            for algorithm in algorithms {
                let products = (positions * large * small * 16) as u64;
                group.throughput(Throughput::Elements(2 * products));
                group.bench_function(format!("{backend}/{name}/{algorithm}/forward"), |bencher| {
                    bencher.iter(|| {
                        layer(algorithm, x.clone(), weight.clone());
                        device.sync().expect("the device works");
                    });
                });
                let tracked = |tensor: &Tensor<4>| tensor.clone().autodiff().require_grad();
                group.throughput(Throughput::Elements(6 * products));
                group.bench_function(format!("{backend}/{name}/{algorithm}/step"), |bencher| {
                    bencher.iter(|| {
                        let output = layer(algorithm, tracked(&x), tracked(&weight));
                        let _gradients = output.sum().backward();
                        device.sync().expect("the device works");
                    });
                });
            }
        }
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
