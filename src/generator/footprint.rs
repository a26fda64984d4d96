//! The size of a generator before it is created.

use super::config::{Backbone, GeneratorConfig, RESNET_STEPS};
use super::dcgan;
use crate::layers::{Footprint, UpsampleKind, channels_at};

impl GeneratorConfig {
    /// Returns the size of the generator for images of this height and width.
    pub(crate) fn footprint(&self, size: [usize; 2]) -> Footprint {
        let mut sum = Footprint::default();
        let at = |level: usize| size.map(|side| side >> level);
        let channels = |level| channels_at(self.base_channels, level);
        match self.backbone {
            Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } => {
                let joins = matches!(self.backbone, Backbone::Unet { .. });
                for level in 0..depth {
                    let input = if level == 0 { self.input_channels } else { channels(level - 1) };
                    sum.add([input, channels(level), 4], at(level + 1));
                }
                let kernel = if self.upsample == UpsampleKind::Transpose { 4 } else { 3 };
                for level in (0..depth).rev() {
                    let input = channels(level) * if joins && level + 1 < depth { 2 } else { 1 };
                    let output = if level == 0 { self.output_channels } else { channels(level - 1) };
                    sum.add([input, output, kernel], at(level));
                }
            }
            Backbone::Resnet { blocks } => {
                sum.add([self.input_channels, channels(0), 7], size);
                for level in 0..RESNET_STEPS {
                    sum.add([channels(level), channels(level + 1), 3], at(level + 1));
                }
                let inner = channels(RESNET_STEPS);
                (0..2 * blocks).for_each(|_| sum.add([inner, inner, 3], at(RESNET_STEPS)));
                for level in (0..RESNET_STEPS).rev() {
                    sum.add([channels(level + 1), channels(level), 3], at(level));
                }
                sum.add([channels(0), self.output_channels, 7], size);
            }
            Backbone::Dcgan { depth, noise } => {
                let widths = dcgan::widths(self, depth);
                sum.add([noise, widths[0], 4], at(depth - 2));
                let kernel = if self.upsample == UpsampleKind::Transpose { 4 } else { 3 };
                for (index, channels) in widths.windows(2).enumerate() {
                    sum.add([channels[0], channels[1], kernel], at(depth - 3 - index));
                }
            }
        }
        sum
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn the_weights_are_those_of_the_network() {
        let config = GeneratorConfig::new(3, 2).with_base_channels(4);
        for config in [
            config.clone().with_backbone(Backbone::Unet { depth: 6 }),
            config.clone().with_backbone(Backbone::EncoderDecoder { depth: 5 }),
            config.clone().with_backbone(Backbone::Resnet { blocks: 3 }),
            config.clone().with_backbone(Backbone::Dcgan { depth: 6, noise: 7 }),
            config
                .clone()
                .with_backbone(Backbone::Unet { depth: 5 })
                .with_upsample(UpsampleKind::NearestConv),
        ] {
            let config = config.with_norm(crate::layers::Norm::None);
            let [found, whole] =
                [config.footprint([64; 2]).weights, config.init(&device::cpu()).parameter_count() as u128];
            // A network has biases besides.
            assert!(found <= whole && whole - found < 100, "{config:?}: {found} of {whole}");
        }
    }
}
