//! Other implementations of pix2pix: the names of the networks that are equal to one of this crate's, and the
//! differences of those that are not.

use super::names;
use super::state_dict::{Shapes, StateDict};

/// The names of a network's parameters and the order of their channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The PyTorch original's.
    Original,
    /// Numbered layers of a U-Net, as in znxlwm/pytorch-pix2pix: `conv1`, `conv2_bn`, `deconv8`. Skip connections follow
    /// the decoder's channels, where the original has them first.
    NumberedUnet { depth: usize },
    /// Numbered layers of a PatchGAN: `conv1`, `conv2_bn`. Its convolutions have biases before the normalisation, which
    /// removes them.
    NumberedPatch { layers: usize },
}

/// A name in the generators of another implementation, which no other network has.
pub(super) const GENERATORS: [&str; 5] = [
    "initial_down.0.weight",
    "down1.model.0.weight",
    "inc.inconv.1.weight",
    "deconv1.weight",
    "dconv1.weight",
];

/// Two names in the discriminators of another implementation, of which the second may also be the last.
pub(super) const DISCRIMINATORS: [[&str; 2]; 2] =
    [["initial.0.weight", "model.0.conv.0.weight"], ["conv1.weight", "conv2_bn.weight"]];

impl Style {
    /// Returns the style of the network with these names.
    ///
    /// # Errors
    /// The problem, if it is a known network that computes something else than every network here.
    pub(super) fn of(shapes: &Shapes) -> Result<Self, String> {
        if let Some((network, difference)) = different(shapes) {
            return Err(format!(
                "{network}, which cannot be imported: {difference}, unlike the networks of this crate and of the \
                 PyTorch original"
            ));
        }
        let last = |start: &str| {
            let numbers = shapes
                .keys()
                .filter_map(|name| name.strip_prefix(start)?.strip_suffix(".weight")?.parse().ok());
            numbers.max().unwrap_or(0)
        };
        let convolutions: usize = last("conv");
        Ok(match last("deconv") {
            depth @ 2.. if convolutions == depth => Self::NumberedUnet { depth },
            0 if convolutions >= 3 && shapes.contains_key("conv2_bn.weight") => {
                Self::NumberedPatch { layers: convolutions - 2 }
            }
            _ => Self::Original,
        })
    }

    /// Returns the original's name of a parameter.
    pub(super) fn key(self, name: &str) -> String {
        let key = match self {
            Self::Original => None,
            Self::NumberedUnet { depth } => numbered_unet(name).and_then(|own| names::unet(depth, &own)),
            Self::NumberedPatch { layers } => numbered_patch(name).and_then(|own| names::patch(layers, &own)),
        };
        key.unwrap_or_else(|| name.to_owned())
    }

    /// Brings the values under the original's names into its order.
    pub(super) fn adapt(self, state: &mut StateDict) {
        match self {
            Self::Original => {}
            Self::NumberedUnet { depth } => {
                // The innermost decoder block has no skip connection.
                for block in 1..depth {
                    let key = names::unet(depth, &format!("decoder.{block}.up.weight"));
                    if let Some((_, values)) = key.and_then(|key| state.get_mut(&key)) {
                        let half = values.len() / 2;
                        values.rotate_left(half);
                    }
                }
            }
            Self::NumberedPatch { layers } => {
                for layer in 1..=layers {
                    let place = |parameter| names::patch(layers, &format!("layers.{layer}.{parameter}"));
                    if let [Some(bias), Some(mean)] = ["conv.bias", "norm.running_mean"].map(place) {
                        remove_bias(state, &bias, &mean);
                    }
                }
            }
        }
    }

    /// Removes the names of the biases that [`adapt`](Self::adapt) removes.
    pub(super) fn without_removed_biases(self, shapes: &mut Shapes) {
        if let Self::NumberedPatch { layers } = self {
            for layer in 1..=layers {
                if let Some(bias) = names::patch(layers, &format!("layers.{layer}.conv.bias")) {
                    shapes.remove(&bias);
                }
            }
        }
    }
}

/// Removes the bias of a convolution before a batch normalisation, which subtracts the mean and the bias with it.
fn remove_bias(state: &mut StateDict, bias: &str, mean: &str) {
    let is_pair = state.get(bias).zip(state.get(mean)).is_some_and(|(bias, mean)| bias.0 == mean.0);
    if is_pair
        && let Some((_, bias)) = state.remove(bias)
        && let Some((_, mean)) = state.get_mut(mean)
    {
        mean.iter_mut().zip(bias).for_each(|(mean, bias)| *mean -= bias);
    }
}

/// Returns this crate's name, such as `decoder.0.norm.bias`, of `deconv1_bn.bias`.
fn numbered_unet(name: &str) -> Option<String> {
    let (layer, field) = name.split_once('.')?;
    let (convolution, is_norm) = layer.strip_suffix("_bn").map_or((layer, false), |layer| (layer, true));
    let (side, conv, number) = match convolution.strip_prefix("deconv") {
        Some(number) => ("decoder", "up", number),
        None => ("encoder", "conv", convolution.strip_prefix("conv")?),
    };
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    Some(format!("{side}.{index}.{}.{field}", if is_norm { "norm" } else { conv }))
}

/// Returns this crate's name, such as `layers.1.norm.bias`, of `conv2_bn.bias`.
fn numbered_patch(name: &str) -> Option<String> {
    numbered_unet(name)?.strip_prefix("encoder.").map(|rest| format!("layers.{rest}"))
}

/// Returns the name of a network that no configuration can express, and what it computes otherwise.
fn different(shapes: &Shapes) -> Option<(&'static str, &'static str)> {
    let has = |name: &str| shapes.contains_key(name);
    let size = |name: &str| shapes.get(name).filter(|shape| shape.len() == 4).map_or(0, |shape| shape[0]);
    if has("initial_down.0.weight") {
        let difference =
            "its convolutions pad by reflection, and its skip connections begin behind the LeakyReLU";
        Some(("the generator of Aladdin Persson's Machine-Learning-Collection", difference))
    } else if has("initial.0.weight") && has("model.0.conv.0.weight") {
        let difference = "its convolutions pad by reflection";
        Some(("the discriminator of Aladdin Persson's Machine-Learning-Collection", difference))
    } else if has("down1.model.0.weight") {
        let difference = "its skip connections begin behind LeakyReLU and dropout, and its last layer resizes, pads \
                          and convolves";
        Some(("the generator of eriklindernoren/PyTorch-GAN", difference))
    } else if [8, 12].iter().all(|at| size(&format!("model.{at}.weight")) > 0)
        && !shapes.keys().any(|name| name.starts_with("model.11.") || name.starts_with("model.1."))
    {
        let difference = "its last convolution pads only above and to the left, after four halvings";
        Some(("the discriminator of eriklindernoren/PyTorch-GAN", difference))
    } else if has("inc.inconv.1.weight") {
        let difference = "its residual blocks end with a ReLU";
        Some(("the ResNet of mrzhu-cool/pix2pix-pytorch", difference))
    } else if has("dconv1.weight") && has("batch_norm8.weight") {
        let difference = "several of its layers share one batch normalisation";
        Some(("the U-Net of mrzhu-cool/pix2pix-pytorch", difference))
    } else if size("model.13.weight") > size("model.7.weight")
        && size("model.7.weight") > 0
        && has("model.1.weight")
    {
        let difference = "it halves the resolution more than twice";
        Some(("the global generator of NVIDIA/pix2pixHD", difference))
    } else if shapes.keys().any(|name| name.ends_with(".filt")) {
        let difference = "it resizes with a blur filter";
        Some(("the ResNet of taesungp/contrastive-unpaired-translation", difference))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(names: &[&str]) -> Shapes {
        names.iter().map(|name| ((*name).to_owned(), vec![2, 2, 4, 4])).collect()
    }

    #[test]
    fn numbered_layers_have_the_originals_names() {
        let names = ["conv1.weight", "conv2.weight", "conv3.weight", "deconv3.weight"];
        let style = Style::of(&shapes(&names)).unwrap();
        assert_eq!(style, Style::NumberedUnet { depth: 3 });
        for (name, expected) in [
            ("conv1.bias", "model.model.0.bias"),
            ("conv2_bn.running_mean", "model.model.1.model.2.running_mean"),
            ("conv3.weight", "model.model.1.model.3.model.1.weight"),
            ("deconv1.weight", "model.model.1.model.3.model.3.weight"),
            ("deconv1_bn.weight", "model.model.1.model.3.model.4.weight"),
            ("deconv2_bn.bias", "model.model.1.model.6.bias"),
            ("deconv3.weight", "model.model.3.weight"),
            ("other.weight", "other.weight"),
        ] {
            assert_eq!(style.key(name), expected);
        }
        let style = Style::of(&shapes(&["conv1.weight", "conv2_bn.weight", "conv5.weight"])).unwrap();
        assert_eq!(style, Style::NumberedPatch { layers: 3 });
        assert_eq!(style.key("conv4_bn.weight"), "model.9.weight");
        assert_eq!(style.key("conv5.bias"), "model.11.bias");
    }

    #[test]
    fn networks_that_compute_something_else_are_named() {
        for (names, expected) in [
            (&["initial_down.0.weight", "down1.conv.0.weight"][..], "Aladdin Persson"),
            (&["initial.0.weight", "model.0.conv.0.weight"], "Aladdin Persson"),
            (&["down1.model.0.weight", "final.2.weight"], "PyTorch-GAN"),
            (&["model.0.weight", "model.8.weight", "model.12.weight"], "PyTorch-GAN"),
            (&["inc.inconv.1.weight"], "end with a ReLU"),
            (&["conv1.weight", "dconv1.weight", "batch_norm8.weight"], "share one batch normalisation"),
            (&["model.1.weight", "model.7.filt"], "blur filter"),
        ] {
            let problem = Style::of(&shapes(names)).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("cannot be imported"), "{problem}");
        }
        let mut hd = shapes(&["model.1.weight", "model.7.weight", "model.13.weight"]);
        assert_eq!(Style::of(&hd), Ok(Style::Original), "a ResNet without blocks");
        hd.insert("model.13.weight".to_owned(), vec![16, 8, 3, 3]);
        assert!(Style::of(&hd).unwrap_err().contains("pix2pixHD"));
    }
}
