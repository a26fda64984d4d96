//! The set of losses of a step: one type for tensors, numbers, sums, records and curves.

use serde::{Deserialize, Deserializer};

/// The number of losses.
pub(crate) const COUNT: usize = 11;

/// One value for each loss of a training step.
///
/// To add a loss, add a field here, its place in `into_array` and `from_array`, and a row in `NAMES`. The compiler
/// finds what is missing; records, curves and event files follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, bound(deserialize = "T: Deserialize<'de> + Default + From<f32>"))]
#[non_exhaustive]
pub struct LossSet<T> {
    /// The generator's adversarial loss: lower if the generator fools the discriminator more.
    #[serde(deserialize_with = "null_as_nan")]
    pub g_gan: T,
    /// λ times the L1 distance between output and target, or the distance that `loss.pixel` selects.
    #[serde(deserialize_with = "null_as_nan")]
    pub g_l1: T,
    /// The discriminator's loss on real pairs.
    #[serde(deserialize_with = "null_as_nan")]
    pub d_real: T,
    /// The discriminator's loss on generated pairs.
    #[serde(deserialize_with = "null_as_nan")]
    pub d_fake: T,
    /// The share of patches of real pairs that the discriminator classifies as real, in `[0, 1]`.
    #[serde(deserialize_with = "null_as_nan")]
    pub d_real_accuracy: T,
    /// The share of patches of generated pairs that the discriminator classifies as generated, in `[0, 1]`.
    #[serde(deserialize_with = "null_as_nan")]
    pub d_fake_accuracy: T,
    /// The sum of the structured distances between output and target, with their weights.
    #[serde(deserialize_with = "null_as_nan")]
    pub g_structured: T,
    /// The adversary's share of the generator's gradient, in `[0, 1]`: |a|/(|a| + |d|), where a and d are the gradients
    /// of the adversarial term and of the distances with respect to the output, averaged over images. Only in the steps
    /// that `training.gan_share_every` selects.
    #[serde(deserialize_with = "null_as_nan")]
    pub gan_share: T,
    /// The weighted distance between the discriminator's features of output and target, with feature matching.
    #[serde(deserialize_with = "null_as_nan")]
    pub g_features: T,
    /// The mean logit on real pairs, with LeCam regularisation.
    #[serde(deserialize_with = "null_as_nan")]
    pub d_real_logit: T,
    /// The mean logit on generated pairs, with LeCam regularisation.
    #[serde(deserialize_with = "null_as_nan")]
    pub d_fake_logit: T,
}

/// The losses of a step as numbers; `None` where the objective does not have the loss.
pub type LossValues = LossSet<Option<f32>>;

/// The names of a loss in files and on the page.
#[derive(Debug)]
pub(crate) struct LossName {
    /// The name in `metrics.jsonl`.
    pub(crate) key: &'static str,
    /// The name on the page.
    pub(crate) label: &'static str,
    /// The name in TensorBoard of the loss of a step.
    pub(crate) tag: &'static str,
    /// The name in TensorBoard of the mean over an epoch, if it is shown.
    pub(crate) mean_tag: Option<&'static str>,
    /// The text below the chart; `None` for a loss that shares the chart of the previous loss.
    pub(crate) note: Option<&'static str>,
}

/// The names of the losses, in the order of [`LossSet::into_array`].
pub(crate) const NAMES: [LossName; COUNT] = [
    LossName {
        key: "g_gan",
        label: "G_GAN",
        tag: "loss/G_GAN",
        mean_tag: Some("epoch/G_GAN"),
        note: Some(
            "The adversarial loss of G. Lower: G fools D more. Near ln 2 = 0.693 (vanilla loss): D is undecided.",
        ),
    },
    LossName {
        key: "g_l1",
        label: "G_L1",
        tag: "loss/G_L1",
        mean_tag: Some("epoch/G_L1"),
        note: Some("The distance between output and target, times the weight λ. Lower is closer."),
    },
    LossName {
        key: "d_real",
        label: "D_real",
        tag: "loss/D_real",
        mean_tag: Some("epoch/D_real"),
        note: Some(
            "The losses of D on real and on generated pairs. Both near 0: D distinguishes them easily. Both near 0.693 \
             (vanilla loss): D cannot distinguish them.",
        ),
    },
    LossName {
        key: "d_fake",
        label: "D_fake",
        tag: "loss/D_fake",
        mean_tag: Some("epoch/D_fake"),
        note: None,
    },
    LossName {
        key: "d_real_accuracy",
        label: "Accuracy on real",
        tag: "accuracy/D_real",
        mean_tag: None,
        note: Some(
            "The shares of patches that D classifies correctly. Both near 1: D has won. Both near 0.5: D guesses.",
        ),
    },
    LossName {
        key: "d_fake_accuracy",
        label: "Accuracy on fake",
        tag: "accuracy/D_fake",
        mean_tag: None,
        note: None,
    },
    LossName {
        key: "g_structured",
        label: "G_structured",
        tag: "loss/G_structured",
        mean_tag: Some("epoch/G_structured"),
        note: Some(
            "The structured distances between output and target, with their weights. Lower is closer.",
        ),
    },
    LossName {
        key: "gan_share",
        label: "Share of the adversary",
        tag: "gradient/GAN_share",
        mean_tag: Some("epoch/GAN_share"),
        note: Some(
            "The adversary's share of the gradient at the output of G. Near 0: the distance to the target drowns it; \
             lower its weight. Near 1: the target has no effect.",
        ),
    },
    LossName {
        key: "g_features",
        label: "G_features",
        tag: "loss/G_features",
        mean_tag: Some("epoch/G_features"),
        note: Some(
            "Feature matching: the weighted distance between D's features of output and target. Near 0 from the start: D's \
             features do not depend on the image.",
        ),
    },
    LossName {
        key: "d_real_logit",
        label: "Logit on real",
        tag: "logit/D_real",
        mean_tag: None,
        note: Some(
            "The mean logits of D on real and on generated pairs, which LeCam regularisation keeps near each other.",
        ),
    },
    LossName { key: "d_fake_logit", label: "Logit on fake", tag: "logit/D_fake", mean_tag: None, note: None },
];

/// Converts a set from and to an array of these fields.
macro_rules! in_order {
    ($($field:ident),* $(,)?) => {
        /// Returns the values in the order of [`NAMES`].
        pub(crate) fn into_array(self) -> [T; COUNT] {
            let Self { $($field),* } = self;
            [$($field),*]
        }

        /// Builds a set of values in the order of [`NAMES`].
        pub(crate) fn from_array([$($field),*]: [T; COUNT]) -> Self {
            Self { $($field),* }
        }
    };
}

impl<T> LossSet<T> {
    in_order! {
        g_gan,
        g_l1,
        d_real,
        d_fake,
        d_real_accuracy,
        d_fake_accuracy,
        g_structured,
        gan_share,
        g_features,
        d_real_logit,
        d_fake_logit,
    }

    /// Applies `f` to every value.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> LossSet<U> {
        LossSet::from_array(self.into_array().map(f))
    }

    /// Pairs every value with the same one of `other`.
    pub fn zip<U>(self, other: LossSet<U>) -> LossSet<(T, U)> {
        let mut others = other.into_array().into_iter();
        self.map(|value| (value, others.next().expect("both sets have the same losses")))
    }
}

impl<T: Copy> LossSet<Option<T>> {
    /// Returns the losses that the objective has, each with its name in `metrics.jsonl`.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, T)> + use<T> {
        let values = NAMES.iter().zip(self.into_array());
        values.filter_map(|(name, value)| Some((name.key, value?)))
    }
}

impl LossValues {
    /// Returns whether none of the losses is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.named().all(|(_, loss)| loss.is_finite())
    }
}

impl std::fmt::Display for LossValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(gan) = self.g_gan {
            write!(f, "G_GAN {gan:.3}  ")?;
        }
        write!(f, "G_L1 {:.2}", self.g_l1.unwrap_or(f32::NAN))?;
        if let Some(features) = self.g_features {
            write!(f, "  G_features {features:.2}")?;
        }
        if let (Some(real), Some(fake)) = (self.d_real, self.d_fake) {
            write!(f, "  D_real {real:.3}  D_fake {fake:.3}")?;
        }
        Ok(())
    }
}

/// Reads `null`, which stands for NaN and infinity in JSON, as NaN.
pub(super) fn null_as_nan<'de, D: Deserializer<'de>, T: Deserialize<'de> + From<f32>>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(|| T::from(f32::NAN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_order_of_the_fields() {
        let keys = LossSet::from_array(NAMES.map(|name| name.key));
        // serde reads the fields by their own names.
        let numbered = NAMES.iter().enumerate().map(|(index, name)| (name.key.to_owned(), index.into()));
        let read = serde_json::Value::Object(numbered.collect());
        let read: LossValues = serde_json::from_value(read).unwrap();
        assert_eq!(read.into_array(), std::array::from_fn(|index| Some(index as f32)));
        assert_eq!(keys.zip(keys.map(str::len)).d_real, ("d_real", 6));
    }
}
