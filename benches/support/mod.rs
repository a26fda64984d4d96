//! Shared by the benches: the available backends, and inputs.
#![allow(dead_code, reason = "no bench uses all of it")]

use pix2pix::{Device, Pix2PixConfig, Tensor, device};

/// Returns every compiled backend that has a device on this machine.
pub(crate) fn devices() -> Vec<(&'static str, Device)> {
    device::compiled().into_iter().filter_map(|name| Some((name, device::named(name).ok()?))).collect()
}

/// Returns a batch of images in `[-1, 1]`.
pub(crate) fn images(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..batch * 3 * size * size).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape([batch, 3, size, size])
}

/// Returns the paper's recipe at `size` pixels.
pub(crate) fn config(size: usize, base_channels: usize) -> Pix2PixConfig {
    let mut config = Pix2PixConfig::paper().with_size(size).expect("the size suits a U-Net");
    config.generator.base_channels = base_channels;
    config.discriminator.base_channels = base_channels;
    config
}
