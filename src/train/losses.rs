//! The losses of one step, left on the device until somebody asks.

use crate::Tensor;
use crate::loss::{DiscriminatorLoss, GeneratorLoss};

/// The losses of one step; scalars on the device.
#[derive(Clone, Debug)]
pub struct Losses {
    generator: Tensor<1>,
    adversarial: Option<[Tensor<1>; 3]>,
}

/// The losses of one step as numbers, under the names that the field knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossValues {
    /// How well the generator fools the discriminator (lower is better); none without a discriminator.
    pub g_gan: Option<f32>,
    /// λ·L1 between output and target.
    pub g_l1: f32,
    /// The discriminator's loss on real pairs.
    pub d_real: Option<f32>,
    /// The discriminator's loss on generated pairs.
    pub d_fake: Option<f32>,
}

impl Losses {
    pub(super) fn new(d: Option<DiscriminatorLoss>, g: GeneratorLoss) -> Self {
        let adversarial = match (d, g.gan) {
            (Some(d), Some(gan)) => Some([gan, d.real, d.fake].map(Tensor::inner)),
            _ => None,
        };
        Self { generator: g.l1.inner(), adversarial }
    }

    /// Waits for the device and reads the losses back, in one transfer.
    pub fn read(&self) -> LossValues {
        let mut scalars = vec![self.generator.clone()];
        scalars.extend(self.adversarial.iter().flatten().cloned());
        let values = Tensor::cat(scalars, 0).into_data().convert::<f32>().try_into_vec().unwrap_or_default();
        let [g_gan, d_real, d_fake] = [1, 2, 3].map(|index| values.get(index).copied());
        LossValues { g_gan, g_l1: values.first().copied().unwrap_or(f32::NAN), d_real, d_fake }
    }
}

impl std::fmt::Display for LossValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(gan) = self.g_gan {
            write!(f, "G_GAN {gan:.3}  ")?;
        }
        write!(f, "G_L1 {:.2}", self.g_l1)?;
        if let (Some(real), Some(fake)) = (self.d_real, self.d_fake) {
            write!(f, "  D_real {real:.3}  D_fake {fake:.3}")?;
        }
        Ok(())
    }
}
