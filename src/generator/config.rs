//! The configuration of a generator: [`GeneratorConfig`] and its enums.

use std::fmt;
use std::str::FromStr;

use derive_setters::Setters;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layers::{MAX_CHANNELS, Norm, UpsampleKind};
use crate::names::named;

/// The largest number of residual blocks. It bounds the memory that a damaged file can ask for.
const MAX_BLOCKS: usize = 1000;

/// The allowed depths of a U-Net.
const DEPTHS: std::ops::RangeInclusive<usize> = 2..=MAX_DEPTH;

/// The allowed depths of a DCGAN: its first map has 4 pixels, and its last layer doubles them.
const DCGAN_DEPTHS: std::ops::RangeInclusive<usize> = 3..=MAX_DEPTH;

/// The largest depth of a U-Net.
pub(crate) const MAX_DEPTH: usize = 12;

/// The number of downsampling layers of a ResNet, and of upsampling layers.
pub(crate) const RESNET_STEPS: usize = 2;

/// The architecture of a generator.
///
/// As text it is `unet:8`, `encoder_decoder:8`, `resnet:9` or `dcgan:6`. The number may be left out: `unet` has depth 8,
/// `resnet` has 9 blocks, `dcgan` has depth 6. `dcgan:6:128` has 128 values of noise instead of 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backbone {
    /// An encoder and a decoder with skip connections between layers of equal size; the paper's choice.
    Unet {
        /// The number of downsampling layers: 8 for 256 pixels, 7 for 128, 6 for 64.
        depth: usize,
    },
    /// An encoder and a decoder without skip connections, the paper's baseline.
    EncoderDecoder {
        /// The number of downsampling layers: 8 for 256 pixels, 7 for 128, 6 for 64.
        depth: usize,
    },
    /// Residual blocks at a quarter of the resolution, the alternative of the PyTorch original.
    Resnet {
        /// The number of residual blocks: 9 or 6 in the original.
        blocks: usize,
    },
    /// A decoder that makes images of noise, without an input image: the generator of DCGAN (Radford et al. 2015), as in
    /// PyTorch's example. It needs a discriminator without a condition, and no L1.
    Dcgan {
        /// The binary logarithm of the side of an image: 6 for 64 pixels, the example's.
        depth: usize,
        /// The number of values of the noise.
        #[serde(default = "default_noise")]
        noise: usize,
    },
}

/// The values of DCGAN's noise.
const NOISE: usize = 100;

fn default_noise() -> usize {
    NOISE
}

impl Default for Backbone {
    /// Returns the U-Net for 256 pixels.
    fn default() -> Self {
        Self::Unet { depth: 8 }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unet { depth } => write!(f, "unet:{depth}"),
            Self::EncoderDecoder { depth } => write!(f, "encoder_decoder:{depth}"),
            Self::Resnet { blocks } => write!(f, "resnet:{blocks}"),
            Self::Dcgan { depth, noise: NOISE } => write!(f, "dcgan:{depth}"),
            Self::Dcgan { depth, noise } => write!(f, "dcgan:{depth}:{noise}"),
        }
    }
}

impl FromStr for Backbone {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let problem = format!(
                "`{text}` is not a backbone; use unet, encoder_decoder, resnet or dcgan, with a depth or a number \
                 of blocks after a colon if needed, for instance unet:8 or resnet:9"
            );
            Error::config("generator.backbone", problem)
        };
        let (name, numbers) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        if name == "dcgan" {
            let (depth, noise) = numbers.map_or((None, None), |numbers| match numbers.split_once(':') {
                Some((depth, noise)) => (Some(depth), Some(noise)),
                None => (Some(numbers), None),
            });
            let number = |text: Option<&str>, default| text.map_or(Ok(default), str::parse);
            let read = |text, default| number(text, default).map_err(|_| unknown());
            return Ok(Self::Dcgan { depth: read(depth, 6)?, noise: read(noise, NOISE)? });
        }
        let number = numbers.map(|number| number.parse().map_err(|_| unknown())).transpose()?;
        match name.replace('-', "_").as_str() {
            "unet" => Ok(Self::Unet { depth: number.unwrap_or(8) }),
            "encoder_decoder" => Ok(Self::EncoderDecoder { depth: number.unwrap_or(8) }),
            "resnet" => Ok(Self::Resnet { blocks: number.unwrap_or(9) }),
            _ => Err(unknown()),
        }
    }
}

/// The decoder blocks of a U-Net that have dropout. As text: `paper` or `pytorch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropoutLayout {
    /// The first three blocks, whose outputs have 2, 4 and 8 pixels: the paper and its Lua code.
    #[default]
    Paper,
    /// The layout of the PyTorch original: not the first block, then one block for each level beyond five (outputs of
    /// 4, 8 and 16 pixels at depth 8).
    Pytorch,
}

impl DropoutLayout {
    /// Returns whether the decoder block `index`, counted from the bottleneck, has dropout at this depth.
    pub(super) fn includes(self, index: usize, depth: usize) -> bool {
        match self {
            Self::Paper => index < 3 && index + 1 < depth,
            Self::Pytorch => (1..depth.saturating_sub(4)).contains(&index),
        }
    }
}

named!(DropoutLayout, "dropout layout");
named!(UpsampleKind, "upsampling");

/// The configuration of a [`Generator`](crate::Generator).
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `input_channels` | 3 | channels of the input; DCGAN does not see it | 1–4096 | 3 |
/// | `output_channels` | 3 | channels of the output | 1–4096 | 3 |
/// | `backbone` | U-Net of depth 8 | architecture | depth 2–12 (DCGAN 3–12), blocks 0–1000, noise 1–4096 | U-Net 8 |
/// | `base_channels` | 64 | channels of the first layer | 1–4096 | 64 |
/// | `norm` | batch | normalisation | | batch |
/// | `dropout` | 0.5 | probability that dropout zeroes a value; DCGAN has no dropout | 0 ≤ p < 1 | 0.5 |
/// | `dropout_layout` | paper | decoder blocks with dropout | | paper / pytorch |
/// | `upsample` | transpose | how the decoder doubles the resolution | | transpose |
/// | `conv_bias` | false | whether every convolution has a bias, as in other implementations | | false |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[setters(prefix = "with_")]
pub struct GeneratorConfig {
    /// The channels of the input.
    pub input_channels: usize,
    /// The channels of the output.
    pub output_channels: usize,
    /// The architecture.
    pub backbone: Backbone,
    /// The channels of the first layer.
    pub base_channels: usize,
    /// The normalisation after convolutions.
    pub norm: Norm,
    /// The probability that dropout zeroes a value.
    pub dropout: f64,
    /// The decoder blocks of a U-Net that have dropout.
    pub dropout_layout: DropoutLayout,
    /// How a U-Net's decoder doubles the resolution.
    pub upsample: UpsampleKind,
    /// Whether every convolution has a bias. Otherwise only those before an instance normalisation have one, and the
    /// last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conv_bias: bool,
}

impl Default for GeneratorConfig {
    /// Returns the paper's U-Net for RGB images of 256 pixels.
    fn default() -> Self {
        Self {
            input_channels: 3,
            output_channels: 3,
            backbone: Backbone::default(),
            base_channels: 64,
            norm: Norm::Batch,
            dropout: 0.5,
            dropout_layout: DropoutLayout::Paper,
            upsample: UpsampleKind::Transpose,
            conv_bias: false,
        }
    }
}

impl GeneratorConfig {
    /// Creates the configuration of the paper's U-Net for images with these channels.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::{Backbone, GeneratorConfig};
    ///
    /// let config = GeneratorConfig::new(1, 3).with_backbone(Backbone::Resnet { blocks: 9 });
    /// assert_eq!(config.output_channels, 3);
    /// ```
    pub fn new(input_channels: usize, output_channels: usize) -> Self {
        Self { input_channels, output_channels, ..Self::default() }
    }

    /// Returns the number of values of the noise that the generator takes in place of an input image; `None` if it
    /// translates images.
    pub fn noise(&self) -> Option<usize> {
        match self.backbone {
            Backbone::Dcgan { noise, .. } => Some(noise),
            _ => None,
        }
    }

    /// Returns the number that must divide the height and width of an image: 2^depth for a U-Net, 4 for a ResNet. The
    /// images of a DCGAN have this side.
    pub fn size_multiple(&self) -> usize {
        match self.backbone {
            Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } | Backbone::Dcgan { depth, .. } => {
                1 << depth
            }
            Backbone::Resnet { .. } => 1 << RESNET_STEPS,
        }
    }

    /// Returns the smallest height and width that the generator accepts.
    pub fn min_size(&self) -> usize {
        match self.backbone {
            // Residual blocks pad by reflection at a quarter of the resolution, which needs two pixels.
            Backbone::Resnet { .. } => 2 * self.size_multiple(),
            Backbone::Unet { .. } | Backbone::EncoderDecoder { .. } | Backbone::Dcgan { .. } => {
                self.size_multiple()
            }
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> Result<()> {
        let channels = [
            ("generator.input_channels", self.input_channels),
            ("generator.output_channels", self.output_channels),
            ("generator.base_channels", self.base_channels),
        ];
        for (field, value) in channels {
            if !(1..=MAX_CHANNELS).contains(&value) {
                let problem = format!("{value} is out of range; use 1 to {MAX_CHANNELS}");
                return Err(Error::config(field, problem));
            }
        }
        let problem = match self.backbone {
            Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } if !DEPTHS.contains(&depth) => {
                let [min, max] = [DEPTHS.start(), DEPTHS.end()];
                format!("depth {depth} is out of range; use {min} to {max}, for instance 8 for 256 pixels")
            }
            Backbone::Resnet { blocks } if blocks > MAX_BLOCKS => {
                format!("{blocks} blocks are out of range; use 0 to {MAX_BLOCKS}")
            }
            Backbone::Dcgan { depth, .. } if !DCGAN_DEPTHS.contains(&depth) => {
                let [min, max] = [DCGAN_DEPTHS.start(), DCGAN_DEPTHS.end()];
                format!("depth {depth} is out of range; use {min} to {max}, for instance 6 for 64 pixels")
            }
            Backbone::Dcgan { noise, .. } if !(1..=MAX_CHANNELS).contains(&noise) => {
                format!("{noise} values of noise are out of range; use 1 to {MAX_CHANNELS}")
            }
            _ if !(0.0..1.0).contains(&self.dropout) => {
                let problem = format!("{} is not a probability below 1", self.dropout);
                return Err(Error::config("generator.dropout", problem));
            }
            _ => return Ok(()),
        };
        Err(Error::config("generator.backbone", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_layouts_match_the_paper_and_pytorch() {
        let blocks = |layout: DropoutLayout, depth| {
            (0..depth).filter(|index| layout.includes(*index, depth)).collect::<Vec<_>>()
        };
        assert_eq!(blocks(DropoutLayout::Paper, 8), [0, 1, 2]);
        assert_eq!(blocks(DropoutLayout::Paper, 7), [0, 1, 2]);
        assert_eq!(blocks(DropoutLayout::Pytorch, 8), [1, 2, 3]);
        assert_eq!(blocks(DropoutLayout::Pytorch, 7), [1, 2]);
        assert_eq!(blocks(DropoutLayout::Pytorch, 5), [0; 0]);
        assert_eq!(blocks(DropoutLayout::Paper, 2), [0]);
    }

    #[test]
    fn parsing_a_name_returns_its_value() {
        for backbone in [
            Backbone::Unet { depth: 7 },
            Backbone::EncoderDecoder { depth: 3 },
            Backbone::Resnet { blocks: 0 },
            Backbone::Dcgan { depth: 5, noise: 100 },
            Backbone::Dcgan { depth: 6, noise: 32 },
        ] {
            assert_eq!(backbone.to_string().parse::<Backbone>().unwrap(), backbone);
        }
        assert_eq!("unet".parse::<Backbone>().unwrap(), Backbone::Unet { depth: 8 });
        assert_eq!("encoder-decoder".parse::<Backbone>().unwrap(), Backbone::EncoderDecoder { depth: 8 });
        assert_eq!("resnet".parse::<Backbone>().unwrap(), Backbone::Resnet { blocks: 9 });
        for layout in [DropoutLayout::Paper, DropoutLayout::Pytorch] {
            assert_eq!(layout.to_string().parse::<DropoutLayout>().unwrap(), layout);
        }
        for upsample in [UpsampleKind::Transpose, UpsampleKind::NearestConv, UpsampleKind::BilinearConv] {
            assert_eq!(upsample.to_string().parse::<UpsampleKind>().unwrap(), upsample);
        }
        for norm in
            [Norm::Batch, Norm::Instance { affine: false }, Norm::Instance { affine: true }, Norm::None]
        {
            assert_eq!(norm.to_string().parse::<Norm>().unwrap(), norm);
        }
        assert_eq!("dcgan".parse::<Backbone>().unwrap(), Backbone::Dcgan { depth: 6, noise: 100 });
        for wrong in ["vnet", "dcgan:", "dcgan:6:", "unet:", "unet:deep", "unet:-1", ""] {
            let message = wrong.parse::<Backbone>().unwrap_err().to_string();
            assert!(message.contains(&format!("`{wrong}`")) && message.contains("resnet:9"), "{message}");
        }
        let message = "lua".parse::<DropoutLayout>().unwrap_err().to_string();
        let expected =
            "dropout layout: `lua` cannot be used: unknown variant `lua`, expected `paper` or `pytorch`";
        assert_eq!(message, expected);
        let message = "bicubic".parse::<UpsampleKind>().unwrap_err().to_string();
        assert!(message.contains("`bicubic`") && message.contains("`bilinear_conv`"), "{message}");
    }

    #[test]
    fn json_may_omit_fields_but_not_add_unknown_ones() {
        let config: GeneratorConfig = serde_json::from_str(r#"{"base_channels": 8}"#).unwrap();
        assert_eq!(config, GeneratorConfig::default().with_base_channels(8));
        let error = serde_json::from_str::<GeneratorConfig>(r#"{"width": 8}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `width`"), "{error}");
    }
}
