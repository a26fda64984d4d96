//! Compares the networks with the tables of the paper and of the PyTorch original: parameter counts, sizes, receptive
//! fields, initial values and the effect of each setting.
#![cfg(feature = "flex")]

use burn::module::Module;
use burn::tensor::Distribution;
use pix2pix::data::{Batch, DataConfig};
use pix2pix::{
    Backbone, Condition, Device, Discriminator, DiscriminatorConfig, DropoutLayout, DropoutMode, Generator,
    GeneratorConfig, Mode, Norm, Pix2PixLossConfig, Statistics, Tensor, Trainer, TrainingConfig, Translator,
    UpsampleKind, device,
};

fn noise(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[test]
fn generators_have_the_published_parameter_counts() {
    let count = |config: GeneratorConfig| config.init(&device::cpu()).parameter_count();
    let unet = |depth| GeneratorConfig::new(3, 3).with_backbone(Backbone::Unet { depth });
    assert_eq!(count(unet(8)), 54_413_955);
    assert_eq!(count(unet(7)), 41_828_995);
    assert_eq!(count(unet(8).with_norm(Norm::Instance { affine: false })), 54_409_603);
    assert_eq!(count(unet(7).with_norm(Norm::Instance { affine: false })), 41_825_667);
    assert_eq!(count(unet(8).with_norm(Norm::None)), 54_404_099);
    assert_eq!(count(GeneratorConfig::new(1, 2)), 54_409_858);
    let resnet = |blocks| GeneratorConfig::new(3, 3).with_backbone(Backbone::Resnet { blocks });
    assert_eq!(count(resnet(9)), 11_383_427);
    assert_eq!(count(resnet(6)), 7_841_411);
    assert_eq!(count(resnet(9).with_norm(Norm::Instance { affine: false })), 11_378_179);
    assert_eq!(count(resnet(6).with_norm(Norm::Instance { affine: false })), 7_837_699);
    // The encoder-decoder of the Lua original has 39 080 963, of which 5 504 are biases that stay zero.
    let encoder_decoder = GeneratorConfig::new(3, 3).with_backbone(Backbone::EncoderDecoder { depth: 8 });
    assert_eq!(count(encoder_decoder), 39_080_963 - 5_504);
}

#[test]
fn discriminators_have_the_published_parameter_counts_and_maps() {
    let table = [
        (0, 1, 256, 9_024, 8_897),
        (1, 16, 126, 139_585, 139_457),
        (2, 34, 62, 666_433, 666_049),
        (3, 70, 30, 2_768_705, 2_767_809),
        (4, 142, 14, 6_964_033, 6_962_625),
        (5, 286, 6, 11_159_361, 11_157_441),
        (6, 574, 2, 15_354_689, 15_352_257),
    ];
    for (layers, field, map, batch, instance) in table {
        let config = DiscriminatorConfig::new(3, 3).with_layers(layers);
        assert_eq!(config.receptive_field(), field);
        assert_eq!(config.patch_map_size([256, 256]), Some([map, map]));
        let device = device::cpu();
        assert_eq!(config.init(&device).parameter_count(), batch);
        let instance_norm = config.clone().with_norm(Norm::Instance { affine: false });
        assert_eq!(instance_norm.init(&device).parameter_count(), instance);
        let thin = config.with_base_channels(2).init(&device);
        let image = || Tensor::zeros([1, 3, 256, 256], &device);
        assert_eq!(thin.forward(image(), image(), Mode::PAPER).dims(), [1, 1, map, map]);
    }
    let unconditional = DiscriminatorConfig::new(3, 3).with_condition(Condition::None);
    assert_eq!(unconditional.init(&device::cpu()).parameter_count(), 2_765_633);
    assert_eq!(DiscriminatorConfig::new(3, 3).patch_map_size([24, 24]), Some([1, 1]));
    assert_eq!(DiscriminatorConfig::new(3, 3).patch_map_size([4, 4]), None);
}

#[test]
fn the_output_of_every_generator_has_the_size_of_the_input() {
    let device = device::cpu();
    let unet = |depth| Backbone::Unet { depth };
    let cases = [
        (unet(8), [1, 3, 256, 256]),
        (unet(7), [1, 3, 128, 256]),
        (unet(6), [2, 3, 64, 192]),
        (unet(2), [2, 3, 4, 8]),
        (Backbone::EncoderDecoder { depth: 5 }, [2, 3, 32, 64]),
        (Backbone::Resnet { blocks: 2 }, [2, 3, 20, 32]),
        (Backbone::Resnet { blocks: 0 }, [1, 3, 16, 16]),
    ];
    for (backbone, shape) in cases {
        for upsample in [UpsampleKind::Transpose, UpsampleKind::NearestConv, UpsampleKind::BilinearConv] {
            let config = GeneratorConfig::new(3, 2).with_base_channels(2);
            let config = config.with_backbone(backbone).with_upsample(upsample);
            let generator = config.init(&device);
            assert_eq!(generator.config(), &config);
            let output = generator.forward(noise(shape, &device), Mode::PAPER);
            assert_eq!(output.dims(), [shape[0], 2, shape[2], shape[3]]);
            assert!(values(output).iter().all(|value| value.abs() <= 1.0));
        }
    }
}

#[test]
fn one_logit_depends_on_exactly_its_patch() {
    let device = device::cpu().autodiff();
    for layers in 0..=5 {
        // No normalisation: through its statistics, every logit would depend on every pixel.
        let config = DiscriminatorConfig::new(1, 1).with_layers(layers).with_base_channels(2);
        let config = config.with_norm(Norm::None).with_condition(Condition::None);
        let field = config.receptive_field();
        let side = 2 * field + 32;
        let image = noise([1, 1, side, side], &device).require_grad();
        let map = config.init(&device).forward(image.clone(), image.clone(), Mode::PAPER);
        let middle = map.dims()[2] / 2;
        let logit = map.slice([0..1, 0..1, middle..middle + 1, middle..middle + 1]);
        let grads = logit.sum().backward();
        let grad = values(image.grad(&grads).unwrap());
        let touched: Vec<usize> = (0..side * side).filter(|&place| grad[place] != 0.0).collect();
        let span = |of: fn(usize, usize) -> usize| {
            let places: Vec<usize> = touched.iter().map(|&place| of(place, side)).collect();
            places.iter().max().unwrap() - places.iter().min().unwrap() + 1
        };
        assert_eq!(span(|place, side| place / side), field, "{layers} layers, height");
        assert_eq!(span(|place, side| place % side), field, "{layers} layers, width");
    }
}

#[test]
fn initial_values_follow_the_paper() {
    let generator = GeneratorConfig::new(3, 3).with_base_channels(32).init_seeded(7, &device::cpu());
    let folder = tempfile::tempdir().unwrap();
    generator.clone().save_file(folder.path().join("generator.bpk")).unwrap();

    struct Check(usize);
    impl burn::module::ModuleVisitor for Check {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            let values: Vec<f32> = param.val().into_data().try_into_vec().unwrap();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let deviation =
                (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt();
            if D == 4 {
                assert!(mean.abs() < 0.002 && (deviation - 0.02).abs() < 0.002, "{mean} {deviation}");
                self.0 += 1;
            } else if deviation > 0.0 {
                // the scale of a norm; the others are zeros (biases, means) or ones (variances)
                assert!((mean - 1.0).abs() < 0.02 && (deviation - 0.02).abs() < 0.01, "{mean} {deviation}");
            } else {
                assert!(mean == 0.0 || mean == 1.0);
            }
        }
    }
    let mut check = Check(0);
    generator.visit(&mut check);
    assert_eq!(check.0, 16);
}

#[test]
fn weights_are_a_function_of_the_seed() {
    let device = device::cpu();
    let output = |seed| {
        let config =
            GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(Backbone::Unet { depth: 4 });
        let input = Tensor::ones([1, 3, 16, 16], &device);
        values(config.init_seeded(seed, &device).forward(input, Mode::IMAGE))
    };
    assert_eq!(output(1), output(1));
    assert_ne!(output(1), output(2));
}

fn thin_unet() -> (Generator, Tensor<4>) {
    let device = device::cpu();
    let config = GeneratorConfig::new(3, 3).with_base_channels(4).with_backbone(Backbone::Unet { depth: 5 });
    (config.init_seeded(3, &device), noise([2, 3, 32, 32], &device))
}

#[test]
fn the_mode_controls_dropout_noise() {
    let (generator, input) = thin_unet();
    let run = |mode: Mode| values(generator.forward(input.clone(), mode));
    assert_ne!(run(Mode::PAPER), run(Mode::PAPER), "Mode::PAPER draws new noise for every pass");
    assert_eq!(run(Mode::PAPER.with_noise(5)), run(Mode::PAPER.with_noise(5)));
    assert_ne!(run(Mode::PAPER.with_noise(5)), run(Mode::PAPER.with_noise(6)));
    assert_eq!(run(Mode::IMAGE), run(Mode::IMAGE));
    assert_eq!(run(Mode::RUNNING), run(Mode::RUNNING));
}

#[test]
fn the_mode_selects_the_statistics() {
    let (generator, input) = thin_unet();
    let mode = |statistics| Mode { statistics, dropout: DropoutMode::Off };
    let run = |input: Tensor<4>, statistics| generator.forward(input, mode(statistics));
    let alone = |index: usize| input.clone().narrow(0, index, 1);

    // With statistics of each image, a batch gives the same outputs as its images one by one.
    let together = values(run(input.clone(), Statistics::Image));
    let one_by_one = [0, 1].map(|index| values(run(alone(index), Statistics::Image))).concat();
    let worst = together.iter().zip(&one_by_one).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
    // For one image, the statistics of the batch and of the image are equal; for two images they differ.
    let [batch, image] = [Statistics::Batch, Statistics::Image].map(|kind| values(run(alone(0), kind)));
    let worst = batch.iter().zip(&image).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-6, "{worst}");
    assert_ne!(values(run(input.clone(), Statistics::Batch)), together);
    assert_ne!(values(run(input.clone(), Statistics::Running)), together);
}

#[test]
fn only_training_updates_running_statistics() {
    let config = GeneratorConfig::new(3, 3).with_base_channels(4).with_backbone(Backbone::Unet { depth: 5 });
    let plain = device::cpu();
    let input = noise([2, 3, 32, 32], &plain);
    let running = |generator: &Generator| values(generator.detached().forward(input.clone(), Mode::RUNNING));
    let at_rest = config.init_seeded(3, &plain);
    let before = running(&at_rest);
    at_rest.forward(input.clone(), Mode::PAPER);
    assert_eq!(running(&at_rest), before, "a pass without gradients does not update them");
    let training = config.init_seeded(3, &plain.clone().autodiff());
    training.forward(input.clone().autodiff(), Mode::PAPER);
    assert_ne!(running(&training), before);
}

#[test]
fn every_setting_of_the_generator_changes_the_output() {
    let device = device::cpu();
    let input = noise([1, 3, 64, 64], &device);
    let base = || GeneratorConfig::new(3, 3).with_base_channels(4).with_backbone(Backbone::Unet { depth: 6 });
    let run = |config: GeneratorConfig| {
        values(config.init_seeded(1, &device).forward(input.clone(), Mode::PAPER.with_noise(1)))
    };
    let reference = run(base());
    assert_eq!(run(base()), reference);
    let changed = [
        base().with_backbone(Backbone::Unet { depth: 5 }),
        base().with_backbone(Backbone::EncoderDecoder { depth: 6 }),
        base().with_backbone(Backbone::Resnet { blocks: 1 }),
        base().with_base_channels(5),
        base().with_norm(Norm::Instance { affine: true }),
        base().with_norm(Norm::None),
        base().with_dropout(0.0),
        base().with_dropout(0.3),
        base().with_dropout_layout(DropoutLayout::Pytorch),
        base().with_upsample(UpsampleKind::NearestConv),
        base().with_upsample(UpsampleKind::BilinearConv),
    ];
    for config in changed {
        assert_ne!(run(config.clone()), reference, "{config:?}");
    }
}

#[test]
fn configurations_out_of_range_are_errors() {
    let device = device::cpu();
    let generator = GeneratorConfig::new(3, 3).with_dropout(1.0).try_init(&device).unwrap_err();
    assert!(generator.to_string().contains("generator.dropout: 1 is not a probability"), "{generator}");
    let generator = GeneratorConfig::new(3, 3).with_backbone(Backbone::Unet { depth: 13 });
    let generator = generator.try_init(&device).unwrap_err().to_string();
    assert!(generator.contains("generator.backbone: depth 13 is out of range; use 2 to 12"), "{generator}");
    let discriminator = DiscriminatorConfig::new(3, 0).try_init(&device).unwrap_err().to_string();
    assert!(discriminator.contains("discriminator.output_channels: 0 is out of range"), "{discriminator}");
}

#[test]
#[should_panic(expected = "height (=40) must be divisible by 32")]
fn a_size_that_is_not_divisible_panics_with_the_rule() {
    let device = device::cpu();
    let config = GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(Backbone::Unet { depth: 5 });
    config.init(&device).forward(Tensor::zeros([1, 3, 40, 32], &device), Mode::PAPER);
}

#[test]
#[should_panic(expected = "height (=4) must be divisible by 4 and at least 8")]
fn a_size_below_the_minimum_of_a_resnet_panics_with_the_rule() {
    let device = device::cpu();
    let config =
        GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(Backbone::Resnet { blocks: 1 });
    config.init(&device).forward(Tensor::zeros([1, 3, 4, 8], &device), Mode::PAPER);
}

#[test]
#[should_panic(expected = "axis 1 expected 3, got 1")]
fn wrong_channels_panic_with_both_numbers() {
    let device = device::cpu();
    let config = GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(Backbone::Unet { depth: 5 });
    config.init(&device).forward(Tensor::zeros([1, 1, 32, 32], &device), Mode::PAPER);
}

/// Returns two small networks with base channels that no preset has.
fn narrow_networks(device: &Device) -> (Generator, Discriminator) {
    let unet = Backbone::Unet { depth: 5 };
    let generator = GeneratorConfig::new(3, 1).with_base_channels(3).with_backbone(unet);
    let discriminator = DiscriminatorConfig::new(3, 1).with_base_channels(2).with_layers(2);
    (generator.init_seeded(1, device), discriminator.init_seeded(2, device))
}

fn narrow_data() -> DataConfig {
    DataConfig::new().with_target_channels(1).with_crop_size(32).with_load_size(32)
}

#[test]
fn a_trainer_takes_its_configuration_from_its_networks() {
    let device = device::cpu();
    let folder = tempfile::tempdir().unwrap();
    let (generator, discriminator) = narrow_networks(&device);
    let (loss, training) = (Pix2PixLossConfig::new(), TrainingConfig::new());
    let trainer = Trainer::from_networks(generator, discriminator, loss, narrow_data(), training, &device);
    let mut trainer = trainer.unwrap();
    assert_eq!(trainer.config().generator.base_channels, 3);
    assert_eq!(trainer.config().discriminator.layers, 2);
    trainer.next_epoch();
    let [input, target] = [3, 1].map(|channels| noise([1, channels, 32, 32], &device));
    trainer.step(Batch { input: input.clone(), target });
    trainer.save(folder.path()).unwrap();

    let output = |generator: &Generator| values(generator.forward(input.clone(), Mode::RUNNING));
    let expected = output(&trainer.generator().detached());
    let resumed = Trainer::resume(folder.path(), &device).unwrap();
    assert_eq!(resumed.config(), trainer.config());
    assert!(output(&resumed.generator().detached()) == expected);
    let translator = Translator::load(folder.path(), &device).unwrap();
    assert_eq!(translator.generator().config(), trainer.generator().config());
    assert!(output(translator.generator()) == expected);
}

#[test]
fn networks_that_do_not_fit_together_are_errors() {
    let device = device::cpu();
    let refusal = |discriminator: DiscriminatorConfig, data: DataConfig| {
        let generator = narrow_networks(&device).0;
        let discriminator = discriminator.with_base_channels(2).with_layers(2).init(&device);
        let (loss, training) = (Pix2PixLossConfig::new(), TrainingConfig::new());
        let trainer = Trainer::from_networks(generator, discriminator, loss, data, training, &device);
        trainer.unwrap_err().to_string()
    };
    let message = refusal(DiscriminatorConfig::new(3, 3), narrow_data());
    assert!(message.contains("discriminator.output_channels: 3, but the generator has 1"), "{message}");
    let message = refusal(DiscriminatorConfig::new(3, 1), narrow_data().with_target_channels(3));
    assert!(message.contains("data.target_channels: 3, but the generator has 1"), "{message}");
    let message = refusal(DiscriminatorConfig::new(3, 1), narrow_data().with_crop_size(20));
    assert!(message.contains("data.crop_size: 20 is not divisible by 32"), "{message}");
}

#[test]
fn an_unconditional_discriminator_ignores_the_input() {
    let device = device::cpu();
    let config = DiscriminatorConfig::new(3, 3).with_base_channels(2).with_layers(2);
    let image = noise([1, 3, 32, 32], &device);
    for (condition, expected) in [(Condition::Input, false), (Condition::None, true)] {
        let discriminator = config.clone().with_condition(condition).init(&device);
        let logits = [0, 1].map(|_| {
            let input = noise([1, 3, 32, 32], &device);
            values(discriminator.forward(input, image.clone(), Mode::PAPER))
        });
        assert_eq!(logits[0] == logits[1], expected);
    }
}
