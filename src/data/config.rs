//! The configuration of a data set: sizes, channels, augmentation and batches.

use std::fmt;
use std::str::FromStr;

use derive_setters::Setters;
use serde::{Deserialize, Serialize};

use super::labels::Labels;
use super::layout::Layout;
use crate::error::{Error, Result};
use crate::json::is_off;
use crate::names;
use crate::raster::{Pages, ResizeFilter, SampleFormat};

/// The allowed factors of random scaling.
const SCALES: std::ops::RangeInclusive<f64> = 0.25..=4.0;
/// The largest warp. A larger one could fold an image over itself.
const MAX_WARP: f64 = 0.08;
/// The longest side of a crop, and of an image that is resized before.
const MAX_SIDE: usize = 16_384;
/// The largest number of pairs in a batch.
const MAX_BATCH: usize = 65_536;
/// The largest number of threads that read ahead.
const MAX_WORKERS: usize = 1024;

/// Which half of a pair is the condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// A, the left half, is the condition; B, the right half, is the target.
    #[default]
    AToB,
    /// B, the right half, is the condition; A, the left half, is the target.
    BToA,
}

names::named!(Direction, "direction");

/// The selection and the order of the pairs in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sampling {
    /// Every pair once, in a random order, as in the PyTorch original.
    #[default]
    Shuffled,
    /// Draws with replacement, as in the Lua original: an epoch repeats some pairs and omits others.
    WithReplacement,
}

names::named!(Sampling, "sampling");

/// The scale at which images are read for training, before the random crop.
///
/// [`DataConfig::training_size`] returns the size at which a trained generator sees an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Preprocess {
    /// Resizes the image to `load_size`, whatever its shape, and crops it to `crop_size`.
    #[default]
    Resize,
    /// Scales the image to the width of `load_size`, keeps its shape, and crops it to `crop_size`.
    #[serde(alias = "scale_width")]
    ScaleWidth,
    /// Crops the image to `crop_size` at its own scale.
    Crop,
    /// Keeps the whole image at its own scale. Sizes that the network cannot take are padded by reflection.
    None,
}

names::named!(Preprocess, "preprocess");

/// Height and width of an image in pixels.
///
/// As text it is `256` for a square, `64x96` for a height of 64 and a width of 96. In JSON, a square is one number, and
/// any other size an array `[height, width]`.
///
/// # Examples
/// ```
/// use pix2pix::data::{DataConfig, Size};
///
/// let config = DataConfig::default().with_load_size([72, 108]).with_crop_size([64, 96]);
/// assert_eq!(config.crop_size.to_string(), "64x96");
/// assert_eq!("64x96".parse::<Size>()?, config.crop_size);
/// assert_eq!(Size::from(256), Size::from([256, 256]));
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SizeInJson", into = "SizeInJson")]
pub struct Size {
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a size is one number, or an array of height and width")]
enum SizeInJson {
    Square(usize),
    Rectangle([usize; 2]),
}

impl From<usize> for Size {
    /// Returns a square.
    fn from(side: usize) -> Self {
        Self { height: side, width: side }
    }
}

impl From<[usize; 2]> for Size {
    /// Returns the size of that height and width.
    fn from([height, width]: [usize; 2]) -> Self {
        Self { height, width }
    }
}

impl From<Size> for [usize; 2] {
    /// Returns height and width.
    fn from(size: Size) -> Self {
        [size.height, size.width]
    }
}

impl From<SizeInJson> for Size {
    fn from(size: SizeInJson) -> Self {
        match size {
            SizeInJson::Square(side) => side.into(),
            SizeInJson::Rectangle(size) => size.into(),
        }
    }
}

impl From<Size> for SizeInJson {
    fn from(size: Size) -> Self {
        if size.height == size.width { Self::Square(size.height) } else { Self::Rectangle(size.into()) }
    }
}

impl fmt::Display for Size {
    /// Writes `256` for a square, `64x96` for a height of 64 and a width of 96.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.height == self.width {
            write!(f, "{}", self.height)
        } else {
            write!(f, "{}x{}", self.height, self.width)
        }
    }
}

impl FromStr for Size {
    type Err = Error;

    /// Reads `256`, a square, or `64x96`, a height and a width.
    ///
    /// # Errors
    /// [`Error::Argument`] with the text and an example.
    fn from_str(text: &str) -> Result<Self> {
        let (height, width) = text.split_once(['x', 'X', '×']).unwrap_or((text, text));
        match (height.trim().parse(), width.trim().parse()) {
            (Ok(height), Ok(width)) => Ok(Self { height, width }),
            _ => {
                let problem = format!(
                    "`{text}` is not a size; write 256, or 256x512 for a height of 256 and a width of 512"
                );
                Err(Error::argument("size", problem))
            }
        }
    }
}

/// How pairs are read.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `direction` | A to B | which half is the condition | | by data set |
/// | `input_channels` | 3 | 1 grey, 3 colour, 4 colour and alpha | 1, 3, 4 in image files | 3 |
/// | `target_channels` | 3 | the same for the target | 1, 3, 4 in image files | 3 |
/// | `labels` | none | the classes of the input, if it is a label map; one channel for each | as many as `input_channels` | none |
/// | `load_size` | 286 | height and width that both images are resized to | ≥ `crop_size` | 286 |
/// | `preprocess` | resize | the scale of the images before the crop | | resize / resize, scale_width, crop, none |
/// | `image_size` | none | median height and width of the original images, which training records | | |
/// | `resize_filter` | bilinear | the resampling filter | | bilinear / bicubic |
/// | `target_resize_filter` | none | the resampling filter of the targets, if it differs | | same |
/// | `crop_size` | 256 | height and width of the random crop | 1– | 256 |
/// | `mirror` | true | whether half of the pairs are mirrored | | true |
/// | `rotate90` | false | whether pairs are rotated by 0 to 3 quarter turns; by half a turn if the crop is not square | | not used |
/// | `scale_range` | none | range of a random factor of the size before the crop | 0.25–4 | not used |
/// | `warp` | 0 | largest displacement of a smooth random warp, as a fraction of the crop's shorter side | 0–0.08 | not used |
/// | `sampling` | shuffled | selection and order of an epoch's pairs | | not stated (Lua: with replacement) / shuffled |
/// | `batch_size` | 1 | pairs in a batch | 1– | 1 |
/// | `workers` | 2 | threads that read ahead; 0 reads in the calling thread | 0– | 4 |
///
/// # Examples
/// ```
/// use pix2pix::data::{DataConfig, Direction};
///
/// let config = DataConfig::default().with_direction(Direction::BToA).with_batch_size(4);
/// config.validate()?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[setters(prefix = "with_")]
pub struct DataConfig {
    /// Which half is the condition.
    pub direction: Direction,
    /// Channels of the condition.
    pub input_channels: usize,
    /// Channels of the target.
    pub target_channels: usize,
    /// The classes of the input, if it is a label map: each has a channel, and `input_channels` is their number.
    /// [`Pix2PixConfig::with_labels`](crate::Pix2PixConfig::with_labels) sets both.
    pub labels: Option<Labels>,
    /// The range of the input files' samples, if they are read as arrays of any type and number of channels; by default
    /// they are read as images of 8 or 16 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_samples: Option<SampleFormat>,
    /// The same of the target files. Outputs are written with this type and range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_samples: Option<SampleFormat>,
    /// The pages of TIFF files that are read, if they are read as arrays.
    #[serde(skip_serializing_if = "is_default")]
    pub pages: Pages,
    /// How a file holds both images; by default side by side, and folders of files that show that they are not such pairs
    /// are refused. A layout that is given is not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Height and width that both images are resized to before the crop.
    #[setters(into)]
    pub load_size: Size,
    /// The scale of the images before the crop.
    pub preprocess: Preprocess,
    /// Median height and width of the original images; [`Trainer::fit`](crate::Trainer::fit) records it. It changes no
    /// number, but tells [`is_at_training_scale`](Self::is_at_training_scale) what the network was trained on.
    #[setters(strip_option, into)]
    pub image_size: Option<Size>,
    /// The resampling filter, of both images unless `target_resize_filter` is given.
    #[serde(alias = "filter")]
    pub resize_filter: ResizeFilter,
    /// The resampling filter of the targets, for instance `Nearest` for label maps; without it, that of the inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[setters(strip_option)]
    pub target_resize_filter: Option<ResizeFilter>,
    /// Height and width of the random crop.
    #[setters(into)]
    pub crop_size: Size,
    /// Whether half of the pairs are mirrored.
    pub mirror: bool,
    /// Whether pairs are rotated by 0 to 3 quarter turns at random, or by half a turn where the crop is not square.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rotate90: bool,
    /// The lowest and the highest factor of the size before the crop, drawn evenly in their logarithms. Reflection fills
    /// a crop that is larger than the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[setters(strip_option)]
    pub scale_range: Option<[f64; 2]>,
    /// The largest displacement of a smooth random warp, as a fraction of the crop's shorter side; 0.03 changes shapes
    /// visibly.
    #[serde(skip_serializing_if = "is_off")]
    pub warp: f64,
    /// The selection and the order of the pairs in an epoch.
    pub sampling: Sampling,
    /// Pairs in a batch.
    pub batch_size: usize,
    /// Threads that read ahead; 0 reads in the calling thread.
    pub workers: usize,
}

fn is_default(pages: &Pages) -> bool {
    *pages == Pages::default()
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            direction: Direction::AToB,
            input_channels: 3,
            target_channels: 3,
            labels: None,
            input_samples: None,
            target_samples: None,
            pages: Pages::First,
            layout: None,
            load_size: 286.into(),
            preprocess: Preprocess::Resize,
            image_size: None,
            resize_filter: ResizeFilter::Bilinear,
            target_resize_filter: None,
            crop_size: 256.into(),
            mirror: true,
            rotate90: false,
            scale_range: None,
            warp: 0.0,
            sampling: Sampling::Shuffled,
            batch_size: 1,
            workers: 2,
        }
    }
}

impl DataConfig {
    /// Returns the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the resampling filters of an input and of a target.
    pub(crate) fn resize_filters(&self) -> [ResizeFilter; 2] {
        [self.resize_filter, self.target_resize_filter.unwrap_or(self.resize_filter)]
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> Result<()> {
        let (load, crop) = (self.load_size, self.crop_size);
        let positive = [
            ("data.input_channels", self.input_channels),
            ("data.target_channels", self.target_channels),
            ("data.crop_size", crop.height.min(crop.width)),
            ("data.batch_size", self.batch_size),
        ];
        for (field, value) in positive {
            if value == 0 {
                return Err(Error::config(field, "is 0; it must be at least 1"));
            }
        }
        for (field, value, max) in [
            ("data.load_size", load.height.max(load.width), MAX_SIDE),
            ("data.crop_size", crop.height.max(crop.width), MAX_SIDE),
            ("data.batch_size", self.batch_size, MAX_BATCH),
            ("data.workers", self.workers, MAX_WORKERS),
        ] {
            if value > max {
                return Err(Error::config(field, format!("{value} is out of range; use at most {max}")));
            }
        }
        if let Some(labels) = &self.labels {
            labels.validate()?;
            if labels.classes.len() != self.input_channels {
                let problem = format!(
                    "{}, but data.labels has {} classes; set both to one value (`with_labels`)",
                    self.input_channels,
                    labels.classes.len()
                );
                return Err(Error::config("data.input_channels", problem));
            }
        }
        if let Some([low, high]) = self.scale_range
            && !(low <= high && SCALES.contains(&low) && SCALES.contains(&high))
        {
            let [min, max] = [SCALES.start(), SCALES.end()];
            let problem =
                format!("[{low}, {high}] is not a range from {min} to {max}, for instance [0.8, 1.25]");
            return Err(Error::config("data.scale_range", problem));
        }
        if !(0.0..=MAX_WARP).contains(&self.warp) {
            let problem = format!("{} is out of range; use 0 to {MAX_WARP}, for instance 0.03", self.warp);
            return Err(Error::config("data.warp", problem));
        }
        let samples =
            [("data.input_samples", self.input_samples), ("data.target_samples", self.target_samples)];
        for (field, samples) in samples {
            if let Some(SampleFormat { low, high, .. }) = samples
                && !(low < high && (high - low).is_finite())
            {
                let problem = format!("the range {low}..{high} is not one of rising, finite numbers");
                return Err(Error::config(field, problem));
            }
        }
        if load.height < crop.height || load.width < crop.width {
            return Err(Error::config("data.load_size", format!("{load} is below the crop size of {crop}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_in_json() {
        for direction in [Direction::AToB, Direction::BToA] {
            assert_eq!(direction.to_string().parse::<Direction>().unwrap(), direction);
        }
        for sampling in [Sampling::Shuffled, Sampling::WithReplacement] {
            assert_eq!(sampling.to_string().parse::<Sampling>().unwrap(), sampling);
        }
        for preprocess in [Preprocess::Resize, Preprocess::ScaleWidth, Preprocess::Crop, Preprocess::None] {
            assert_eq!(preprocess.to_string().parse::<Preprocess>().unwrap(), preprocess);
        }
        assert_eq!("scale_width".parse::<Preprocess>().unwrap().to_string(), "scale-width");
        assert_eq!(Direction::AToB.to_string(), "a-to-b");
        let message = "left".parse::<Direction>().unwrap_err().to_string();
        assert_eq!(
            message,
            "direction: `left` cannot be used: unknown variant `left`, expected `a-to-b` or `b-to-a`"
        );
        let message = "random".parse::<Sampling>().unwrap_err().to_string();
        assert_eq!(
            message,
            "sampling: `random` cannot be used: unknown variant `random`, expected `shuffled` or `with_replacement`"
        );
    }

    #[test]
    fn json_holds_a_square_as_a_number_and_other_sizes_as_height_and_width() {
        let config = DataConfig::default().with_load_size([72, 108]).with_crop_size(64);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!((&json["load_size"], &json["crop_size"]), (&serde_json::json!([72, 108]), &64.into()));
        assert_eq!(serde_json::from_value::<DataConfig>(json).unwrap(), config);
        let problem = serde_json::from_str::<DataConfig>(r#"{"crop_size": "big"}"#).unwrap_err().to_string();
        assert!(problem.contains("a size is one number, or an array of height and width"), "{problem}");
    }

    #[test]
    fn sizes_survive_as_text() {
        for (text, size) in [("256", [256, 256]), ("64x96", [64, 96]), ("1X2", [1, 2]), ("3 × 4", [3, 4])] {
            let size = Size::from(size);
            assert_eq!(text.parse::<Size>().unwrap(), size);
            assert_eq!(size.to_string().parse::<Size>().unwrap(), size);
        }
        for wrong in ["", "x", "64x", "64x96x3", "-1", "big", "6.5"] {
            let message = wrong.parse::<Size>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("size: `{wrong}` is not a size; write 256")), "{message}");
        }
    }

    #[test]
    fn configurations_of_earlier_versions_load() {
        let old = r#"{"direction": "b-to-a", "input_channels": 3, "target_channels": 3, "load_size": 36,
            "filter": "bilinear", "crop_size": 32, "mirror": false, "sampling": "shuffled", "batch_size": 1,
            "workers": 1}"#;
        let config = DataConfig::new().with_direction(Direction::BToA).with_load_size(36).with_crop_size(32);
        let config = config.with_resize_filter(ResizeFilter::Bilinear).with_mirror(false).with_workers(1);
        assert_eq!(serde_json::from_str::<DataConfig>(old).unwrap(), config);
        assert_eq!(serde_json::from_str::<DataConfig>("{}").unwrap(), DataConfig::default());
        let problem = serde_json::from_str::<DataConfig>(r#"{"colour": 3}"#).unwrap_err().to_string();
        assert!(problem.contains("unknown field `colour`"), "{problem}");
    }

    #[test]
    fn augmentation_that_is_off_is_left_out_of_json_and_its_ranges_are_checked() {
        let json = serde_json::to_value(DataConfig::default()).unwrap();
        for field in ["rotate90", "scale_range", "warp", "target_resize_filter"] {
            assert!(json.get(field).is_none(), "{field}: {json}");
        }
        let on = DataConfig::default().with_rotate90(true).with_scale_range([0.8, 1.25]).with_warp(0.03);
        on.validate().unwrap();
        assert_eq!(serde_json::from_value::<DataConfig>(serde_json::to_value(&on).unwrap()).unwrap(), on);
        for (wrong, expected) in [
            (
                on.clone().with_scale_range([1.25, 0.8]),
                "data.scale_range: [1.25, 0.8] is not a range from 0.25 to 4",
            ),
            (on.clone().with_scale_range([f64::NAN, 1.0]), "data.scale_range: [NaN, 1]"),
            (on.clone().with_scale_range([0.0, 1.0]), "data.scale_range: [0, 1]"),
            (on.clone().with_warp(0.1), "data.warp: 0.1 is out of range; use 0 to 0.08"),
            (on.with_warp(-0.01), "data.warp: -0.01"),
        ] {
            let message = wrong.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_crop_must_fit_on_both_sides() {
        let message = |config: DataConfig| config.validate().unwrap_err().to_string();
        let wide = DataConfig::default().with_load_size([64, 64]).with_crop_size([64, 96]);
        assert_eq!(message(wide), "data.load_size: 64 is below the crop size of 64x96");
        let flat = DataConfig::default().with_crop_size([0, 96]);
        assert_eq!(message(flat), "data.crop_size: is 0; it must be at least 1");
        let huge = DataConfig::new().with_load_size(1usize << 62).with_crop_size(64);
        assert!(message(huge).starts_with("data.load_size: 4611686018427387904 is out of range"));
        let crowd = DataConfig::new().with_workers(100_000);
        assert_eq!(message(crowd), "data.workers: 100000 is out of range; use at most 1024");
        DataConfig::default().with_load_size([72, 108]).with_crop_size([64, 96]).validate().unwrap();
    }
}
