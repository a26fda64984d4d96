//! The adversary's share of the gradient at the generator's output: it tells whether λ drowns the adversary.

use burn::module::Module;
use burn::tensor::Tensor;

use super::shards::trainable;
use crate::discriminator::Discriminator;
use crate::layers::Mode;
use crate::loss::Pix2PixLoss;

/// Returns |a|/(|a| + |d|), averaged over the images of a part, `[1]`: a is the gradient of the adversarial term with
/// respect to an image of the output, d that of the distances to the target. 0 if both are zero; `None` without an
/// adversary.
///
/// The discriminator sees the images without noise and DiffAugment, and its features do not count.
///
/// The discriminator is copied, because a pass changes running statistics. So the training has the same numbers as
/// without the measurement.
///
/// # Shapes
/// - input, output and target: `[N, C, H, W]`
pub(super) fn gan_share(
    loss: &Pix2PixLoss,
    discriminator: &Discriminator,
    [input, output, target]: [&Tensor<4>; 3],
) -> Option<Tensor<1>> {
    let plain = output.clone().inner();
    let judge = trainable(discriminator.valid(), &plain.device()).no_grad();
    let leaf = || plain.clone().autodiff().require_grad();
    let detached = |images: &Tensor<4>| images.clone().inner().autodiff();
    let norm = |term: Tensor<1>, leaf: &Tensor<4>| {
        let square = leaf.grad(&term.backward()).map(|grad| grad.square());
        let square = square.unwrap_or_else(|| plain.zeros_like());
        square.sum_dim(3).sum_dim(2).sum_dim(1).sqrt() // [N, 1, 1, 1]
    };

    let output = leaf();
    let logits = judge.forward_scales(detached(input), output.clone(), Mode::PAPER);
    let terms = loss.generator(Some(logits.clone()), output.clone(), detached(target));
    let adversary = norm(terms.gan?, &output);
    let output = leaf();
    let terms = loss.generator(Some(logits), output.clone(), detached(target));
    let distance = norm(terms.distance(), &output);
    let sum = (adversary.clone() + distance).clamp_min(f32::MIN_POSITIVE);
    Some((adversary / sum).flatten::<1>(0, 3).mean())
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;
    use crate::discriminator::DiscriminatorConfig;
    use crate::layers::Norm;
    use crate::loss::Pix2PixLossConfig;

    fn wave(a: f64) -> Tensor<4> {
        let values: Vec<f32> = (0..2 * 3 * 32 * 32).map(|i| (a * f64::from(i)).sin() as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape([2, 3, 32, 32])
    }

    fn share(config: &Pix2PixLossConfig, discriminator: &Discriminator) -> Option<f64> {
        let images = [0.011, 0.017, 0.023].map(|a| wave(a).autodiff());
        let share = gan_share(&config.init(), discriminator, images.each_ref())?;
        Some(f64::from(share.into_scalar::<f32>()))
    }

    #[test]
    fn the_share_is_the_mean_over_images_of_the_ratio_of_both_gradients() {
        let device = device::cpu().autodiff();
        let config = DiscriminatorConfig::new(3, 3).with_base_channels(4).with_layers(2);
        let discriminator = config.with_norm(Norm::Batch).init_seeded(3, &device);
        let config = Pix2PixLossConfig::new().with_l1_weight(0.5);

        // The gradients of the very terms that a step sums.
        let output = wave(0.017).autodiff().require_grad();
        let [input, target] = [0.011, 0.023].map(|a| wave(a).autodiff());
        let logits = discriminator.valid().train().no_grad().forward(input, output.clone(), Mode::PAPER);
        let gan = config.init().generator(Some(logits.into()), output.clone(), target).gan.unwrap();
        let adversary = output.grad(&gan.backward()).unwrap();
        let values = adversary.into_data().try_into_vec::<f32>().unwrap();
        // The gradient of the mean of |x| over n values has n values of ±1/n.
        let count = values.len() as f64;
        let distance = 0.5 / count * (count / 2.0).sqrt();
        let norms = values
            .chunks(values.len() / 2)
            .map(|image| image.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt());
        let expected: f64 = norms.map(|norm| norm / (norm + distance) / 2.0).sum();
        let found = share(&config, &discriminator).unwrap();
        assert!(expected > 0.1 && expected < 0.9, "{expected}");
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} is not {expected}");

        // A structured distance counts as a distance, and without any distance the share is 1.
        let more = share(&config.clone().with_pyramid_weight(1.0), &discriminator).unwrap();
        assert!(more < found, "{more} and {found}");
        assert_eq!(share(&config.clone().with_l1_weight(0.0), &discriminator), Some(1.0));
    }

    #[test]
    fn images_have_the_same_share_alone_and_in_a_batch() {
        let device = device::cpu().autodiff();
        let config = DiscriminatorConfig::new(3, 3).with_base_channels(4).with_layers(2);
        let discriminator = config.with_norm(Norm::Instance { affine: false }).init_seeded(3, &device);
        let loss = Pix2PixLossConfig::new().with_gan_weight(30.0).with_l1_weight(0.5).init();
        let of = |first: usize, count: usize| {
            let images = [0.011, 0.017, 0.023].map(|a| wave(a).narrow(0, first, count).autodiff());
            gan_share(&loss, &discriminator, images.each_ref()).unwrap().into_scalar::<f32>()
        };
        let (whole, parts) = (of(0, 2), (of(0, 1) + of(1, 1)) / 2.0);
        assert!((whole - parts).abs() < 1e-5, "{whole} and {parts}");
    }
}
