//! The losses of one step, which stay on the device until they are read.

use burn::tensor::{Device, Tensor};

use crate::discriminator::DiscriminatorOutput;
use crate::error::Result;
use crate::loss::{DiscriminatorLoss, GeneratorLoss, Pix2PixLoss};
use crate::report::{LossSet, LossValues};
use crate::transfer::read_back;

/// The losses of one step, scalars on the device; `None` where the objective does not have the loss.
#[derive(Clone, Debug, Default)]
pub struct Losses {
    scalars: LossSet<Option<Tensor<1>>>,
    pairs: usize,
}

impl Losses {
    /// Creates an empty set of losses for a batch of `pairs` pairs.
    pub(super) fn of_pairs(pairs: usize) -> Self {
        Self { pairs, ..Self::default() }
    }

    /// Creates the losses of a generator update.
    pub(super) fn of_generator(g: &GeneratorLoss) -> Self {
        let scalars = LossSet {
            g_gan: g.gan.clone().map(Tensor::inner),
            g_l1: Some(g.l1.clone().inner()),
            g_structured: g.structured.clone().map(Tensor::inner),
            g_features: g.features.clone().map(Tensor::inner),
            ..LossSet::default()
        };
        Self { scalars, pairs: 0 }
    }

    /// Sets the adversary's share of the generator's gradient.
    pub(super) fn with_gan_share(mut self, share: Option<Tensor<1>>) -> Self {
        self.scalars.gan_share = share;
        self
    }

    /// Creates the losses of a discriminator update from those and its output on real and on generated pairs.
    pub(super) fn of_discriminator(
        loss: &Pix2PixLoss,
        d: &DiscriminatorLoss,
        [real, fake]: [&DiscriminatorOutput; 2],
    ) -> Self {
        let logits = loss.has_lecam().then(|| loss.mean_logits(real, fake));
        let [real_logit, fake_logit] = logits.map_or([None, None], |logits| logits.map(Some));
        let [real, fake] = loss.accuracy(real, fake);
        let scalars = LossSet {
            d_real: Some(d.real.clone().inner()),
            d_fake: Some(d.fake.clone().inner()),
            d_real_accuracy: Some(real),
            d_fake_accuracy: Some(fake),
            d_real_logit: real_logit,
            d_fake_logit: fake_logit,
            ..LossSet::default()
        };
        Self { scalars, pairs: 0 }
    }

    /// Returns the mean logits on real and on generated pairs, if they were reported.
    pub(super) fn logits(&self) -> Option<[Tensor<1>; 2]> {
        Some([self.scalars.d_real_logit.clone()?, self.scalars.d_fake_logit.clone()?])
    }

    /// Adds losses, multiplied by `weight`, their share in the mean over the batch.
    pub(super) fn add(&mut self, other: Self, weight: f64) {
        let weighted = |term: Tensor<1>| if weight == 1.0 { term } else { term * weight };
        let sums = std::mem::take(&mut self.scalars).zip(other.scalars);
        self.scalars = sums.map(|(sum, term)| match (sum, term.map(weighted)) {
            (Some(sum), Some(term)) => Some(sum + term),
            (sum, term) => sum.or(term),
        });
    }

    /// Moves the scalars to `device`.
    pub(super) fn moved_to(self, device: &Device) -> Self {
        Self { scalars: self.scalars.map(|scalar| scalar.map(|scalar| scalar.to_device(device))), ..self }
    }

    /// Returns the number of pairs in the batch.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Waits for the device and reads the losses back, in one transfer.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails, for instance because the GPU was lost.
    pub fn read(&self) -> Result<LossValues> {
        let mut read = Self::read_all(std::slice::from_ref(self))?;
        Ok(read.next().expect("one step has one set of losses"))
    }

    /// Reads the losses of several steps back, in one transfer.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_all(steps: &[Self]) -> Result<impl Iterator<Item = LossValues>> {
        let scalars: Vec<Tensor<1>> =
            steps.iter().flat_map(|step| step.scalars.clone().into_array()).flatten().collect();
        let read = if scalars.is_empty() { vec![] } else { read_back(Tensor::cat(scalars, 0))? };
        let mut read = read.into_iter();
        Ok(steps.iter().map(move |step| step.scalars.clone().map(|scalar| scalar.and_then(|_| read.next()))))
    }
}
