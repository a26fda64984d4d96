//! The systems that pix2pix builds on, as presets, and the rules by which their parts fit together.

use serde::{Deserialize, Serialize};

use super::Pix2PixConfig;
use crate::data::Preprocess;
use crate::discriminator::{Condition, DiscriminatorKind};
use crate::error::{Error, Result};
use crate::generator::Backbone;
use crate::loss::GanMode;
use crate::names::named;

/// The side of DCGAN's images in PyTorch's example, its binary logarithm, and the size of its batches.
const DCGAN_SIZE: usize = 64;
const DCGAN_DEPTH: usize = 6;
const DCGAN_BATCH: usize = 128;

/// The weight of EBGAN's adversarial term. Energies are small, from 0.01 to 0.1, beside L1 with its weight of 100.
const ENERGY_WEIGHT: f64 = 20.0;

/// A system of networks, objective and data: pix2pix, or one that it builds on. As text it is `pix2pix`, `gan`, `dcgan`
/// or `ebgan`.
///
/// | system | publication | networks | objective of G |
/// |---|---|---|---|
/// | `pix2pix` | Isola et al. 2017 | U-Net, conditional PatchGAN | −log D + 100·L1 |
/// | `gan` | Goodfellow et al. 2014 | U-Net, PatchGAN without a condition | log(1 − D) |
/// | `dcgan` | Radford et al. 2015 | DCGAN's, without an input image | −log D |
/// | `ebgan` | Zhao et al. 2016 | U-Net, conditional auto-encoder | 20·energy + 100·L1 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum System {
    /// Image-to-image translation with a conditional GAN and L1.
    #[default]
    Pix2pix,
    /// The original GAN: both networks play the minimax game, without a condition and without L1.
    Gan,
    /// A convolutional GAN that makes images of noise; it learns the targets, and does not see the inputs.
    Dcgan,
    /// An energy-based GAN, whose discriminator is an auto-encoder that reconstructs the target, given the input.
    Ebgan,
}

named!(System, "system");

impl Pix2PixConfig {
    /// Sets the networks and the objective of a system, and what its publication says about the data. The other fields,
    /// and [`System::Pix2pix`], stay as they are.
    ///
    /// DCGAN is set to images of 64 pixels, in batches of 128, without augmentation; [`with_size`](Self::with_size)
    /// sets another size.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::{Pix2PixConfig, config::System};
    ///
    /// let config = Pix2PixConfig::paper().with_system(System::Dcgan);
    /// assert_eq!(config.generator.noise(), Some(100));
    /// config.validate()?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    #[must_use]
    pub fn with_system(mut self, system: System) -> Self {
        match system {
            System::Pix2pix => {}
            System::Gan => {
                (self.loss.gan, self.loss.l1_weight) = (GanMode::Minimax, 0.0);
                self.discriminator.condition = Condition::None;
            }
            System::Dcgan => {
                self.generator.backbone = Backbone::Dcgan { depth: DCGAN_DEPTH, noise: 100 };
                self.generator.dropout = 0.0;
                self.discriminator.kind = DiscriminatorKind::Dcgan;
                self.discriminator.layers = DCGAN_DEPTH - 2;
                self.discriminator.condition = Condition::None;
                (self.loss.gan, self.loss.l1_weight) = (GanMode::Vanilla, 0.0);
                self.loss.discriminator_weight = 1.0;
                (self.data.crop_size, self.data.load_size) = (DCGAN_SIZE.into(), DCGAN_SIZE.into());
                (self.data.mirror, self.data.batch_size) = (false, DCGAN_BATCH);
            }
            System::Ebgan => {
                self.discriminator.kind = DiscriminatorKind::AutoEncoder;
                (self.loss.gan, self.loss.gan_weight) = (GanMode::Energy, ENERGY_WEIGHT);
            }
        }
        self
    }

    /// Checks that generator, discriminator, objective and data belong together.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub(super) fn check_system(&self) -> Result<()> {
        if self.generator.noise().is_some() {
            self.check_noise()?;
        }
        let is_adversarial = self.loss.gan_weight > 0.0;
        let is_auto_encoder = self.discriminator.kind == DiscriminatorKind::AutoEncoder;
        if is_adversarial && is_auto_encoder != (self.loss.gan == GanMode::Energy) {
            let problem = format!(
                "{} does not fit discriminator.kind {}: energies are those of an auto-encoder, and logits those of the \
                 other kinds; set both, as `--system ebgan` does",
                self.loss.gan, self.discriminator.kind
            );
            return Err(Error::config("loss.gan", problem));
        }
        if is_adversarial && is_auto_encoder {
            self.check_cells()?;
        }
        if self.loss.pulling_away > 0.0 && self.data.batch_size < 2 {
            let problem = format!(
                "{} needs several images to push apart, and a batch has one; use 2 or more (`--batch-size`), or 0",
                self.loss.pulling_away
            );
            return Err(Error::config("loss.pulling_away", problem));
        }
        Ok(())
    }

    /// Checks the parts of a system whose generator takes noise in place of an input image.
    fn check_noise(&self) -> Result<()> {
        let backbone = self.generator.backbone;
        let side = self.generator.size_multiple();
        let (condition, l1_weight, crop) =
            (self.discriminator.condition, self.loss.l1_weight, self.data.crop_size);
        let (field, problem) = if condition != Condition::None {
            let problem = format!(
                "{condition} does not fit the generator {backbone}, which takes no input; use none (`--unconditional`)"
            );
            ("discriminator.condition", problem)
        } else if l1_weight > 0.0 {
            let problem = format!(
                "{l1_weight} does not fit the generator {backbone}, whose images belong to no target; use 0 (`--l1-weight \
                 0`)"
            );
            ("loss.l1_weight", problem)
        } else if [crop.height, crop.width] != [side; 2] {
            let problem =
                format!("{crop} is not {side}, the side of the images of {backbone} (`--size {side}`)");
            ("data.crop_size", problem)
        } else if self.data.preprocess == Preprocess::None {
            let problem = format!(
                "none does not fit the generator {backbone}, whose images have one size; use resize, scale-width or crop \
                 (`--preprocess`)"
            );
            ("data.preprocess", problem)
        } else {
            return Ok(());
        };
        Err(Error::config(field, problem))
    }

    /// Checks that the cells of an auto-encoder divide the images.
    fn check_cells(&self) -> Result<()> {
        let cell = self.discriminator.cell();
        let crop = self.data.crop_size;
        let sides = match self.data.preprocess {
            Preprocess::None => [self.generator.size_multiple(); 2],
            _ => [crop.height, crop.width],
        };
        if sides.iter().all(|side| side.is_multiple_of(cell)) {
            return Ok(());
        }
        let problem = format!(
            "{} makes cells of {cell} pixels, which do not divide images of {}x{} pixels; use fewer layers, or other \
             images (`--size`)",
            self.discriminator.layers, sides[0], sides[1]
        );
        Err(Error::config("discriminator.layers", problem))
    }
}
