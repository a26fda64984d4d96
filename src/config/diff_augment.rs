//! Which augmentations of what the discriminator sees are on.

use serde::{Deserialize, Serialize};

/// DiffAugment (Zhao et al. 2020): random changes of every image that the discriminator sees, real or generated. The
/// gradient of the generator flows through them. All are off by default.
///
/// The geometry is the same for a pair's input and image; the colour of the input never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DiffAugment {
    /// Brightness, saturation and contrast of the image.
    pub color: bool,
    /// A shift by at most an eighth of each side; zeros enter.
    pub translation: bool,
    /// Zeros in a square of half the sides at a random place.
    pub cutout: bool,
}

impl DiffAugment {
    /// Returns whether any augmentation is on.
    pub fn is_on(&self) -> bool {
        self.color || self.translation || self.cutout
    }
}
