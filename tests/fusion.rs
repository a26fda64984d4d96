//! A device that the crate hands out computes right; one that does not is refused.
//!
//! burn's `fusion`, which another crate may turn on, computes wrongly on wgpu; `--features wgpu,burn/fusion` shows it.
//! `PIX2PIX_EXPECT_REFUSED="wgpu"` makes the test fail where one of these devices is not refused.

use burn::tensor::TensorData;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use pix2pix::{Device, Error, GeneratorConfig, Pix2PixConfig, Tensor, Trainer, Translator, device};

/// Pictures of several sizes: which ones fusion gets wrong depends on the convolution kernel that burn finds fastest.
const SIZES: [usize; 4] = [5, 7, 9, 17];

/// The smallest computation that fusion gets wrong: a convolution to one channel, an operation whose result is kept,
/// and another one on top.
fn one_channel(size: usize, device: &Device) -> Vec<f32> {
    let values: Vec<f32> = (0..size * size).map(|i| i as f32).collect();
    let picture = Tensor::<4>::from_data(TensorData::new(values, [1, 1, size, size]), device);
    let weight = Tensor::ones([1, 1, 4, 4], device);
    let convolved = conv2d(picture, weight, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    let kept = convolved.neg();
    // Read before what was kept, so that both come from one kernel.
    let sum = kept.clone().abs().sum().into_scalar();
    let mut numbers: Vec<f32> = kept.into_data().iter().collect();
    numbers.push(sum);
    numbers
}

/// What [`one_channel`] is by definition; all numbers are whole, so that no rounding matters.
fn expected(size: usize) -> Vec<f32> {
    // The four pixels from one before, as far as there are any.
    let window = |at: usize| at.saturating_sub(1)..(at + 3).min(size);
    let mut numbers = Vec::new();
    for (y, x) in (0..size - 1).flat_map(|y| (0..size - 1).map(move |x| (y, x))) {
        let sum: usize = window(y).flat_map(|y| window(x).map(move |x| y * size + x)).sum();
        numbers.push(-(sum as f32));
    }
    numbers.push(-numbers.iter().sum::<f32>());
    numbers
}

fn is_right(device: &Device) -> bool {
    SIZES.iter().all(|&size| one_channel(size, device) == expected(size))
}

/// The device as burn gives it, unchecked.
fn unchecked(name: &str) -> Option<Device> {
    match name {
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        _ => None,
    }
}

#[test]
fn a_device_computes_right_or_is_refused() {
    let mut refused = Vec::new();
    for name in device::compiled() {
        match device::named(name) {
            Ok(device) => {
                // A second call gives the same device: burn itself starts none twice.
                assert_eq!(device::named(name).unwrap(), device);
                device::check(&device).unwrap();
                assert!(is_right(&device), "{name}");
            }
            Err(error) if error.to_string().contains("`fusion`") => {
                if let Some(device) = unchecked(name) {
                    assert!(!is_right(&device), "{name} is right with fusion now: need it be refused?");
                    refuses(&device);
                }
                refused.push(name);
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    for name in std::env::var("PIX2PIX_EXPECT_REFUSED").unwrap_or_default().split_whitespace() {
        assert!(refused.contains(&name), "`{name}` was to be refused, but only {refused:?} was");
    }
}

/// Nothing builds a network on such a device, and everything says why.
fn refuses(device: &Device) {
    assert_fusion(Trainer::new(Pix2PixConfig::paper().with_size(32).unwrap(), device));
    assert_fusion(Translator::load("there-is-no-such-file", device));
    let file = || pix2pix::pytorch::Import::open("tests/golden/encoder_decoder.safetensors").unwrap();
    assert_fusion(file().generator(device));
    assert_fusion(file().discriminator(device));
    assert_fusion(GeneratorConfig::new(3, 3).try_init(device));
    let panic = std::panic::catch_unwind(|| GeneratorConfig::new(3, 3).init(device)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("`fusion`"));
    if cfg!(feature = "_host") {
        device::check(&device::best()).expect("the CPU instead");
    }
}

fn assert_fusion<T>(result: pix2pix::Result<T>) {
    match result {
        Err(error @ Error::Device { .. }) => assert!(error.to_string().contains("cargo tree"), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}
