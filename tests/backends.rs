//! The same training steps on every compiled backend give the same numbers as the first one. With a single backend
//! this only shows that they are finite; `--features ndarray,wgpu` compares three.

mod support;

use pix2pix::data::Batch;
use pix2pix::{Device, Mode, Tensor, Trainer, device};

/// Losses of three steps, and the generator's output after them.
fn train(device: &Device) -> (Vec<f32>, Vec<f32>) {
    let image = |phase: f32| {
        let values: Vec<f32> = (0..3 * 32 * 32).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), device).reshape([1, 3, 32, 32])
    };
    let mut trainer = Trainer::new(support::small_config(), device).unwrap();
    let mut losses = Vec::new();
    for step in 0..3 {
        let batch = Batch { input: image(step as f32), target: image(1.0) };
        let values = trainer.step(batch).read();
        losses.extend([values.g_gan.unwrap(), values.g_l1, values.d_real.unwrap(), values.d_fake.unwrap()]);
    }
    let output = trainer.generator().forward_with(image(0.0).autodiff(), Mode::IMAGE);
    (losses, output.into_data().try_into_vec().unwrap())
}

#[test]
fn every_compiled_backend_trains_alike() {
    let mut reference = None;
    for name in device::compiled() {
        let Ok(device) = device::named(name) else {
            eprintln!("{name}: no such device here");
            continue;
        };
        let (losses, output) = train(&device);
        assert!(losses.iter().all(|loss| loss.is_finite()), "{name}: {losses:?}");
        let (expected_losses, expected) = reference.get_or_insert((losses.clone(), output.clone()));
        for (loss, expected) in losses.iter().zip(expected_losses) {
            assert!(
                (loss - *expected).abs() <= 1e-3 * expected.abs(),
                "{name}: loss {loss} is not {expected}"
            );
        }
        let worst = output.iter().zip(expected).map(|(a, b)| (a - *b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-3, "{name}: outputs differ by {worst}");
    }
}
