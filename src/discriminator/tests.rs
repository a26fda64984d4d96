//! Tests of scales, features, spectral normalisation and projection of a discriminator.

use super::*;
use crate::layers::Norm;

/// Returns sin(scale·i + 0.3) over the flat index.
fn waves(shape: [usize; 4], scale: f32) -> Tensor<4> {
    let values: Vec<f32> =
        (0..shape.iter().product::<usize>()).map(|i| (scale * i as f32 + 0.3).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

fn pair() -> [Tensor<4>; 2] {
    [waves([2, 3, 64, 64], 0.013), waves([2, 3, 64, 64], 0.017)]
}

fn config() -> DiscriminatorConfig {
    DiscriminatorConfig::new(3, 3).with_base_channels(4).with_layers(1)
}

/// Values of PyTorch's `AvgPool2d(3, 2, 1, count_include_pad=False)` in float64.
#[test]
fn coarser_scales_see_means_without_padding() {
    let found = values(halved(waves([1, 1, 4, 4], 0.7)));
    let expected = [0.141_678_5, 0.005_959_385, 0.009_188_688, -0.211_415_32];
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{found:?}");
    // A constant stays constant up to the border, also for odd sizes.
    let constant = halved(Tensor::full([1, 2, 5, 7], 0.25, &device::cpu()));
    assert_eq!(constant.dims(), [1, 2, 3, 4]);
    assert!(values(constant).iter().all(|value| (value - 0.25).abs() < 1e-7));
}

#[test]
fn scales_are_discriminators_of_their_own_on_smaller_images() {
    let several = config().with_scales(3).init_seeded(1, &device::cpu());
    let [input, image] = pair();
    let output = several.forward_scales(input.clone(), image.clone(), Mode::PAPER);
    let dims: Vec<_> = output.scales.iter().map(|scale| scale.logits.dims()).collect();
    assert_eq!(dims, [[2, 1, 30, 30], [2, 1, 14, 14], [2, 1, 6, 6]]);
    assert!(output.scales.iter().all(|scale| scale.features.is_empty()));
    let finest = values(several.forward(input.clone(), image.clone(), Mode::PAPER));
    assert!(values(output.scales[0].logits.clone()) == finest);
    // The finest scale does not depend on the others.
    let single = config().init_seeded(1, &device::cpu());
    assert!(values(single.forward(input.clone(), image.clone(), Mode::PAPER)) == finest);

    let mut coarse = single.clone();
    coarse.layers = several.coarser[1].layers.clone();
    let [input, image] = [input, image].map(|images| halved(halved(images)));
    let expected = values(coarse.forward(input, image, Mode::PAPER));
    for (found, expected) in values(output.scales[2].logits.clone()).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
    assert_eq!(several.parameter_count(), 3 * single.parameter_count());
}

#[test]
fn narrow_scales_halve_the_channels() {
    let count = |config: DiscriminatorConfig| config.init_seeded(1, &device::cpu()).parameter_count();
    let narrow = count(config().with_scales(3).with_narrow_scales(true));
    assert_eq!(narrow, [4, 2, 1].map(|base| count(config().with_base_channels(base))).iter().sum::<usize>());
    let message = |config: DiscriminatorConfig| config.validate().unwrap_err().to_string();
    let too_narrow = config().with_base_channels(3).with_scales(3).with_narrow_scales(true);
    let expected = "discriminator.narrow_scales: true leaves scale 3 of 3 base channels without a channel";
    assert!(message(too_narrow.clone()).contains(expected), "{}", message(too_narrow));
    for scales in [0, 4] {
        let message = message(config().with_scales(scales));
        assert!(message.contains(&format!("discriminator.scales: {scales} is out of range; use 1 to 3")));
    }
}

#[test]
fn an_image_must_be_large_enough_for_every_scale() {
    assert_eq!(config().patch_map_size([16, 16]), Some([6, 6]));
    assert_eq!(config().with_scales(2).patch_map_size([16, 16]), Some([6, 6]));
    assert_eq!(config().with_scales(3).patch_map_size([16, 15]), None);
    assert_eq!(config().with_scales(0).patch_map_size([16, 16]), None);
}

#[test]
fn features_are_the_blocks_outputs_after_their_activations() {
    let norm = Norm::Instance { affine: false };
    for (norm, spectral) in [(Norm::Batch, false), (Norm::None, false), (norm, true), (Norm::None, true)] {
        let config = config().with_norm(norm).with_spectral(spectral).with_scales(2).with_layers(2);
        let discriminator = config.init_seeded(1, &device::cpu());
        let [input, image] = pair();
        let plain = discriminator.forward_scales(input.clone(), image.clone(), Mode::PAPER);
        let output = discriminator.forward_features(input.clone(), image.clone(), Mode::PAPER);
        for (plain, scale) in plain.scales.iter().zip(&output.scales) {
            assert!(
                values(plain.logits.clone()) == values(scale.logits.clone()),
                "features change the logits"
            );
            assert_eq!(scale.features.len(), 3);
        }
        // LeakyReLU after the layer before is what the next layer sees.
        let features = &output.scales[0].features;
        let one = |index: usize, x: Tensor<4>| {
            let layers = &discriminator.layers[index..=index];
            patch::forward(layers, None::<fn(Tensor<4>) -> Tensor<4>>, x, Mode::PAPER, false).logits
        };
        let mut x = one(0, discriminator.seen(input, image).images);
        for (index, feature) in features.iter().enumerate() {
            let expected = burn::tensor::activation::leaky_relu(x.clone(), 0.2);
            let difference = (feature.clone() - expected).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-6, "feature {index} differs by {difference}");
            x = one(index + 1, x);
        }
    }
}

#[test]
fn layers_that_see_other_channels_are_replaced_at_every_scale() {
    let device = device::cpu();
    let replaced = |condition: Condition, channels: [usize; 2]| {
        let config = config().with_condition(condition).with_scales(2);
        let before = config.init_seeded(1, &device);
        let (after, names) = before.clone().with_channels(channels[0], channels[1], 2, &device).unwrap();
        let last = |d: &Discriminator| d.coarser[0].layers[2].conv.weight().into_data();
        assert_eq!(last(&before), last(&after), "the other layers stay");
        let [input, image] = channels.map(|channels| waves([1, channels, 32, 32], 0.03));
        after.forward_scales(input, image, Mode::PAPER);
        names
    };
    let firsts = ["layers.0.conv", "coarser.0.layers.0.conv"];
    assert_eq!(replaced(Condition::Input, [3, 1]), firsts);
    assert_eq!(replaced(Condition::Input, [2, 4]), firsts);
    assert_eq!(replaced(Condition::None, [5, 3]), [""; 0]);
    let projections = ["projection.conv", "coarser.0.projection.conv"];
    assert_eq!(replaced(Condition::Projection, [5, 3]), projections);
    assert_eq!(replaced(Condition::Projection, [3, 1]), firsts);
    let all = [firsts[0], projections[0], firsts[1], projections[1]];
    assert_eq!(replaced(Condition::Projection, [5, 1]), all);
}

#[test]
fn spectral_normalisation_bounds_the_slope_and_keeps_all_biases() {
    let bare = config().with_norm(Norm::None);
    let spectral = bare.clone().with_spectral(true);
    let count = |config: &DiscriminatorConfig| config.init_seeded(1, &device::cpu()).parameter_count();
    // The bias of the only inner layer, of 8 channels. The estimates are not learned.
    assert_eq!(count(&spectral), count(&bare) + 8);
    let pixel = |config: &DiscriminatorConfig| count(&config.clone().with_layers(0));
    assert_eq!(pixel(&spectral), pixel(&bare) + 8 + 1);

    // A 1×1 convolution has the slope of its matrix, so three of them and LeakyReLU have a slope of at most 1.
    let discriminator = spectral.clone().with_layers(0).init_seeded(3, &device::cpu());
    (0..100).for_each(|_| discriminator.power_iteration());
    let [input, image] = pair();
    let logits = |image: Tensor<4>| discriminator.forward(input.clone(), image, Mode::PAPER);
    let other = image.clone() + waves([2, 3, 64, 64], 0.9) * 0.1;
    let length = |difference: Tensor<4>| difference.square().sum_dim(1).sqrt();
    let slope = (logits(image.clone()) - logits(other.clone())).abs() / length(image - other);
    let steepest = slope.max().into_scalar::<f32>();
    assert!(steepest <= 1.000_1 && steepest > 1e-3, "{steepest}");

    for norm in [Norm::Batch, Norm::Instance { affine: true }] {
        let message = spectral.clone().with_norm(norm).validate().unwrap_err().to_string();
        let expected = format!("discriminator.spectral: true bounds nothing with discriminator.norm {norm}");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn forward_passes_leave_the_estimates_alone_and_iterations_move_them() {
    let config = config().with_norm(Norm::None).with_spectral(true).with_scales(2);
    let discriminator = config.init_seeded(3, &device::cpu());
    let logits = || {
        let [input, image] = pair();
        let output = discriminator.forward_scales(input, image, Mode::PAPER);
        output.scales.into_iter().map(|scale| values(scale.logits)).collect::<Vec<_>>()
    };
    let before = logits();
    assert!(logits() == before);
    let copy = discriminator.detached();
    discriminator.power_iteration();
    let after = logits();
    assert!(after.iter().zip(&before).all(|(after, before)| after != before));
    let [input, image] = pair();
    assert!(values(copy.forward(input, image, Mode::PAPER)) == before[0], "a detached copy shares nothing");
}
