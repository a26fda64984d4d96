//! Maps the names of this crate's parameters to those of the PyTorch original.

use crate::discriminator::{DiscriminatorConfig, DiscriminatorKind};
use crate::generator::{Backbone, GeneratorConfig};

/// The names of a ResNet's blocks, which vary between files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    /// The name of a block's list of layers.
    block: &'static str,
    /// The position of the second convolution in that list: 5, or 6 after a dropout layer.
    second: usize,
}

impl Default for Naming {
    /// Returns the original's names without dropout. For a U-Net there is only one naming.
    fn default() -> Self {
        Self { block: Self::BLOCKS[0], second: Self::SECOND[0] }
    }
}

impl Naming {
    /// The known names of a block's list of layers: the original's, and that of projects derived from it.
    pub(super) const BLOCKS: [&str; 2] = ["conv_block", "block"];
    /// The positions of the second convolution, without and with dropout.
    const SECOND: [usize; 2] = [5, 6];

    /// Returns the original's names.
    pub(super) fn of(config: &GeneratorConfig) -> Self {
        Self { second: Self::SECOND[usize::from(config.dropout > 0.0)], ..Self::default() }
    }

    /// Returns every known naming.
    pub(super) fn all() -> Vec<Self> {
        let namings = Self::BLOCKS.map(|block| Self::SECOND.map(|second| Self { block, second }));
        namings.concat()
    }

    /// Returns whether blocks have a dropout layer.
    pub(super) fn has_dropout(self) -> bool {
        self.second == Self::SECOND[1]
    }
}

/// Returns the key of a generator's parameter with a name such as `network.encoder.2.norm.weight`.
pub(super) fn generator(config: &GeneratorConfig, naming: Naming, name: &str) -> String {
    let name = name.trim_start_matches("network.");
    let key = match config.backbone {
        Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } => unet(depth, name),
        Backbone::Resnet { blocks } => resnet(blocks, naming, name),
        Backbone::Dcgan { .. } => dcgan(name),
    };
    key.unwrap_or_else(|| name.to_owned())
}

/// Returns the key of a discriminator's parameter with a name such as `layers.2.norm.weight`.
pub(super) fn discriminator(config: &DiscriminatorConfig, name: &str) -> String {
    let key = match config.kind {
        DiscriminatorKind::Patch => patch(config.layers, name),
        DiscriminatorKind::Dcgan => patch(config.layers, name).map(|key| key.replacen("model", "main", 1)),
        DiscriminatorKind::AutoEncoder => None, // the original has none
    };
    let key = key.unwrap_or_else(|| name.to_owned());
    if !config.spectral {
        return key;
    }
    // `torch.nn.utils.spectral_norm` keeps the weight before the division, and both vectors beside it.
    let is_weight = name.ends_with(".conv.weight");
    if is_weight { format!("{key}_orig") } else { key.replace(".running_", ".weight_") }
}

/// Returns the prefix of a U-Net's level. The original nests the levels; level 1 is the outermost.
pub(super) fn unet_prefix(level: usize) -> String {
    match level {
        1 => "model".to_owned(),
        _ => format!("model.model.1{}", ".model.3".repeat(level - 2)),
    }
}

/// Returns the key of a U-Net's parameter with a name such as `encoder.2.norm.weight`.
pub(super) fn unet(depth: usize, name: &str) -> Option<String> {
    let (side, rest) = name.split_once('.')?;
    let (index, rest) = rest.split_once('.')?;
    let (layer, field) = rest.split_once('.')?;
    let index: usize = index.parse().ok()?;
    let level = if side == "encoder" { index + 1 } else { depth - index };
    let place = match (side, layer) {
        ("encoder", "conv") => usize::from(level != 1),
        ("encoder", _) => 2,
        (_, "up") if level == 1 || level == depth => 3,
        (_, "up") => 5,
        _ if level == depth => 4,
        _ => 6,
    };
    Some(format!("{}.model.{place}.{field}", unet_prefix(level)))
}

fn resnet(blocks: usize, naming: Naming, name: &str) -> Option<String> {
    let after = 10 + blocks;
    let parts: Vec<&str> = name.split('.').collect();
    let index = |text: &str| text.parse::<usize>().ok();
    Some(match parts.as_slice() {
        ["first", layer, field] => format!("model.{}.{field}", 1 + offset(layer)),
        ["down", i, layer, field] => format!("model.{}.{field}", 4 + 3 * index(i)? + offset(layer)),
        ["up", i, layer, field] => format!("model.{}.{field}", after + 3 * index(i)? + offset(layer)),
        ["last", field] => format!("model.{}.{field}", after + 7),
        ["blocks", i, half, layer, field] => {
            let place = if *half == "first" { 1 } else { naming.second } + offset(layer);
            format!("model.{}.{}.{place}.{field}", 10 + index(i)?, naming.block)
        }
        _ => return None,
    })
}

/// Returns the key in PyTorch's DCGAN example of a generator's parameter with a name such as `decoder.2.norm.weight`.
fn dcgan(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    Some(match parts.as_slice() {
        ["project", field] => format!("main.0.{field}"),
        ["norm", field] => format!("main.1.{field}"),
        ["decoder", index, layer, field] => {
            format!("main.{}.{field}", 3 + 3 * index.parse::<usize>().ok()? + offset(layer))
        }
        _ => return None,
    })
}

/// Returns the key of a PatchGAN's parameter with a name such as `layers.2.norm.weight`.
pub(super) fn patch(layers: usize, name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let ["layers", index, layer, field] = parts.as_slice() else { return None };
    let index: usize = index.parse().ok()?;
    let place = match index {
        0 => 0,
        index => 3 * index - 1,
    };
    let model = if layers == 0 { "net" } else { "model" };
    Some(format!("{model}.{}.{field}", place + offset(layer)))
}

/// Returns the offset of a layer from its convolution: 1 for a norm, which follows it.
fn offset(layer: &str) -> usize {
    usize::from(layer == "norm")
}

/// Returns the names of the counters that PyTorch requires with running statistics, although it does not use them.
pub(super) fn counters<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let norms = names.filter_map(|name| name.strip_suffix("running_mean"));
    norms.map(|norm| format!("{norm}num_batches_tracked")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_unet_have_nested_names() {
        let config = GeneratorConfig::new(3, 3);
        let key = |name: &str| generator(&config, Naming::of(&config), name);
        assert_eq!(key("network.encoder.0.conv.weight"), "model.model.0.weight");
        assert_eq!(key("network.decoder.7.up.bias"), "model.model.3.bias");
        assert_eq!(key("network.encoder.1.norm.running_mean"), "model.model.1.model.2.running_mean");
        assert_eq!(key("network.decoder.6.up.weight"), "model.model.1.model.5.weight");
        assert_eq!(key("network.decoder.5.norm.weight"), "model.model.1.model.3.model.6.weight");
        let inner = format!("model.model.1{}", ".model.3".repeat(6));
        assert_eq!(key("network.encoder.7.conv.weight"), format!("{inner}.model.1.weight"));
        assert_eq!(key("network.decoder.0.up.weight"), format!("{inner}.model.3.weight"));
        assert_eq!(key("network.decoder.0.norm.bias"), format!("{inner}.model.4.bias"));
    }

    #[test]
    fn parameters_of_resnets_and_discriminators_have_numbered_names() {
        let config = GeneratorConfig::new(3, 3).with_backbone(Backbone::Resnet { blocks: 9 });
        for (dropout, second) in [(0.5, 6), (0.0, 5)] {
            let config = config.clone().with_dropout(dropout);
            let key = |name: &str| generator(&config, Naming::of(&config), name);
            assert_eq!(key("network.first.conv.weight"), "model.1.weight");
            assert_eq!(key("network.down.1.norm.bias"), "model.8.bias");
            assert_eq!(key("network.blocks.8.first.norm.weight"), "model.18.conv_block.2.weight");
            let conv = key("network.blocks.0.second.conv.weight");
            assert_eq!(conv, format!("model.10.conv_block.{second}.weight"));
            assert_eq!(key("network.up.0.conv.weight"), "model.19.weight");
            assert_eq!(key("network.up.1.norm.weight"), "model.23.weight");
            assert_eq!(key("network.last.bias"), "model.26.bias");
        }
        let config = GeneratorConfig::new(3, 3).with_backbone(Backbone::Dcgan { depth: 6, noise: 100 });
        let key = |name: &str| generator(&config, Naming::of(&config), name);
        assert_eq!(key("network.project.weight"), "main.0.weight");
        assert_eq!(key("network.norm.running_var"), "main.1.running_var");
        assert_eq!(key("network.decoder.0.up.weight"), "main.3.weight");
        assert_eq!(key("network.decoder.2.norm.bias"), "main.10.bias");
        assert_eq!(key("network.decoder.3.up.weight"), "main.12.weight");
        let dcgan = DiscriminatorConfig::new(3, 3).with_layers(4).with_kind(DiscriminatorKind::Dcgan);
        assert_eq!(discriminator(&dcgan, "layers.4.conv.weight"), "main.11.weight");
        assert_eq!(discriminator(&dcgan, "layers.3.norm.weight"), "main.9.weight");
        let key = |layers, name| discriminator(&DiscriminatorConfig::new(3, 3).with_layers(layers), name);
        assert_eq!(key(3, "layers.0.conv.weight"), "model.0.weight");
        assert_eq!(key(3, "layers.1.norm.weight"), "model.3.weight");
        assert_eq!(key(3, "layers.3.conv.weight"), "model.8.weight");
        assert_eq!(key(3, "layers.4.conv.bias"), "model.11.bias");
        assert_eq!(key(0, "layers.1.norm.weight"), "net.3.weight");
        assert_eq!(key(0, "layers.2.conv.weight"), "net.5.weight");
    }
}
