//! The architecture of a network, found from the names and shapes of its parameters.

use super::StateDict;
use super::names::{Naming, unet_prefix};
use crate::discriminator::DiscriminatorConfig;
use crate::generator::{Backbone, GeneratorConfig};
use crate::layers::{Norm, UpsampleKind};
use crate::unet::DropoutLayout;

/// What a file that is neither network gets to hear.
const UNKNOWN: &str = "no known network: expected the names of a U-Net (`model.model.0.weight` …), a ResNet \
                       (`model.1.weight`, `model.10.conv_block.1.weight` …) or a PatchGAN (`model.0.weight` …)";

/// How a generator is built, and how its blocks are called.
pub(super) fn generator(state: &StateDict) -> Result<(GeneratorConfig, Naming), String> {
    if state.contains_key("model.model.0.weight") { unet(state) } else { resnet(state) }
}

fn unet(state: &StateDict) -> Result<(GeneratorConfig, Naming), String> {
    let [base, input, ..] = shape(state, "model.model.0.weight")?;
    let depth =
        (2..).take_while(|level| state.contains_key(&format!("{}.model.1.weight", unet_prefix(*level))));
    let depth = 1 + depth.count();
    // A transposed convolution is [in, out, 4, 4], one behind a resizing [out, in, 3, 3].
    let (upsample, from, output) = match shape(state, "model.model.3.weight")? {
        [out, from, 3, 3] => (UpsampleKind::NearestConv, from, out),
        [from, out, ..] => (UpsampleKind::Transpose, from, out),
    };
    let backbone = if from == base { Backbone::EncoderDecoder { depth } } else { Backbone::Unet { depth } };
    let norm = norm(state, "model.model.0.bias", "model.model.1.model.2.weight");
    let config = GeneratorConfig::new(input, output)
        .with_backbone(backbone)
        .with_base_channels(base)
        .with_norm(norm)
        .with_dropout_layout(DropoutLayout::Pytorch)
        .with_upsample(upsample);
    config.validate().map_err(|error| error.to_string())?;
    let naming = Naming::of(&config);
    Ok((config, naming))
}

fn resnet(state: &StateDict) -> Result<(GeneratorConfig, Naming), String> {
    let [base, input, ..] = shape(state, "model.1.weight")?;
    let has = |block: usize, name: &str, place: usize| {
        state.contains_key(&format!("model.{}.{name}.{place}.weight", 10 + block))
    };
    let block = Naming::BLOCKS.into_iter().find(|name| has(0, name, 1)).unwrap_or(Naming::BLOCKS[0]);
    let blocks = (0..).take_while(|index| has(*index, block, 1)).count();
    let [output, ..] = shape(state, &format!("model.{}.weight", 17 + blocks))?;
    // The second convolution stands one place further behind a layer of dropout. Place 6 alone tells nothing: without
    // dropout it is a norm, which has one dimension.
    let shifted = state.get(&format!("model.10.{block}.6.weight")).is_some_and(|(shape, _)| shape.len() == 4);
    let norm = norm(state, "model.1.bias", "model.2.weight");
    let config = GeneratorConfig::new(input, output)
        .with_backbone(Backbone::Resnet { blocks })
        .with_base_channels(base)
        .with_norm(norm)
        .with_dropout(if shifted { 0.5 } else { 0.0 });
    config.validate().map_err(|error| error.to_string())?;
    Ok((config, Naming { block, second: if shifted { 6 } else { 5 } }))
}

/// How a discriminator is built.
pub(super) fn discriminator(state: &StateDict) -> Result<DiscriminatorConfig, String> {
    let is_pixel = state.contains_key("net.0.weight");
    let (first, norm) = if is_pixel {
        ("net.0.weight", norm(state, "net.2.bias", "net.3.weight"))
    } else {
        ("model.0.weight", norm(state, "model.2.bias", "model.3.weight"))
    };
    let [base, seen, ..] = shape(state, first)?;
    let convolution = |index: usize| {
        let place = if index == 0 { 0 } else { 3 * index - 1 };
        state.get(&format!("model.{place}.weight")).is_some_and(|(shape, _)| shape.len() == 4)
    };
    // The last two convolutions have stride 1 and halve nothing.
    let layers =
        if is_pixel { 0 } else { (0..).take_while(|index| convolution(*index)).count().saturating_sub(2) };
    let conditional = seen.is_multiple_of(2);
    let channels = if conditional { seen / 2 } else { seen };
    let config = DiscriminatorConfig::new(channels, channels)
        .with_layers(layers)
        .with_base_channels(base)
        .with_norm(norm)
        .with_conditional(conditional);
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

/// The shape of a convolution's weight.
fn shape(state: &StateDict, key: &str) -> Result<[usize; 4], String> {
    let (shape, _) = state.get(key).ok_or(UNKNOWN)?;
    shape.as_slice().try_into().map_err(|_| format!("`{key}` has shape {shape:?}, not that of a convolution"))
}

/// Which normalisation a network has: a bias in a convolution before a norm means instance norm.
fn norm(state: &StateDict, bias: &str, scale: &str) -> Norm {
    // Where there is no norm at all, the same place may hold the next convolution's weight.
    let affine = state.get(scale).is_some_and(|(shape, _)| shape.len() == 1);
    match (state.contains_key(bias), affine) {
        (true, affine) => Norm::Instance { affine },
        (false, true) => Norm::Batch,
        (false, false) => Norm::None,
    }
}
