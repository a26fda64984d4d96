//! Infers the configuration of a network from the names and shapes of its parameters.
//!
//! Some names and shapes narrow the choice to a few candidates. The candidate with the fewest differences from the file
//! is used. So a file with one missing or unexpected parameter is still recognised, and the error names that parameter.

use burn::tensor::Device;

use super::names::{self, Naming, unet_prefix};
use super::state_dict::{Shapes, is_statistic};
use crate::discriminator::{Condition, DiscriminatorConfig, DiscriminatorKind};
use crate::generator::{Backbone, DropoutLayout, GeneratorConfig};
use crate::layers::{Norm, UpsampleKind};
use crate::weights;

const NORMS: [Norm; 4] =
    [Norm::Batch, Norm::Instance { affine: false }, Norm::Instance { affine: true }, Norm::None];

/// Infers a generator's configuration and the names of its blocks.
///
/// A file without a generator is compared with the original's default, a U-Net.
pub(super) fn generator(state: &Shapes, device: &Device) -> Result<(GeneratorConfig, Naming), String> {
    let places = state.keys().filter_map(|key| block_place(key));
    let blocks = places.max().map(|last| last - 9);
    let candidates = if state.contains_key(DCGAN_FIRST) {
        dcgans(state)
    } else if state.keys().any(|key| key.starts_with("model.model.")) {
        unets(state)
    } else if blocks.is_some() || shape(state, "model.1.weight").is_some() {
        resnets(state, blocks.unwrap_or(0))
    } else {
        vec![(GeneratorConfig::new(3, 3).with_dropout_layout(DropoutLayout::Pytorch), Naming::default())]
    };
    for (config, _) in &candidates {
        config.validate().map_err(|error| error.to_string())?;
    }
    closest(candidates, |(config, naming)| generator_differences(state, config, *naming, device))
}

/// Infers the names of the blocks of a generator with a known configuration.
pub(super) fn naming(state: &Shapes, config: &GeneratorConfig, device: &Device) -> Result<Naming, String> {
    let namings = match config.backbone {
        Backbone::Resnet { .. } => Naming::all(),
        _ => vec![Naming::default()],
    };
    closest(namings, |naming| generator_differences(state, config, *naming, device))
}

/// Infers a discriminator's configuration; `channels` are those of input and image, if known.
pub(super) fn discriminator(
    state: &Shapes,
    channels: Option<[usize; 2]>,
    device: &Device,
) -> Result<DiscriminatorConfig, String> {
    if state.contains_key(DCGAN_FIRST) {
        return dcgan_discriminator(state, channels, device);
    }
    let is_pixel = state.keys().any(|key| key.starts_with("net."));
    let is_spectral = state.keys().any(|key| key.ends_with(".weight_orig"));
    let weight = if is_spectral { "weight_orig" } else { "weight" };
    let model = if is_pixel { "net" } else { "model" };
    let [first, second] = [0, 2].map(|place| format!("{model}.{place}.{weight}"));
    let layers = if is_pixel { vec![0] } else { patch_layers(state) };
    // An instance normalisation without scale leaves no trace beside biases, which spectral normalisation has anyway.
    let norms = if is_spectral { vec![Norm::None] } else { NORMS.to_vec() };
    let seen = shape(state, &first).map_or(6, |[_, seen, ..]| seen);
    let channels = match channels {
        Some([input, output]) => vec![(input, output, Condition::Input), (input, output, Condition::None)],
        None if seen.is_multiple_of(2) => vec![(seen / 2, seen / 2, Condition::Input)],
        None => vec![(seen, seen, Condition::None)],
    };
    let mut candidates = Vec::new();
    for layers in layers {
        for base in bases(state, &first, &second) {
            for (input, output, condition) in &channels {
                candidates.extend(norms.iter().map(|norm| {
                    DiscriminatorConfig::new(*input, *output)
                        .with_layers(layers)
                        .with_base_channels(base)
                        .with_norm(*norm)
                        .with_condition(*condition)
                        .with_spectral(is_spectral)
                }));
            }
        }
    }
    for config in &candidates {
        config.validate().map_err(|error| error.to_string())?;
    }
    closest_discriminator(candidates, state, device)
}

/// Returns the first discriminator with the fewest differences.
fn closest_discriminator(
    candidates: Vec<DiscriminatorConfig>,
    state: &Shapes,
    device: &Device,
) -> Result<DiscriminatorConfig, String> {
    closest(candidates, |config| {
        let expected = weights::shapes(&config.init(device));
        let expected = expected.into_iter().map(|(name, shape)| (names::discriminator(config, &name), shape));
        differences(state, expected, config.norm)
    })
}

/// The first parameter of both networks of PyTorch's DCGAN example.
const DCGAN_FIRST: &str = "main.0.weight";

/// Returns the position of the last convolution of a network of PyTorch's DCGAN example.
fn last_of_dcgan(state: &Shapes) -> usize {
    let place = |(key, shape): (&String, &Vec<usize>)| {
        let place = key.strip_prefix("main.")?.strip_suffix(".weight")?.parse().ok()?;
        (shape.len() == 4).then_some(place)
    };
    state.iter().filter_map(place).max().unwrap_or(0)
}

/// Returns DCGAN generators with the noise, the depth, the base channels and the image channels of the file.
fn dcgans(state: &Shapes) -> Vec<(GeneratorConfig, Naming)> {
    let noise = shape(state, DCGAN_FIRST).map_or(100, |[noise, ..]| noise);
    let last = last_of_dcgan(state);
    let [base, output] =
        shape(state, &format!("main.{last}.weight")).map_or([64, 3], |[base, output, ..]| [base, output]);
    // The layers are at 0, 3, 6 and so on; the first makes four pixels, and each other one doubles them.
    let backbone = Backbone::Dcgan { depth: last / 3 + 2, noise };
    let config = GeneratorConfig::new(output, output)
        .with_backbone(backbone)
        .with_base_channels(base)
        .with_dropout_layout(DropoutLayout::Pytorch)
        .with_dropout(0.0);
    NORMS.map(|norm| (config.clone().with_norm(norm), Naming::default())).to_vec()
}

/// Infers the configuration of a discriminator of PyTorch's DCGAN example.
fn dcgan_discriminator(
    state: &Shapes,
    channels: Option<[usize; 2]>,
    device: &Device,
) -> Result<DiscriminatorConfig, String> {
    let [base, seen] = shape(state, DCGAN_FIRST).map_or([64, 3], |[base, seen, ..]| [base, seen]);
    let input = channels.map_or(seen, |[input, _]| input);
    // The convolutions are at 0, 2, 5, 8 and so on; the last one returns the logit.
    let config = DiscriminatorConfig::new(input, seen)
        .with_kind(DiscriminatorKind::Dcgan)
        .with_layers(last_of_dcgan(state).div_ceil(3).max(1))
        .with_base_channels(base)
        .with_condition(Condition::None);
    config.validate().map_err(|error| error.to_string())?;
    closest_discriminator(NORMS.map(|norm| config.clone().with_norm(norm)).to_vec(), state, device)
}

/// Returns all U-Nets and encoder-decoders with the depth, base channels and image channels of the file.
fn unets(state: &Shapes) -> Vec<(GeneratorConfig, Naming)> {
    let [first, last] = ["model.model.0.weight", "model.model.3.weight"];
    let input = shape(state, first).map_or(3, |[_, input, ..]| input);
    // The weight of a transposed convolution is [in, out, 4, 4], that of a convolution after resizing [out, in, 3, 3].
    let output = match shape(state, last) {
        Some([output, _, 3, 3] | [_, output, ..]) => output,
        None => length(state, "model.model.3.bias").unwrap_or(3),
    };
    let depth = state.keys().filter_map(|key| unet_level(key)).max().unwrap_or(2);
    let mut candidates = Vec::new();
    for base in bases(state, first, &format!("{}.model.1.weight", unet_prefix(2))) {
        for backbone in [Backbone::Unet { depth }, Backbone::EncoderDecoder { depth }] {
            for upsample in [UpsampleKind::Transpose, UpsampleKind::NearestConv] {
                candidates.extend(NORMS.map(|norm| {
                    let config = GeneratorConfig::new(input, output)
                        .with_backbone(backbone)
                        .with_base_channels(base)
                        .with_norm(norm)
                        .with_dropout_layout(DropoutLayout::Pytorch)
                        .with_upsample(upsample);
                    (config, Naming::default())
                }));
            }
        }
    }
    with_biases(candidates, state, "model.model.0.bias")
}

/// Adds the candidates with batch normalisation whose convolutions have biases, if the file has running statistics and
/// its first convolution has a bias. They come first, because affine instance norms have all the other parameters, too.
fn with_biases(
    candidates: Vec<(GeneratorConfig, Naming)>,
    state: &Shapes,
    first_bias: &str,
) -> Vec<(GeneratorConfig, Naming)> {
    let may_be = state.contains_key(first_bias) && state.keys().any(|key| is_statistic(key));
    let batch = candidates.iter().filter(|(config, _)| may_be && config.norm == Norm::Batch);
    let mut biased: Vec<_> =
        batch.map(|(config, naming)| (config.clone().with_conv_bias(true), *naming)).collect();
    biased.extend(candidates);
    biased
}

/// Returns all ResNets with the base channels and image channels of the file and this number of blocks.
fn resnets(state: &Shapes, blocks: usize) -> Vec<(GeneratorConfig, Naming)> {
    let input = shape(state, "model.1.weight").map_or(3, |[_, input, ..]| input);
    let last = format!("model.{}", 17 + blocks);
    let output = match shape(state, &format!("{last}.weight")) {
        Some([output, ..]) => output,
        None => length(state, &format!("{last}.bias")).unwrap_or(3),
    };
    let mut candidates = Vec::new();
    for base in bases(state, "model.1.weight", "model.4.weight") {
        for naming in Naming::all() {
            candidates.extend(NORMS.map(|norm| {
                let config = GeneratorConfig::new(input, output)
                    .with_backbone(Backbone::Resnet { blocks })
                    .with_base_channels(base)
                    .with_norm(norm)
                    .with_dropout_layout(DropoutLayout::Pytorch)
                    .with_dropout(if naming.has_dropout() { 0.5 } else { 0.0 });
                (config, naming)
            }));
        }
    }
    with_biases(candidates, state, "model.1.bias")
}

/// Returns the first candidate with the fewest differences.
fn closest<C>(candidates: Vec<C>, differences: impl Fn(&C) -> usize) -> Result<C, String> {
    let mut best = None;
    for candidate in candidates {
        let found = differences(&candidate);
        if found == 0 {
            return Ok(candidate);
        }
        if best.as_ref().is_none_or(|(_, fewest)| found < *fewest) {
            best = Some((candidate, found));
        }
    }
    best.map(|(candidate, _)| candidate)
        .ok_or_else(|| "there is no network to compare the file with".to_owned())
}

fn generator_differences(state: &Shapes, config: &GeneratorConfig, naming: Naming, device: &Device) -> usize {
    let expected = weights::shapes(&config.init(device));
    let expected = expected.into_iter().map(|(name, shape)| (names::generator(config, naming, &name), shape));
    differences(state, expected, config.norm)
}

/// Returns the number of parameters that are missing, unexpected or of another shape.
fn differences(state: &Shapes, expected: impl Iterator<Item = (String, Vec<usize>)>, norm: Norm) -> usize {
    let (mut named, mut fit, mut total) = (0, 0, 0);
    for (key, shape) in expected {
        total += 1;
        if let Some(found) = state.get(&key) {
            named += 1;
            fit += usize::from(*found == shape);
        }
    }
    let counts = |key: &&String| norm == Norm::Batch || !is_statistic(key);
    let present = state.keys().filter(counts).count();
    (total - fit) + present.saturating_sub(named)
}

/// Returns the base channels according to the first two convolutions, which agree unless one of them is damaged.
fn bases(state: &Shapes, first: &str, second: &str) -> Vec<usize> {
    let found = [shape(state, first).map(|[base, ..]| base), shape(state, second).map(|[_, base, ..]| base)];
    let mut bases: Vec<usize> = found.into_iter().flatten().collect();
    bases.dedup();
    if bases.is_empty() { vec![64] } else { bases }
}

/// Returns the level of the U-Net that a key belongs to; 1 is the outermost.
fn unet_level(key: &str) -> Option<usize> {
    let mut rest = key.strip_prefix("model.model.1.")?;
    let mut level = 2;
    while let Some(inner) = rest.strip_prefix("model.3.").filter(|inner| inner.starts_with("model.")) {
        rest = inner;
        level += 1;
    }
    Some(level)
}

/// Returns the position of the residual block that a key belongs to; 10 is the first.
fn block_place(key: &str) -> Option<usize> {
    let (place, rest) = key.strip_prefix("model.")?.split_once('.')?;
    let (name, _) = rest.split_once('.')?;
    let place = place.parse().ok().filter(|place| *place >= 10)?;
    Naming::BLOCKS.contains(&name).then_some(place)
}

/// Returns the possible numbers of layers with stride 2: the last convolution of a PatchGAN is at `2 + 3·layers`, or
/// missing.
fn patch_layers(state: &Shapes) -> Vec<usize> {
    let place = |key: &String| key.strip_prefix("model.")?.split_once('.')?.0.parse::<usize>().ok();
    let last = state.keys().filter_map(place).filter(|place| place % 3 == 2).max();
    let layers = last.map_or(3, |last| (last / 3).max(1));
    if layers < DiscriminatorConfig::MAX_LAYERS { vec![layers, layers + 1] } else { vec![layers] }
}

/// Returns the shape of a convolution's weight.
fn shape(state: &Shapes, key: &str) -> Option<[usize; 4]> {
    state.get(key)?.as_slice().try_into().ok()
}

/// Returns the number of values of a bias.
fn length(state: &Shapes, key: &str) -> Option<usize> {
    state.get(key)?.first().copied()
}
