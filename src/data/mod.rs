//! Pairs of pictures: reading, augmenting, and handing them out in batches.

mod augment;
mod batch_source;
mod complete;
mod folder;
mod image;
mod loader;
mod pixels;

use burn::config::Config;
use serde::{Deserialize, Serialize};

pub use batch_source::{BatchIterator, BatchSource};
pub use folder::PairedFolder;
pub use loader::Batches;

pub use image::{open, open_with_profile};

pub(crate) use image::{NOT_A_NUMBER, PICTURE_CHANNELS, Planes};
pub(crate) use pixels::Pixels;

use crate::{Error, Tensor};

/// Which half of a pair is the condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// A, the left half, is the condition; B, the right half, is the target.
    #[default]
    AToB,
    /// B, the right half, is the condition; A, the left half, is the target.
    BToA,
}

/// How pictures are resized; both filters average over the whole area where they shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Cubic, as the PyTorch original.
    #[default]
    Bicubic,
    /// Linear, as the Lua original.
    Bilinear,
}

/// Which pairs an epoch takes, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Every pair once, in a random order, as the PyTorch original.
    #[default]
    Shuffled,
    /// As many as there are, each drawn from all of them, as the Lua original: some twice, some not at all.
    WithReplacement,
}

/// How pairs are read.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `direction` | A to B | which half is the condition | | by data set |
/// | `input_channels` | 3 | 1 grey, 3 colour, 4 colour and alpha | 1, 3, 4 in picture files | 3 |
/// | `target_channels` | 3 | the same for the target | 1, 3, 4 in picture files | 3 |
/// | `load_size` | 286 | pixels that both sides are resized to | ≥ `crop_size` | 286 |
/// | `filter` | bicubic | how they are resized | | bilinear / bicubic |
/// | `crop_size` | 256 | pixels of the square cut out at random | 1– | 256 |
/// | `mirror` | true | whether half of the pairs are mirrored | | true |
/// | `sampling` | shuffled | which pairs an epoch takes | | not said (Lua: with replacement); shuffled / shuffled |
/// | `batch_size` | 1 | pairs in a batch | 1– | 1 |
/// | `workers` | 2 | threads that read ahead; 0 reads when asked | 0– | 4 |
#[derive(Config, Debug, PartialEq)]
pub struct DataConfig {
    /// Which half is the condition.
    #[config(default = "Direction::AToB")]
    pub direction: Direction,
    /// Channels of the condition.
    #[config(default = 3)]
    pub input_channels: usize,
    /// Channels of the target.
    #[config(default = 3)]
    pub target_channels: usize,
    /// Pixels that both sides of a picture are resized to before the crop.
    #[config(default = 286)]
    pub load_size: usize,
    /// How they are resized.
    #[config(default = "ResizeFilter::Bicubic")]
    pub filter: ResizeFilter,
    /// Pixels of a side of the crop.
    #[config(default = 256)]
    pub crop_size: usize,
    /// Whether half of the pairs are mirrored.
    #[config(default = true)]
    pub mirror: bool,
    /// Which pairs an epoch takes, and in which order.
    #[config(default = "Sampling::Shuffled")]
    pub sampling: Sampling,
    /// Pairs in a batch.
    #[config(default = 1)]
    pub batch_size: usize,
    /// Threads that read ahead.
    #[config(default = 2)]
    pub workers: usize,
}

impl DataConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> crate::Result<()> {
        let positive = [
            ("data.input_channels", self.input_channels),
            ("data.target_channels", self.target_channels),
            ("data.crop_size", self.crop_size),
            ("data.batch_size", self.batch_size),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::config(field, "is 0; it must be at least 1"));
            }
        }
        if self.load_size < self.crop_size {
            let problem = format!("{} is below the crop size of {}", self.load_size, self.crop_size);
            return Err(Error::config("data.load_size", problem));
        }
        Ok(())
    }
}

/// One pass over the data, and where in it to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Counted from 1.
    pub number: usize,
    /// Order and augmentation are a function of this and of `number`.
    pub seed: u64,
    /// Batches that an interrupted epoch has behind it.
    pub first_batch: usize,
}

impl From<usize> for Epoch {
    /// The whole epoch of that number under seed 0.
    fn from(number: usize) -> Self {
        Self { number, seed: 0, first_batch: 0 }
    }
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number.fmt(f)
    }
}

/// One pair as numbers in `[-1, 1]`, channel by channel and row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The condition, `[input_channels, height, width]`.
    pub input: Vec<f32>,
    /// The target, `[target_channels, height, width]`.
    pub target: Vec<f32>,
}

/// Pairs as tensors.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The condition, `[N, C, H, W]` in `[-1, 1]`.
    pub input: Tensor<4>,
    /// The target, `[N, C, H, W]` in `[-1, 1]`.
    pub target: Tensor<4>,
}
