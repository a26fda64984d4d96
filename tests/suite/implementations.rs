//! Files of other implementations of pix2pix: those whose networks are equal to ours, and those that are refused.
#![cfg(all(feature = "flex", feature = "pth"))]

use std::path::Path;

use pix2pix::pytorch::{self, Import, StateDict};
use pix2pix::{
    Backbone, DropoutLayout, DropoutMode, Error, GeneratorConfig, Mode, Norm, Statistics, Tensor,
    UpsampleKind, device,
};

#[test]
fn networks_with_numbered_layers_compute_like_pytorch() {
    let device = device::cpu();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/numbered.safetensors");
    let expected = pytorch::read(&file).unwrap();
    let image = |name: &str| {
        let (shape, values) = &expected[name];
        let shape: [usize; 4] = shape.as_slice().try_into().unwrap();
        Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape)
    };
    let generator = Import::open(&file).unwrap().generator(&device).unwrap();
    let config = generator.config();
    assert_eq!(config.backbone, Backbone::Unet { depth: 5 });
    assert_eq!((config.norm, config.conv_bias), (Norm::Batch, true));
    assert_eq!(config.dropout_layout, DropoutLayout::Paper);
    assert_eq!((config.input_channels, config.output_channels, config.base_channels), (3, 2, 1));
    let discriminator = Import::open(&file).unwrap().discriminator_for(config, &device).unwrap();
    assert_eq!(discriminator.config().layers, 3);
    let batch = Mode { statistics: Statistics::Batch, dropout: DropoutMode::Off };
    for (name, mode) in [("eval", Mode::RUNNING), ("train", batch)] {
        let output = generator.forward(image("input"), mode);
        let logits = discriminator.forward(image("input"), image("image"), mode);
        for (kind, found) in [("generator", output), ("discriminator", logits)] {
            let (shape, values) = &expected[&format!("{kind}_{name}")];
            assert_eq!(found.dims().as_slice(), shape.as_slice());
            let found: Vec<f32> = found.into_data().try_into_vec().unwrap();
            let worst = found.iter().zip(values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 2e-5 && found[0].is_finite(), "{kind} {name}: {worst:e}");
        }
    }

    // The export has the original's names and order, and is the same network.
    let folder = tempfile::tempdir().unwrap();
    let exported = folder.path().join("latest_net_G.pth");
    pytorch::save_generator(&generator, &exported).unwrap();
    let again = Import::open(&exported).unwrap().generator(&device).unwrap();
    assert!(again.config().conv_bias);
    assert_eq!(
        again.forward(image("input"), batch).into_data().try_into_vec::<f32>().unwrap(),
        generator.forward(image("input"), batch).into_data().try_into_vec::<f32>().unwrap(),
    );
}

#[test]
fn other_networks_are_refused_by_name_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.safetensors");
    let device = device::cpu();
    let tensor = || (vec![4, 2, 4, 4], vec![0.5; 128]);
    for prefix in ["", "state_dict.", "gen.module."] {
        for (names, expected) in [
            (&["initial_down.0.weight", "down1.conv.0.weight"][..], "Aladdin Persson"),
            (&["down1.model.0.weight", "final.2.weight"], "PyTorch-GAN"),
            (&["inc.inconv.1.weight", "down1.down.0.weight"], "mrzhu-cool"),
        ] {
            let state: StateDict = names.iter().map(|name| (format!("{prefix}{name}"), tensor())).collect();
            pytorch::save(&state, &file).unwrap();
            let error = Import::open(&file).unwrap().generator(&device).unwrap_err();
            assert!(matches!(error, Error::Checkpoint { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(expected) && message.contains("unlike"), "{message}");
        }
        let names = ["initial.0.weight", "model.0.conv.0.weight", "model.3.weight"];
        let state: StateDict = names.iter().map(|name| (format!("{prefix}{name}"), tensor())).collect();
        pytorch::save(&state, &file).unwrap();
        let message = Import::open(&file).unwrap().discriminator(&device).unwrap_err().to_string();
        assert!(message.contains("the discriminator of Aladdin Persson"), "{message}");
    }
}

#[test]
fn a_file_that_does_not_tell_the_resizing_takes_it_from_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net_G.pth");
    let device = device::cpu();
    let config = GeneratorConfig::new(3, 3).with_base_channels(2).with_backbone(Backbone::Unet { depth: 3 });
    let save = |upsample| {
        let generator = config.clone().with_upsample(upsample).init_seeded(3, &device);
        pytorch::save_generator(&generator, &file).unwrap();
    };
    save(UpsampleKind::BilinearConv);
    let import = || Import::open(&file).unwrap();
    assert_eq!(import().generator(&device).unwrap().config().upsample, UpsampleKind::NearestConv);
    let bilinear = import().with_upsample(UpsampleKind::BilinearConv).generator(&device).unwrap();
    assert_eq!(bilinear.config().upsample, UpsampleKind::BilinearConv);
    save(UpsampleKind::Transpose);
    let error = import().with_upsample(UpsampleKind::BilinearConv).generator(&device).unwrap_err();
    assert!(error.to_string().contains("bilinear_conv contradicts"), "{error}");
}
