//! One update by Adam in a single pass over memory, where tensor operations take ten.

use pulp::Arch;
use rayon::prelude::*;

/// Values that one thread updates at a time.
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
    /// Keeps a division by zero away, corrected.
    pub epsilon: f32,
    /// What gradients are multiplied by, 1 unless they are clipped.
    pub scale: f32,
}

impl AdamRule {
    /// Moves `value` and both moments in place.
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn update(self, value: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let lengths =
            [("first moment", first.len()), ("second moment", second.len()), ("gradient", gradient.len())];
        for (name, length) in lengths {
            assert_eq!(length, value.len(), "the {name} has {length} values, the parameter {}", value.len());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_different_length_are_refused() {
        let rule = AdamRule { beta_1: 0.5, beta_2: 0.999, size: 1e-3, epsilon: 1e-8, scale: 1.0 };
        for (index, name) in ["first moment", "second moment", "gradient"].into_iter().enumerate() {
            let mut lengths = [5; 3];
            lengths[index] = 4;
            let panic = std::panic::catch_unwind(|| {
                let [mut first, mut second, gradient] = lengths.map(|length| vec![0.5; length]);
                rule.update(&mut [1.0; 5], &mut first, &mut second, &gradient);
            });
            let text = panic.unwrap_err().downcast::<String>().unwrap();
            assert!(text.contains(name) && text.contains("4 values, the parameter 5"), "{text}");
        }
    }
}
