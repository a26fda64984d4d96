//! The rule of one update of Adam (Kingma & Ba 2015), and its computation in a single pass over memory; tensor
//! operations take ten.

#[cfg(feature = "_host")]
use pulp::Arch;
#[cfg(feature = "_host")]
use rayon::prelude::*;

/// The number of values of one task.
#[cfg(feature = "_host")]
const CHUNK: usize = 1 << 15;

/// The numbers of one update, value −= step_size · m / (√v + epsilon), where `step_size` and `epsilon` contain the
/// corrections for moments that start at zero.
#[derive(Clone, Copy, Debug)]
pub struct AdamRule {
    /// Decay of the first moment m.
    pub beta_1: f32,
    /// Decay of the second moment v.
    pub beta_2: f32,
    /// The corrected learning rate.
    pub step_size: f32,
    /// Added to the denominator against division by zero, corrected.
    pub epsilon: f32,
    /// The factor of all gradients: 1 unless they are clipped.
    pub gradient_scale: f32,
}

#[cfg(feature = "_host")]
impl AdamRule {
    /// Updates `value` and both moments in place.
    ///
    /// # Panics
    /// If the slices are not of one length.
    pub fn update(self, value: &mut [f32], m: &mut [f32], v: &mut [f32], gradient: &[f32]) {
        let lengths = [("first moment", m.len()), ("second moment", v.len()), ("gradient", gradient.len())];
        for (name, length) in lengths {
            assert_eq!(length, value.len(), "the {name} has {length} values, the parameter {}", value.len());
        }
        let arch = Arch::new();
        let chunks = value.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK));
        let chunks = chunks.zip(v.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|(((value, m), v), gradient)| {
            arch.dispatch(
                #[inline(always)]
                || self.update_chunk(value, m, v, gradient),
            )
        });
    }

    #[inline(always)]
    fn update_chunk(self, value: &mut [f32], m: &mut [f32], v: &mut [f32], gradient: &[f32]) {
        for (((value, m), v), gradient) in value.iter_mut().zip(m).zip(v).zip(gradient) {
            let gradient = self.gradient_scale * gradient;
            *m = self.beta_1 * *m + (1.0 - self.beta_1) * gradient;
            *v = self.beta_2 * *v + (1.0 - self.beta_2) * gradient * gradient;
            *value -= self.step_size * *m / (v.sqrt() + self.epsilon);
        }
    }
}

#[cfg(all(test, feature = "_host"))]
mod tests {
    use super::*;

    #[test]
    fn slices_of_different_length_are_refused() {
        let rule =
            AdamRule { beta_1: 0.5, beta_2: 0.999, step_size: 1e-3, epsilon: 1e-8, gradient_scale: 1.0 };
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
