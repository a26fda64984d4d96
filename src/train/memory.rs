//! Refuses a training that needs more memory than there is, or a whole batch where it is divided, before anything is
//! allocated.

use burn::tensor::Device;

use crate::config::Pix2PixConfig;
use crate::error::{Error, Result};
use crate::memory;

const REMEDY: &str = "use a smaller `--batch-size`, `--size` or `--base-channels`, a larger `--accumulate`, or fewer \
                      `--devices`";

/// Checks that a step on this number of devices finds enough memory, and whole batches where the objective needs them.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) or [`Error::Config`](crate::Error::Config) if it does not.
pub(super) fn check(config: &Pix2PixConfig, devices: usize, device: &Device) -> Result<()> {
    let (pulling_away, parts) = (config.loss.pulling_away, config.training.accumulate);
    if pulling_away > 0.0 && (parts > 1 || devices > 1) {
        let problem = format!(
            "{pulling_away} compares all images of a batch, and {parts} micro-batches on {devices} devices divide it; use 0, \
             or one micro-batch and one device (`--accumulate 1 --devices 1`)"
        );
        return Err(Error::config("loss.pulling_away", problem));
    }
    let size = config.data.crop_size;
    let what = format!(
        "training on batches of {} images of {size} pixels with {} base channels",
        config.data.batch_size, config.generator.base_channels
    );
    memory::require(&what, least(config, devices), REMEDY, device)
}

/// Returns the bytes that training takes at least: the weights, and the larger of the maps that a step keeps and the
/// gradients and moments of the generator. The images of one batch come with the maps.
pub(super) fn least(config: &Pix2PixConfig, devices: usize) -> u128 {
    let (data, size) = (&config.data, config.data.crop_size);
    let pixels = [size.height, size.width];
    let (generator, discriminator) =
        (config.generator.footprint(pixels), config.discriminator.footprint(pixels));
    let is_adversarial = config.loss.gan_weight > 0.0;
    // All devices compute at once, each one micro-batch.
    let part = data.batch_size.div_ceil(config.training.accumulate.saturating_mul(devices)).max(1);
    let parts = data.batch_size.div_ceil(part).min(devices);
    let channels = config.generator.input_channels + config.generator.output_channels;
    let images = channels as u128 * size.height as u128 * size.width as u128 * data.batch_size as u128;
    let kept = generator.maps + if is_adversarial { discriminator.maps } else { 0 };
    let maps = images + kept * (part * parts) as u128;
    let weights = generator.weights + discriminator.weights;
    size_of::<f32>() as u128 * (weights + maps.max(3 * generator.weights))
}
