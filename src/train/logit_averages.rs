//! The averages of the discriminator's logits over the steps, for LeCam regularisation.

use burn::tensor::Tensor;

use crate::discriminator::DiscriminatorOutput;
use crate::loss::Pix2PixLoss;

/// Exponential averages of the mean logits on real and on generated pairs, `[1]` each, on the device: a step does not
/// wait for them.
#[derive(Clone, Debug)]
pub(super) struct LogitAverages {
    decay: f64,
    /// `None` before the first step.
    values: Option<[Tensor<1>; 2]>,
}

impl LogitAverages {
    /// Creates averages of nothing, or those of a checkpoint.
    pub(super) fn new(decay: f64, values: Option<[Tensor<1>; 2]>) -> Self {
        Self { decay, values }
    }

    /// Returns the term of the discriminator's loss, `[1]`; `None` before the first step.
    pub(super) fn term(
        &self,
        loss: &Pix2PixLoss,
        real: &DiscriminatorOutput,
        fake: &DiscriminatorOutput,
    ) -> Option<Tensor<1>> {
        let device = real.scales.first()?.logits.device().without_autodiff();
        let constant = |value: Tensor<1>| value.to_device(&device).autodiff();
        Some(loss.lecam(real, fake, self.values.clone()?.map(constant)))
    }

    /// Includes the mean logits of a step. The first ones are the averages.
    pub(super) fn update(&mut self, newest: [Tensor<1>; 2]) {
        self.values = Some(match self.values.take() {
            None => newest,
            Some([real, fake]) => {
                let [new_real, new_fake] = newest;
                let average = |old: Tensor<1>, new: Tensor<1>| old * self.decay + new * (1.0 - self.decay);
                [average(real, new_real), average(fake, new_fake)]
            }
        });
    }

    /// Returns the averages on real and on generated pairs; `None` before the first step.
    pub(super) fn values(&self) -> Option<[Tensor<1>; 2]> {
        self.values.clone()
    }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn averages_start_at_the_first_values_and_continue_from_a_checkpoint() {
        let device = device::cpu();
        let newest = |values: [f32; 2]| values.map(|value| Tensor::full([1], value, &device));
        let read = |averages: &LogitAverages| {
            averages.values().map(|values| values.map(|value| value.into_scalar::<f32>()))
        };
        let mut averages = LogitAverages::new(0.75, None);
        assert!(read(&averages).is_none());
        averages.update(newest([2.0, -1.0]));
        assert_eq!(read(&averages), Some([2.0, -1.0]));
        averages.update(newest([4.0, 3.0]));
        assert_eq!(read(&averages), Some([2.5, 0.0]));
        let mut resumed = LogitAverages::new(0.75, averages.values());
        for averages in [&mut averages, &mut resumed] {
            averages.update(newest([0.1, 0.7]));
        }
        assert_eq!(read(&averages), read(&resumed));
    }
}
