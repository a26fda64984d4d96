//! The rule of one update of Adam, and the update in a single pass over memory, where tensor operations need ten.

#[cfg(any(feature = "flex", feature = "ndarray"))]
use pulp::Arch;
#[cfg(any(feature = "flex", feature = "ndarray"))]
use rayon::prelude::*;

/// Values that one task updates.
#[cfg(any(feature = "flex", feature = "ndarray"))]
const CHUNK: usize = 1 << 15;

/// The numbers of one update: value −= size·first / (√second + epsilon), both corrected for their start at zero.
#[derive(Clone, Copy, Debug)]
pub struct AdamRule {
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// The learning rate, corrected.
    pub size: f32,
    /// Added to the denominator against division by zero, corrected.
    pub epsilon: f32,
    /// The factor of the gradients: 1 unless they are clipped.
    pub scale: f32,
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
impl AdamRule {
    /// Updates `value` and both moments in place.
    pub fn update(self, value: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let arch = Arch::new();
        let chunks = value.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK));
        let chunks = chunks.zip(second.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|(((value, first), second), gradient)| {
            arch.dispatch(
                #[inline(always)]
                || self.update_chunk(value, first, second, gradient),
            )
        });
    }

    #[inline(always)]
    fn update_chunk(self, value: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        for (((value, first), second), gradient) in value.iter_mut().zip(first).zip(second).zip(gradient) {
            let gradient = self.scale * gradient;
            *first = self.beta_1 * *first + (1.0 - self.beta_1) * gradient;
            *second = self.beta_2 * *second + (1.0 - self.beta_2) * gradient * gradient;
            *value -= self.size * *first / (second.sqrt() + self.epsilon);
        }
    }
}
