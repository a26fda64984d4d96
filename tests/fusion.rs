//! Checks that every device that the crate returns computes correctly, and that a device with burn's `fusion` is
//! refused.
//!
//! burn's feature `fusion`, which another crate may enable, computes wrong numbers on wgpu. Testing with
//! `--features wgpu,burn/fusion` reproduces it. With `PIX2PIX_EXPECT_REFUSED="wgpu"`, the test fails if one of these
//! devices is not refused.

use burn::tensor::TensorData;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use pix2pix::{Device, Error, GeneratorConfig, Pix2PixConfig, Tensor, Trainer, Translator, device};

/// The sides of the test images. For which of them fusion is wrong depends on the convolution kernel that burn selects.
const SIZES: [usize; 4] = [5, 7, 9, 17];

/// Returns the results of the smallest computation that fusion gets wrong: a convolution to one channel, an operation
/// whose result is kept, and another operation on that result.
fn one_channel(size: usize, device: &Device) -> Vec<f32> {
    let values: Vec<f32> = (0..size * size).map(|i| i as f32).collect();
    let image = Tensor::<4>::from_data(TensorData::new(values, [1, 1, size, size]), device);
    let weight = Tensor::ones([1, 1, 4, 4], device);
    let convolved = conv2d(image, weight, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    let kept = convolved.neg();
    // Read before `kept`, so that one fused kernel computes both.
    let sum = kept.clone().abs().sum().into_scalar();
    let mut numbers: Vec<f32> = kept.into_data().iter().collect();
    numbers.push(sum);
    numbers
}

/// Returns the results of [`one_channel`] by definition. All of them are whole numbers, so there is no rounding.
fn expected(size: usize) -> Vec<f32> {
    // The four pixels under the kernel, without the padding.
    let window = |at: usize| at.saturating_sub(1)..(at + 3).min(size);
    let mut numbers = Vec::new();
    for (y, x) in (0..size - 1).flat_map(|y| (0..size - 1).map(move |x| (y, x))) {
        let sum: usize = window(y).flat_map(|y| window(x).map(move |x| y * size + x)).sum();
        numbers.push(-(sum as f32));
    }
    numbers.push(-numbers.iter().sum::<f32>());
    numbers
}

fn is_correct(device: &Device) -> bool {
    SIZES.iter().all(|&size| one_channel(size, device) == expected(size))
}

/// Returns the device from burn, without this crate's check.
fn unchecked(name: &str) -> Option<Device> {
    match name {
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        _ => None,
    }
}

#[test]
fn a_device_computes_correctly_or_is_refused() {
    let mut refused = Vec::new();
    for name in device::compiled() {
        match device::named(name) {
            Ok(device) => {
                // A second call returns the same device. burn itself cannot start a device twice.
                assert_eq!(device::named(name).unwrap(), device);
                device::check(&device).unwrap();
                assert!(is_correct(&device), "{name}");
            }
            Err(error) if error.to_string().contains("`fusion`") => {
                if let Some(device) = unchecked(name) {
                    assert!(
                        !is_correct(&device),
                        "{name} now computes correctly with fusion, so the check may be obsolete"
                    );
                    assert_refused(&device);
                }
                refused.push(name);
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    for name in std::env::var("PIX2PIX_EXPECT_REFUSED").unwrap_or_default().split_whitespace() {
        assert!(refused.contains(&name), "`{name}` must be refused, but the refused devices are {refused:?}");
    }
}

/// Checks that every function that builds a network refuses the device and gives the reason.
fn assert_refused(device: &Device) {
    assert_fusion(Trainer::new(Pix2PixConfig::paper().with_size(32).unwrap(), device));
    assert_fusion(Translator::load("there-is-no-such-file", device));
    let file = || pix2pix::pytorch::Import::open("tests/golden/encoder_decoder.safetensors").unwrap();
    assert_fusion(file().generator(device));
    assert_fusion(file().discriminator(device));
    assert_fusion(GeneratorConfig::new(3, 3).try_init(device));
    let panic = std::panic::catch_unwind(|| GeneratorConfig::new(3, 3).init(device)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("`fusion`"));
    if cfg!(feature = "_host") {
        device::check(&device::best()).expect("`best` falls back to the CPU");
    }
}

fn assert_fusion<T>(result: pix2pix::Result<T>) {
    match result {
        Err(error @ Error::Device { .. }) => assert!(error.to_string().contains("cargo tree"), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}
