//! The type and the range of samples of data that are not ordinary images.

use anyhow::{Result, anyhow, bail};
use pix2pix::Pix2PixConfig;
use pix2pix::data::{ImageArray, Pages, PairedFolder, SampleFormat, SampleType, read_image};

use super::options::Options;
use crate::output::{note, say};

/// The names of the sides.
const SIDES: [&str; 2] = ["input", "target"];
/// 16-bit samples that reach less than this part of their range are probably of 10 or 12 bits.
const SMALL_PART: f64 = 0.25;

/// A range of samples as a flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    Given(f64, f64),
    Measured,
}

impl std::str::FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "measured" {
            return Ok(Self::Measured);
        }
        let numbers =
            text.split_once("..").and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        match numbers {
            Some((low, high)) if low < high && f64::is_finite(high - low) => Ok(Self::Given(low, high)),
            _ => Err(format!("`{text}` is neither `measured` nor two rising numbers such as 0..4095")),
        }
    }
}

/// Returns the configuration for the samples of the pairs, or `None` if both sides are ordinary images of 8 or 16 bits.
pub(super) fn configured(
    options: &Options,
    config: &Pix2PixConfig,
    pairs: &PairedFolder,
) -> Result<Option<Pix2PixConfig>> {
    let ranges = [options.range, options.target_range.or(options.range)];
    let is_known = config.data.input_samples.is_some() || config.data.target_samples.is_some();
    if is_known && ranges == [None; 2] {
        return Ok(None);
    }
    let mut found = [None; 2];
    for side in 0..2 {
        if side == 0 && config.data.labels.is_some() {
            continue;
        }
        // Training reports files that cannot be read.
        let Ok(array) = pairs.array(0, side) else { continue };
        let format = format(ranges[side], config.data.pages, pairs, side, &array)?;
        found[side] = format.map(|format| (format, array.channels));
    }
    if found == [None; 2] {
        return Ok(None);
    }
    let [input, target] = found;
    let mut config = config.clone().with_channels(
        input.map_or(config.data.input_channels, |(_, channels)| channels),
        target.map_or(config.data.target_channels, |(_, channels)| channels),
    );
    (config.data.input_samples, config.data.target_samples) =
        (input.map(|(format, _)| format), target.map(|(format, _)| format));
    for (name, side) in SIDES.iter().zip(found) {
        if let Some((SampleFormat { sample_type, low, high }, channels)) = side {
            say!("{name}: {channels} channels of {sample_type}, from {low} to {high}");
        }
    }
    config.validate()?;
    Ok(Some(config))
}

/// Returns the format of a side's samples; `None` for ordinary images.
fn format(
    range: Option<Range>,
    pages: Pages,
    pairs: &PairedFolder,
    side: usize,
    array: &ImageArray,
) -> Result<Option<SampleFormat>> {
    let sample_type = array.samples.sample_type();
    let is_integer = matches!(sample_type, SampleType::U8 | SampleType::U16);
    let path = pairs.files(0)[side];
    let is_image =
        is_integer && pages == Pages::First && (sample_type == SampleType::U8 || read_image(path).is_ok());
    Ok(match range {
        Some(Range::Given(low, high)) => Some(SampleFormat { sample_type, low, high }),
        Some(Range::Measured) => Some(measured(pairs, side, sample_type)?),
        None if is_image => {
            let [_, high] = array.range().map_err(|problem| anyhow!("{}: {problem}", path.display()))?;
            if sample_type == SampleType::U16 && high < SMALL_PART * f64::from(u16::MAX) {
                note!(
                    "warning: {}: its samples reach only {high} of 65535, so the {} will look nearly black to the network; \
                     --range measured uses the range of the data set, and --range 0..4095 that of 12 bits",
                    path.display(),
                    SIDES[side]
                );
            }
            None
        }
        None if is_integer => Some(SampleFormat::full(sample_type)),
        None => Some(measured(pairs, side, sample_type)?),
    })
}

/// Measures the range of a side's samples over all pairs.
fn measured(pairs: &PairedFolder, side: usize, sample_type: SampleType) -> Result<SampleFormat> {
    let [low, high] = pairs.sample_range(side)?;
    if low == high {
        bail!(
            "--range: all samples of the {} are {low}; give a range, for instance {low}..{}",
            SIDES[side],
            low + 1.0
        );
    }
    Ok(SampleFormat { sample_type, low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_two_rising_numbers() {
        assert_eq!("0..4095".parse(), Ok(Range::Given(0.0, 4095.0)));
        assert_eq!("-1.5..2e3".parse(), Ok(Range::Given(-1.5, 2000.0)));
        assert_eq!("measured".parse(), Ok(Range::Measured));
        for text in ["", "5", "5..5", "7..3", "0..inf", "NaN..1", "a..b", "0..1..2"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
