//! State dicts of the PyTorch original: names, architectures found from shapes, round trips, and files that are not
//! what they claim.
#![cfg(all(feature = "flex", feature = "pytorch"))]

use std::path::{Path, PathBuf};

use pix2pix::pytorch::{self, StateDict};
use pix2pix::{
    Backbone, DiscriminatorConfig, DropoutLayout, Error, GeneratorConfig, Mode, Norm, Tensor, UpsampleKind,
    device,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The original's defaults, which a file does not tell.
fn original(channels: [usize; 2]) -> GeneratorConfig {
    GeneratorConfig::new(channels[0], channels[1])
        .with_base_channels(2)
        .with_dropout_layout(DropoutLayout::Pytorch)
}

const NORMS: [Norm; 4] =
    [Norm::Batch, Norm::Instance { affine: false }, Norm::Instance { affine: true }, Norm::None];

#[test]
fn every_generator_is_found_from_its_names_and_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_G.safetensors");
    let device = device::cpu();
    let mut cases = Vec::new();
    for norm in NORMS {
        for backbone in [
            Backbone::Unet { depth: 5 },
            Backbone::Unet { depth: 8 },
            Backbone::EncoderDecoder { depth: 6 },
            Backbone::Resnet { blocks: 6 },
            Backbone::Resnet { blocks: 9 },
        ] {
            cases.push(original([3, 3]).with_backbone(backbone).with_norm(norm));
        }
        let resnet = original([1, 2]).with_backbone(Backbone::Resnet { blocks: 2 }).with_norm(norm);
        cases.push(resnet.with_dropout(0.0).with_dropout_layout(DropoutLayout::Paper));
    }
    cases.push(original([4, 1]).with_upsample(UpsampleKind::NearestConv));
    for mut config in cases {
        if matches!(config.backbone, Backbone::Resnet { .. }) {
            config.dropout_layout = DropoutLayout::Paper; // means nothing to a ResNet
        }
        let generator = config.init_seeded(1, &device);
        pytorch::save(&pytorch::generator_state(&generator, &config), &file).unwrap();
        let (found, loaded) = pytorch::load_generator(&file, &device).unwrap();
        assert_eq!(found, config);
        let size = config.multiple().max(16);
        let input = Tensor::ones([1, config.input_channels, size, size], &device) * 0.5;
        let run = |generator: &pix2pix::Generator| {
            generator.forward_with(input.clone(), Mode::IMAGE).into_data().try_into_vec::<f32>().unwrap()
        };
        assert!(run(&generator) == run(&loaded), "{config}");
    }
}

#[test]
fn every_discriminator_is_found_from_its_names_and_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_D.safetensors");
    for norm in NORMS {
        for layers in 0..=6 {
            for conditional in [true, false] {
                let config = DiscriminatorConfig::new(3, 3).with_layers(layers).with_norm(norm);
                let config = config.with_base_channels(2).with_conditional(conditional);
                let discriminator = config.init_seeded(1, &device::cpu());
                let state = pytorch::discriminator_state(&discriminator, &config);
                pytorch::save(&state, &file).unwrap();
                let (found, loaded) = pytorch::load_discriminator(&file, &device::cpu()).unwrap();
                assert_eq!(found, config);
                assert!(pytorch::discriminator_state(&loaded, &config) == state);
            }
        }
    }
}

#[test]
fn states_have_as_many_entries_as_the_originals() {
    let entries = |config: GeneratorConfig| {
        let config = config.with_base_channels(2);
        pytorch::generator_state(&config.init(&device::cpu()), &config).len()
    };
    let instance = Norm::Instance { affine: false };
    let unet = |depth| GeneratorConfig::new(3, 3).with_backbone(Backbone::Unet { depth });
    // Less the counters, of which there is one for each batch norm: 13 and 11.
    assert_eq!(entries(unet(8)), 82 - 13);
    assert_eq!(entries(unet(7)), 70 - 11);
    assert_eq!(entries(unet(8).with_norm(instance)), 32);
    assert_eq!(entries(unet(7).with_norm(instance)), 28);
    let resnet = GeneratorConfig::new(3, 3).with_backbone(Backbone::Resnet { blocks: 9 });
    assert_eq!(entries(resnet.clone()), 140 - 23);
    assert_eq!(entries(resnet.with_norm(instance)), 48);
    let config = DiscriminatorConfig::new(3, 3);
    assert_eq!(pytorch::discriminator_state(&config.init(&device::cpu()), &config).len(), 22 - 3);
    let config = config.with_norm(instance);
    assert_eq!(pytorch::discriminator_state(&config.init(&device::cpu()), &config).len(), 10);
}

#[test]
fn pickled_files_are_read_new_and_old() {
    let expected = pytorch::read(golden("encoder_decoder.safetensors")).unwrap();
    let expected: StateDict = expected
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("state_d.")?.to_owned(), value.clone())))
        .collect();
    for name in ["pixel.pth", "pixel_2018.pth"] {
        assert!(pytorch::read(golden(name)).unwrap() == expected, "{name}");
        let (config, _) = pytorch::load_discriminator(golden(name), &device::cpu()).unwrap();
        assert_eq!((config.layers, config.norm), (0, Norm::Batch));
    }
}

#[test]
fn old_instance_norm_statistics_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.safetensors");
    let config = original([3, 3]).with_norm(Norm::Instance { affine: false });
    let generator = config.init(&device::cpu());
    let mut state = pytorch::generator_state(&generator, &config);
    for statistic in ["running_mean", "running_var"] {
        state.insert(format!("model.model.1.model.2.{statistic}"), (vec![4], vec![0.0; 4]));
    }
    pytorch::save(&state, &file).unwrap();
    assert_eq!(pytorch::load_generator(&file, &device::cpu()).unwrap().0, config);
}

#[test]
fn what_does_not_fit_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.safetensors");
    let config = original([3, 3]);
    let mut state = pytorch::generator_state(&config.init(&device::cpu()), &config);
    state.remove("model.model.3.bias");
    state.insert("extra.weight".into(), (vec![1], vec![0.0]));
    state.insert("model.model.1.model.2.weight".into(), (vec![7], vec![0.0; 7]));
    pytorch::save(&state, &file).unwrap();
    let error = pytorch::load_generator(&file, &device::cpu()).unwrap_err();
    let Error::Weights { missing, unexpected, mismatched, .. } = &error else { panic!("{error:?}") };
    assert_eq!((missing.len(), unexpected.len(), mismatched.len()), (1, 1, 1));
    let message = error.to_string();
    for part in
        ["wrong.safetensors", "missing: model.model.3.bias", "unexpected: extra.weight", "[4], file [7]"]
    {
        assert!(message.contains(part), "{message}");
    }
    // A discriminator is no generator.
    let error = pytorch::load_generator(golden("pixel.pth"), &device::cpu()).unwrap_err();
    assert!(
        error.to_string().contains("pixel.pth") && error.to_string().contains("no known network"),
        "{error}"
    );
}

#[test]
fn damaged_and_hostile_files_are_refused() {
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
        // Any single byte may be wrong: an error or a state dict, never a panic.
        for place in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x55;
            std::fs::write(&file, bytes).unwrap();
            let _ = pytorch::read(&file);
        }
    }
    // Pickles that would run a command, in protocols 0 and 2.
    let witness = folder.path().join("pwned");
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
    // Lengths that no file has.
    refused(b"\x80\x02X\xff\xff\xff\x7f");
    refused(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    refused(b"PK\x03\x04 and nothing else");
}
