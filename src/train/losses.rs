//! The losses of one step, left on the device until somebody asks.

use crate::loss::{DiscriminatorLoss, GeneratorLoss};
use crate::read_back::read_back;
use crate::{Device, Tensor};

/// The losses of one step; scalars on the device.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    /// G's L1; G's adversarial loss, D's on real and on fake, D's accuracy on real and on fake.
    scalars: [Option<Tensor<1>>; 6],
}

/// The losses of one step as numbers, under the names that the field knows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LossValues {
    /// How well the generator fools the discriminator (lower is better); none without a discriminator.
    pub g_gan: Option<f32>,
    /// λ·L1 between output and target.
    pub g_l1: f32,
    /// The discriminator's loss on real pairs.
    pub d_real: Option<f32>,
    /// The discriminator's loss on generated pairs.
    pub d_fake: Option<f32>,
    /// The share of patches of real pairs that the discriminator takes for real.
    pub d_real_accuracy: Option<f32>,
    /// The share of patches of generated pairs that the discriminator takes for generated.
    pub d_fake_accuracy: Option<f32>,
}

impl LossValues {
    /// Whether none of them is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        [Some(self.g_l1), self.g_gan, self.d_real, self.d_fake].iter().flatten().all(|loss| loss.is_finite())
    }
}

impl Losses {
    pub(super) fn add_generator(&mut self, g: &GeneratorLoss, share: f64) {
        self.add(0, g.l1.clone().inner(), share);
        if let Some(gan) = &g.gan {
            self.add(1, gan.clone().inner(), share);
        }
    }

    pub(super) fn add_discriminator(&mut self, d: &DiscriminatorLoss, share: f64) {
        self.add(2, d.real.clone().inner(), share);
        self.add(3, d.fake.clone().inner(), share);
    }

    pub(super) fn add_accuracy(&mut self, [real, fake]: [Tensor<1>; 2], share: f64) {
        self.add(4, real, share);
        self.add(5, fake, share);
    }

    /// Adds the losses of another share, each already weighted by it.
    pub(super) fn add_all(&mut self, other: Self, device: &Device) {
        for (index, term) in other.scalars.into_iter().enumerate() {
            if let Some(term) = term {
                self.add(index, term.to_device(device), 1.0);
            }
        }
    }

    /// Adds what a share of the batch contributes to the mean over the whole.
    fn add(&mut self, index: usize, term: Tensor<1>, share: f64) {
        let term = if share == 1.0 { term } else { term * share };
        self.scalars[index] = Some(match self.scalars[index].take() {
            Some(sum) => sum + term,
            None => term,
        });
    }

    /// Waits for the device and reads the losses back, in one transfer.
    pub fn read(&self) -> LossValues {
        Self::read_all(std::slice::from_ref(self)).next().unwrap_or_default()
    }

    /// The losses of several steps, in one transfer.
    pub(super) fn read_all(steps: &[Self]) -> impl Iterator<Item = LossValues> {
        let scalars: Vec<Tensor<1>> =
            steps.iter().flat_map(|step| &step.scalars).flatten().cloned().collect();
        let read = match scalars.is_empty() {
            true => vec![],
            false => read_back(Tensor::cat(scalars, 0)),
        };
        let mut read = read.into_iter();
        steps.iter().map(move |step| {
            let mut values = step.scalars.iter().map(|scalar| scalar.as_ref().and_then(|_| read.next()));
            let mut next = || values.next().flatten();
            LossValues {
                g_l1: next().unwrap_or(f32::NAN),
                g_gan: next(),
                d_real: next(),
                d_fake: next(),
                d_real_accuracy: next(),
                d_fake_accuracy: next(),
            }
        })
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
