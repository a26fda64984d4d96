//! State dicts of the PyTorch original: names, inferred architectures, round trips, and damaged or hostile files.
#![cfg(all(feature = "flex", feature = "pth"))]

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use pix2pix::pytorch::{self, Import, StateDict};
use pix2pix::{
    Backbone, Condition, DiscriminatorConfig, DropoutLayout, DropoutMode, Error, GeneratorConfig, Mode, Norm,
    Pix2PixLossConfig, Statistics, Tensor, UpsampleKind, device,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns a configuration whose settings that a file does not contain have the original's defaults.
fn original(channels: [usize; 2]) -> GeneratorConfig {
    GeneratorConfig::new(channels[0], channels[1])
        .with_base_channels(2)
        .with_dropout_layout(DropoutLayout::Pytorch)
}

const NORMS: [Norm; 4] =
    [Norm::Batch, Norm::Instance { affine: false }, Norm::Instance { affine: true }, Norm::None];

#[test]
fn every_generator_is_inferred_from_its_names_and_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_G.safetensors");
    let device = device::cpu();
    let mut cases = Vec::new();
    for norm in NORMS {
        for backbone in [
            Backbone::Unet { depth: 2 },
            Backbone::Unet { depth: 3 },
            Backbone::EncoderDecoder { depth: 2 },
            Backbone::Unet { depth: 5 },
            Backbone::Unet { depth: 8 },
            Backbone::EncoderDecoder { depth: 6 },
            Backbone::Resnet { blocks: 6 },
            Backbone::Resnet { blocks: 9 },
        ] {
            cases.push(original([3, 3]).with_backbone(backbone).with_norm(norm));
        }
        let resnet = original([1, 2]).with_backbone(Backbone::Resnet { blocks: 2 }).with_norm(norm);
        cases.push(resnet.with_dropout(0.0));
    }
    cases.push(original([4, 1]).with_upsample(UpsampleKind::NearestConv));
    for config in cases {
        let generator = config.init_seeded(1, &device);
        pytorch::save(&pytorch::generator_state(&generator).unwrap(), &file).unwrap();
        let loaded = Import::open(&file).unwrap().generator(&device).unwrap();
        assert_eq!(loaded.config(), &config);
        let size = config.size_multiple().max(16);
        let input = Tensor::ones([1, config.input_channels, size, size], &device) * 0.5;
        let run = |generator: &pix2pix::Generator| {
            generator.forward(input.clone(), Mode::IMAGE).into_data().try_into_vec::<f32>().unwrap()
        };
        assert!(run(&generator) == run(&loaded), "{config:?}");
    }
}

#[test]
fn every_discriminator_is_inferred_from_its_names_and_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_D.safetensors");
    for norm in NORMS {
        for layers in 0..=6 {
            for condition in [Condition::Input, Condition::None] {
                let config = DiscriminatorConfig::new(3, 3).with_layers(layers).with_norm(norm);
                let config = config.with_base_channels(2).with_condition(condition);
                let discriminator = config.init_seeded(1, &device::cpu());
                let state = pytorch::discriminator_state(&discriminator).unwrap();
                pytorch::save(&state, &file).unwrap();
                let loaded = Import::open(&file).unwrap().discriminator(&device::cpu()).unwrap();
                assert_eq!(loaded.config(), &config);
                assert!(pytorch::discriminator_state(&loaded).unwrap() == state);
            }
        }
    }
}

#[test]
fn states_have_as_many_entries_as_the_originals() {
    let entries = |config: GeneratorConfig| {
        let config = config.with_base_channels(2);
        pytorch::generator_state(&config.init(&device::cpu())).unwrap().len()
    };
    let instance = Norm::Instance { affine: false };
    let unet = |depth| GeneratorConfig::new(3, 3).with_backbone(Backbone::Unet { depth });
    // The originals also have a counter for each batch norm: 13 and 11.
    assert_eq!(entries(unet(8)), 82 - 13);
    assert_eq!(entries(unet(7)), 70 - 11);
    assert_eq!(entries(unet(8).with_norm(instance)), 32);
    assert_eq!(entries(unet(7).with_norm(instance)), 28);
    let resnet = GeneratorConfig::new(3, 3).with_backbone(Backbone::Resnet { blocks: 9 });
    assert_eq!(entries(resnet.clone()), 140 - 23);
    assert_eq!(entries(resnet.with_norm(instance)), 48);
    let config = DiscriminatorConfig::new(3, 3);
    assert_eq!(pytorch::discriminator_state(&config.init(&device::cpu())).unwrap().len(), 22 - 3);
    let config = config.with_norm(instance);
    assert_eq!(pytorch::discriminator_state(&config.init(&device::cpu())).unwrap().len(), 10);
}

/// `torch.nn.utils.spectral_norm` keeps the weight before the division as `weight_orig`, and its vectors beside it.
#[test]
fn spectral_normalisation_has_pytorchs_names_and_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spectral.safetensors");
    for (norm, layers) in [(Norm::None, 3), (Norm::Instance { affine: false }, 1), (Norm::None, 0)] {
        let config = DiscriminatorConfig::new(3, 3).with_base_channels(4).with_layers(layers).with_norm(norm);
        let config = config.with_spectral(true);
        let discriminator = config.init(&device::cpu());
        let state = pytorch::discriminator_state(&discriminator).unwrap();
        let model = if layers == 0 { "net" } else { "model" };
        let key = |field: &str| format!("{model}.2.{field}");
        let mut fields: Vec<_> = state.keys().filter(|name| name.starts_with(&key(""))).cloned().collect();
        fields.sort();
        assert_eq!(fields, ["bias", "weight_orig", "weight_u", "weight_v"].map(key));
        let columns = if layers == 0 { 4 } else { 4 * 16 };
        assert_eq!((&state[&key("weight_u")].0, &state[&key("weight_v")].0), (&vec![8], &vec![columns]));
        pytorch::save(&state, &file).unwrap();
        let loaded = Import::open(&file).unwrap().discriminator_as(&config, &device::cpu()).unwrap();
        assert!(pytorch::discriminator_state(&loaded).unwrap() == state);
        // The file does not tell an instance normalisation without scale from none.
        let inferred = Import::open(&file).unwrap().discriminator(&device::cpu()).unwrap();
        assert_eq!(inferred.config(), &config.with_norm(Norm::None));
    }
    let config = DiscriminatorConfig::new(3, 3).with_base_channels(4);
    for (config, expected) in [
        (config.clone().with_scales(2), "discriminator.scales: 2 cannot be exported"),
        (
            config.with_condition(Condition::Projection),
            "discriminator.condition: projection cannot be exported",
        ),
    ] {
        let discriminator = config.init(&device::cpu());
        let errors = [
            pytorch::discriminator_state(&discriminator).map(drop),
            pytorch::save_discriminator(&discriminator, &file),
        ];
        for error in errors {
            let message = error.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}

/// A PatchGAN with `torch.nn.utils.spectral_norm`: its logits and features, the distance of features, and the logits and
/// gradients after the power iteration of one training step.
#[test]
fn spectral_normalisation_and_its_gradients_equal_pytorchs() {
    let file = golden("spectral.safetensors");
    let expected = pytorch::read(&file).unwrap();
    let discriminator = Import::open(&file).unwrap().discriminator(&device::cpu()).unwrap();
    let config = discriminator.config();
    assert_eq!((config.layers, config.norm, config.spectral), (1, Norm::None, true));
    let half = |name: &str, start: usize| {
        let (shape, values) = &expected[name];
        let shape: [usize; 4] = shape.as_slice().try_into().unwrap();
        let pair = Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape);
        pair.narrow(1, start, 3)
    };
    let check = |name: &str, found: Vec<f32>| {
        let (_, values) = &expected[name];
        let size = values.iter().map(|value| value.abs()).sum::<f32>() / values.len() as f32;
        assert_eq!(found.len(), values.len(), "{name}");
        for (found, expected) in found.iter().zip(values) {
            assert!((found - expected).abs() < 1e-5 * size.max(expected.abs()), "{name}: {found} {expected}");
        }
    };
    let values = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f32>().unwrap();

    let see = |name: &str| discriminator.forward_features(half(name, 0), half(name, 3), Mode::PAPER);
    let (real, fake) = (see("pair"), see("other"));
    check("logits", values(real.scales[0].logits.clone()));
    check("features.0", values(real.scales[0].features[0].clone()));
    check("features.1", values(real.scales[0].features[1].clone()));
    let loss = Pix2PixLossConfig::new().with_feature_weight(1.0).init();
    check("feature_matching", vec![loss.feature_matching(&real, &fake).into_scalar::<f32>()]);

    let discriminator = discriminator.fork(&device::cpu().autodiff()).train().set_require_grad(true);
    discriminator.power_iteration();
    let [input, image] = [0, 3].map(|start| half("pair", start).autodiff().require_grad());
    let logits = discriminator.forward(input.clone(), image.clone(), Mode::PAPER);
    check("next.logits", values(logits.clone().inner()));
    let grads = logits.square().sum().backward();
    let gradient = Tensor::cat(vec![input.grad(&grads).unwrap(), image.grad(&grads).unwrap()], 1);
    check("next.gradient", values(gradient));
    let gradients = GradientsParams::from_grads(grads, &discriminator);
    let mut found = Gradients { gradients, by_shape: vec![] };
    discriminator.visit(&mut found);
    for place in [0, 2, 5] {
        let name = format!("next.weight_gradient.{place}");
        let shape = &expected[&name].0;
        let (_, gradient) = found.by_shape.iter().find(|(found, _)| found == shape).unwrap();
        check(&name, gradient.clone());
    }
}

/// Collects the gradients of a module's parameters.
struct Gradients {
    gradients: GradientsParams,
    by_shape: Vec<(Vec<usize>, Vec<f32>)>,
}

impl ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let shape = gradient.dims().to_vec();
            self.by_shape.push((shape, gradient.into_data().try_to_vec().unwrap()));
        }
    }
}

#[test]
fn zip_and_legacy_pickles_are_read() {
    let expected = pytorch::read(golden("encoder_decoder.safetensors")).unwrap();
    let expected: StateDict = expected
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("state_d.")?.to_owned(), value.clone())))
        .collect();
    for name in ["pixel.pth", "pixel_2018.pth"] {
        assert!(pytorch::read(golden(name)).unwrap() == expected, "{name}");
        let loaded = Import::open(golden(name)).unwrap().discriminator(&device::cpu()).unwrap();
        assert_eq!((loaded.config().layers, loaded.config().norm), (0, Norm::Batch));
    }
}

#[test]
fn running_statistics_of_old_instance_norms_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.safetensors");
    let config = original([3, 3]).with_norm(Norm::Instance { affine: false });
    let generator = config.init(&device::cpu());
    let mut state = pytorch::generator_state(&generator).unwrap();
    for statistic in ["running_mean", "running_var"] {
        state.insert(format!("model.model.1.model.2.{statistic}"), (vec![4], vec![0.0; 4]));
    }
    pytorch::save(&state, &file).unwrap();
    assert_eq!(Import::open(&file).unwrap().generator(&device::cpu()).unwrap().config(), &config);
}

#[test]
fn the_error_lists_all_parameters_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.safetensors");
    let config = original([3, 3]);
    let mut state = pytorch::generator_state(&config.init(&device::cpu())).unwrap();
    state.remove("model.model.3.bias");
    state.insert("extra.weight".into(), (vec![1], vec![0.0]));
    state.insert("model.model.1.model.2.weight".into(), (vec![7], vec![0.0; 7]));
    pytorch::save(&state, &file).unwrap();
    let error = Import::open(&file).unwrap().generator(&device::cpu()).unwrap_err();
    let Error::Weights { missing, unexpected, mismatched, .. } = &error else { panic!("{error:?}") };
    assert_eq!((missing.len(), unexpected.len(), mismatched.len()), (1, 1, 1));
    let message = error.to_string();
    for part in
        ["wrong.safetensors", "missing: model.model.3.bias", "unexpected: extra.weight", "[4], file [7]"]
    {
        assert!(message.contains(part), "{message}");
    }
}

/// Returns the parameters that the error for a changed state dict lists as missing, unexpected and of another shape.
fn listed(
    state: &StateDict,
    load: impl Fn(&Path) -> pix2pix::Result<()>,
    change: impl Fn(&mut StateDict),
) -> [Vec<String>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changed.safetensors");
    let mut state = state.clone();
    change(&mut state);
    pytorch::save(&state, &file).unwrap();
    match load(&file).unwrap_err() {
        Error::Weights { missing, unexpected, mismatched, .. } => {
            [missing, unexpected, mismatched.into_iter().map(|mismatch| mismatch.name).collect()]
        }
        other => panic!("{other}"),
    }
}

/// Renames, removes and reshapes every parameter in turn, and checks that the error names that parameter alone.
fn one_change_is_named(state: &StateDict, load: impl Fn(&Path) -> pix2pix::Result<()>) {
    for key in state.keys() {
        let found = listed(state, &load, |state| {
            let value = state.remove(key).unwrap();
            state.insert(format!("{key}_renamed"), value);
        });
        assert_eq!(found, [vec![key.clone()], vec![format!("{key}_renamed")], vec![]]);
        let found = listed(state, &load, |state| drop(state.remove(key)));
        assert_eq!(found, [vec![key.clone()], vec![], vec![]]);
        let [missing, unexpected, mismatched] = listed(state, &load, |state| {
            state.insert(key.clone(), (vec![1, 11], vec![0.0; 11]));
        });
        assert!(missing.is_empty() && unexpected.is_empty(), "{key}: {missing:?} {unexpected:?}");
        assert_eq!(mismatched, [key.as_str()]);
    }
}

#[test]
fn one_wrong_parameter_of_a_generator_is_named() {
    for norm in NORMS {
        let resnet = original([2, 1]).with_backbone(Backbone::Resnet { blocks: 2 }).with_norm(norm);
        for config in [
            original([3, 2]).with_backbone(Backbone::Unet { depth: 4 }).with_norm(norm),
            original([3, 2]).with_backbone(Backbone::EncoderDecoder { depth: 3 }).with_norm(norm),
            resnet.clone(),
            resnet.with_dropout(0.0),
        ] {
            let state = pytorch::generator_state(&config.init(&device::cpu())).unwrap();
            one_change_is_named(&state, |file| {
                Import::open(file)
                    .and_then(|file| file.generator(&device::cpu()))
                    .map(|found| panic!("{:?}", found.config()))
            });
        }
    }
}

#[test]
fn one_wrong_parameter_of_a_discriminator_is_named() {
    for norm in NORMS {
        // With a single norm, its two parameters are too few to tell which of them is wrong.
        let affine = norm == Norm::Instance { affine: true };
        for layers in if affine { vec![2, 3] } else { vec![0, 2, 3] } {
            let config = DiscriminatorConfig::new(3, 3).with_layers(layers).with_norm(norm);
            let config = config.with_base_channels(2);
            let state = pytorch::discriminator_state(&config.init(&device::cpu())).unwrap();
            one_change_is_named(&state, |file| {
                Import::open(file)
                    .and_then(|file| file.discriminator(&device::cpu()))
                    .map(|found| panic!("{:?}", found.config()))
            });
        }
    }
}

#[test]
fn an_unknown_network_is_compared_with_the_default() {
    let fc = |folder: &Path| {
        let file = folder.join("classifier.safetensors");
        let state = StateDict::from([("fc.weight".to_owned(), (vec![2, 2], vec![0.0; 4]))]);
        pytorch::save(&state, &file).unwrap();
        file
    };
    let folder = tempfile::tempdir().unwrap();
    let error = Import::open(fc(folder.path())).unwrap().generator(&device::cpu()).unwrap_err();
    let Error::Weights { missing, unexpected, .. } = &error else { panic!("{error}") };
    assert!(missing.contains(&"model.model.0.weight".to_owned()), "{missing:?}");
    assert_eq!(unexpected, &["fc.weight"]);
    let classifier = StateDict::from([("fc.weight".to_owned(), (vec![2, 2], vec![0.0; 4]))]);
    let [missing, unexpected, _] = listed(
        &classifier,
        |file| Import::open(file).and_then(|file| file.discriminator(&device::cpu())).map(drop),
        |state| assert_eq!(state.len(), 1),
    );
    assert!(missing.contains(&"model.0.weight".to_owned()), "{missing:?}");
    assert_eq!(unexpected, ["fc.weight"]);
}

#[test]
fn a_network_of_the_other_kind_is_named() {
    let error = Import::open(golden("pixel.pth")).unwrap().generator(&device::cpu()).unwrap_err().to_string();
    assert!(error.contains("it holds a discriminator and no generator"), "{error}");
    let error =
        Import::open(golden("resnet_dropout.pth")).unwrap().discriminator(&device::cpu()).unwrap_err();
    assert!(error.to_string().contains("it holds a generator and no discriminator"), "{error}");
}

#[test]
fn networks_are_found_under_any_name_and_chosen_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.safetensors");
    let device = device::cpu();
    let (unet, resnet) = (Backbone::Unet { depth: 3 }, Backbone::Resnet { blocks: 1 });
    let [unet, resnet] = [unet, resnet].map(|backbone| original([3, 3]).with_backbone(backbone));
    let discriminator = DiscriminatorConfig::new(3, 3).with_base_channels(2);
    let [of_unet, of_resnet] =
        [&unet, &resnet].map(|config| pytorch::generator_state(&config.init_seeded(1, &device)).unwrap());
    let of_discriminator = pytorch::discriminator_state(&discriminator.init(&device)).unwrap();
    let write = |parts: &[(&str, &StateDict)]| {
        let tensors = parts.iter().flat_map(|(prefix, state)| {
            state.iter().map(move |(name, value)| (format!("{prefix}{name}"), value.clone()))
        });
        let other = ("optimizer.state.0.exp_avg".to_owned(), (vec![1], vec![0.0]));
        pytorch::save(&tensors.chain([other]).collect(), &file).unwrap();
    };
    for prefix in ["state_dict.", "netG.", "params_ema.module.", "generator._orig_mod.", "model.", "ema.0."] {
        write(&[(prefix, &of_unet), ("netD.", &of_discriminator)]);
        let loaded = Import::open(&file).unwrap().generator(&device).unwrap();
        assert!(pytorch::generator_state(&loaded).unwrap() == of_unet, "{prefix}");
        let loaded = Import::open(&file).unwrap().discriminator_for(&unet, &device).unwrap();
        assert!(pytorch::discriminator_state(&loaded).unwrap() == of_discriminator, "{prefix}");
    }
    write(&[("params.", &of_unet), ("params_ema.", &of_resnet)]);
    let error = Import::open(&file).unwrap().generator(&device).unwrap_err().to_string();
    assert!(
        error.contains("2 generators; choose one with `pix2pix import --key NAME`: `params`, `params_ema`"),
        "{error}"
    );
    for (key, expected) in [("params", &of_unet), ("params_ema", &of_resnet)] {
        let loaded = Import::open(&file).unwrap().with_key(key).generator(&device).unwrap();
        assert!(pytorch::generator_state(&loaded).unwrap() == *expected, "{key}");
    }
    let error = Import::open(&file).unwrap().with_key("netG").generator(&device).unwrap_err().to_string();
    assert!(error.contains("`netG` is the name of 0 generators in it; the names are `params`"), "{error}");
}

#[test]
fn discriminator_for_takes_the_channels_of_the_generator() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_D.safetensors");
    for [input, output] in [[1, 2], [3, 1], [1, 3], [3, 3]] {
        for condition in [Condition::Input, Condition::None] {
            let config = DiscriminatorConfig::new(input, output).with_base_channels(2);
            let config = config.with_condition(condition);
            let state = pytorch::discriminator_state(&config.init(&device::cpu())).unwrap();
            pytorch::save(&state, &file).unwrap();
            let generator = original([input, output]);
            let loaded = Import::open(&file).unwrap().discriminator_for(&generator, &device::cpu()).unwrap();
            assert_eq!(loaded.config(), &config);
            let other = original([input + 5, output]);
            let error = Import::open(&file).unwrap().discriminator_for(&other, &device::cpu()).map(drop);
            match error {
                Err(Error::Weights { mismatched, .. }) => assert_eq!(mismatched[0].name, "model.0.weight"),
                // Without a condition, its channels do not matter.
                other => assert!(other.is_ok() && condition == Condition::None, "{other:?}"),
            }
        }
    }
}

#[test]
fn block_names_of_derived_projects_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("G_A2B.safetensors");
    let device = device::cpu();
    for norm in NORMS {
        for dropout in [0.0, 0.5] {
            let config = original([3, 3]).with_norm(norm);
            let config = config.with_backbone(Backbone::Resnet { blocks: 3 }).with_dropout(dropout);
            let state = pytorch::generator_state(&config.init(&device)).unwrap();
            let renamed =
                state.iter().map(|(key, value)| (key.replace("conv_block", "block"), value.clone()));
            let renamed: StateDict = renamed.collect();
            assert!(renamed.contains_key("model.12.block.1.weight"), "{:?}", renamed.keys());
            for file_state in [&state, &renamed] {
                pytorch::save(file_state, &file).unwrap();
                let loaded = Import::open(&file).unwrap().generator(&device).unwrap();
                assert_eq!(loaded.config(), &config);
                assert!(pytorch::generator_state(&loaded).unwrap() == state);
                // A configuration with or without dropout reads a file with or without dropout layers.
                for probability in [0.0, 0.3] {
                    let given = config.clone().with_dropout(probability);
                    let loaded = Import::open(&file).unwrap().generator_as(&given, &device).unwrap();
                    assert_eq!(loaded.config(), &given);
                    // The export has the names that the original gives to a network with this dropout.
                    let exported = pytorch::generator_state(&loaded).unwrap();
                    assert!(exported.values().eq(state.values()), "{given:?}");
                    assert_eq!(exported == state, (probability > 0.0) == (dropout > 0.0));
                }
            }
        }
    }
}

#[test]
fn a_configuration_out_of_range_is_an_error() {
    let file = || Import::open(golden("pixel.pth")).unwrap();
    let error = file().generator_as(&original([0, 3]), &device::cpu()).unwrap_err();
    assert!(error.to_string().starts_with("generator.input_channels: 0"), "{error}");
    let config = DiscriminatorConfig::new(3, 3).with_base_channels(1 << 40);
    let error = file().discriminator_as(&config, &device::cpu()).unwrap_err();
    assert!(error.to_string().starts_with("discriminator.base_channels: 1099511627776"), "{error}");
}

#[test]
fn damaged_and_hostile_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.pth");
    let refused = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let error = pytorch::read(&file).unwrap_err();
        assert!(
            matches!(error, Error::Checkpoint { .. }) && error.to_string().contains("net.pth"),
            "{error:?}"
        );
    };
    for name in ["pixel.pth", "pixel_2018.pth"] {
        let bytes = std::fs::read(golden(name)).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            refused(&bytes[..length]);
        }
        // A file with one wrong byte gives an error or a state dict, not a panic.
        for place in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x55;
            std::fs::write(&file, bytes).unwrap();
            let _ = pytorch::read(&file);
        }
    }
    // Pickles that would run a command, in protocols 0 and 2.
    let witness = folder.path().join("witness");
    let command = format!("touch {}", witness.display());
    refused(format!("cos\nsystem\n(S'{command}'\ntR.").as_bytes());
    refused(
        &[
            b"\x80\x02cposix\nsystem\nX",
            &(command.len() as u32).to_le_bytes()[..],
            command.as_bytes(),
            b"\x85R.",
        ]
        .concat(),
    );
    assert!(!witness.exists());
    // Lengths greater than that of the file.
    refused(b"\x80\x02X\xff\xff\xff\x7f");
    refused(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    refused(b"PK\x03\x04 and nothing else");
}

/// Returns a damaged copy of a file: flipped bits, extreme bytes, a truncated end, removed and inserted bytes.
fn mutated(seed: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let place = rng.random_range(0..bytes.len().max(1));
        let run = rng.random_range(1..16).min(bytes.len() - place.min(bytes.len()));
        match rng.random_range(0..5) {
            _ if bytes.is_empty() => break,
            0 => bytes[place] ^= 1 << rng.random_range(0..8),
            1 => bytes[place] = [0, 0x7f, 0x80, 0xff][rng.random_range(0..4)],
            2 => bytes.truncate(bytes.len() - run),
            3 => drop(bytes.drain(place..place + run)),
            // Inserts a part of the file itself, which a parser is likely to accept.
            _ => drop(bytes.splice(place..place, seed[seed.len() / 2..][..run].to_vec())),
        }
    }
    bytes
}

/// Set `PIX2PIX_MUTATIONS=10000` for a longer test.
#[test]
fn mutated_pickles_give_an_error_or_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.pth");
    let seeds = ["pixel.pth", "pixel_2018.pth", "resnet_dropout.pth"];
    let seeds = seeds.map(|name| std::fs::read(golden(name)).unwrap());
    let count = std::env::var("PIX2PIX_MUTATIONS").map_or(400, |count| count.parse().expect("a number"));
    let (mut networks, mut errors) = (0, 0);
    for number in 0..count {
        let mut rng = StdRng::seed_from_u64(number);
        std::fs::write(&file, mutated(&seeds[number as usize % seeds.len()], &mut rng)).unwrap();
        let device = device::cpu();
        let generator = Import::open(&file).and_then(|file| file.generator(&device)).map(drop);
        for result in [generator, Import::open(&file).and_then(|file| file.discriminator(&device)).map(drop)]
        {
            match result {
                Ok(()) => networks += 1,
                Err(error @ (Error::Checkpoint { .. } | Error::Weights { .. })) => {
                    assert!(error.to_string().len() < 4000, "mutation {number}: {error}");
                    errors += 1;
                }
                Err(other) => panic!("mutation {number}: {other}"),
            }
        }
    }
    assert!(networks > 0 && errors > 0, "{networks} networks and {errors} errors: there must be both");
}

/// Compares this crate's outputs with those of PyTorch, in eval and in train mode. `tests/golden/roundtrip.py` writes
/// the files and runs this test.
#[test]
#[ignore = "needs PyTorch: python tests/golden/roundtrip.py"]
fn networks_saved_by_pytorch_compute_the_same_as_pytorch() {
    let root =
        std::env::var_os("PIX2PIX_ROUNDTRIP").expect("PIX2PIX_ROUNDTRIP: the folder that roundtrip.py made");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 12, "{folders:?}");
    let device = device::cpu();
    for folder in folders {
        let expected = pytorch::read(folder.join("expected.safetensors")).unwrap();
        let image = |name: &str| {
            let (shape, values) = &expected[name];
            let shape: [usize; 4] = shape.as_slice().try_into().unwrap();
            Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape)
        };
        let generator = Import::open(folder.join("latest_net_G.pth")).unwrap().generator(&device).unwrap();
        let discriminator = folder.join("latest_net_D.pth");
        let discriminator =
            Import::open(&discriminator).unwrap().discriminator_for(generator.config(), &device).unwrap();
        let train = Mode { statistics: Statistics::Batch, dropout: DropoutMode::Off };
        let mut report = Vec::new();
        for (name, mode) in [("eval", Mode::RUNNING), ("train", train)] {
            let output = generator.forward(image("input"), mode);
            let logits = discriminator.forward(image("input"), image("image"), mode);
            for (kind, found) in [("generator", output), ("discriminator", logits)] {
                let key = format!("{kind}_{name}");
                assert_eq!(found.dims().as_slice(), expected[&key].0.as_slice());
                let found: Vec<f32> = found.into_data().try_into_vec().unwrap();
                let pairs = found.iter().zip(&expected[&key].1);
                let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst <= 1e-4 && found[0].is_finite(), "{}: {key} {worst:e}", folder.display());
                report.push(format!("{kind} {name} {worst:.1e}"));
            }
        }
        println!("{}: {}", folder.file_name().unwrap().display(), report.join(", "));
    }
}
