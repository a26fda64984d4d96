//! Recovers labels from photographs, to measure whether a generated photograph matches its label map.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use pix2pix::data::{Batch, DataConfig, PairedFolder, Size};
use pix2pix::metrics::Palette;
use pix2pix::{Device, Generator, Mode, Tensor};

use crate::common::values;

/// A U-Net with an output channel for each class, trained on photographs and their label maps. It replaces the paper's
/// FCN-8s.
pub(crate) struct Reader {
    pub(crate) generator: Generator,
    pub(crate) labels: Labels,
    /// The validation pairs, from [`Labels::finer`].
    pub(crate) val: PairedFolder,
}

impl Reader {
    /// Returns the class of every pixel: the channel with the highest value.
    pub(crate) fn read(&self, photograph: Tensor<4>) -> Result<Vec<usize>> {
        let [_, _, height, width] = photograph.dims();
        let values = values(self.generator.forward(photograph, Mode::IMAGE))?;
        let (area, classes) = (height * width, self.labels.palette.classes());
        let highest = |pixel: usize| {
            let value = |class: &usize| values[class * area + pixel];
            (0..classes).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or(0)
        };
        Ok((0..area).map(highest).collect())
    }

    /// Returns the true classes of each pair's pixels.
    pub(crate) fn truths(&self, device: &Device) -> impl Iterator<Item = Result<Vec<usize>>> {
        self.val.sequential(device).map(|batch| self.labels.classes(batch?.input))
    }
}

/// Turns label maps into classes.
///
/// A label map that is shrunk as an image has mixed colours at borders, which may be those of other classes. So classes
/// are counted in images that are larger by an integer factor, and each pixel gets the most frequent class.
#[derive(Clone)]
pub(crate) struct Labels {
    pub(crate) palette: Palette,
    times: usize,
}

impl Labels {
    /// Creates the labels of a palette. The factor comes from the size of the files in `pairs`.
    pub(crate) fn new(palette: Palette, pairs: &PairedFolder) -> Result<Self> {
        let path = pairs.path(0);
        let read = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
        let (_, height) = read
            .with_context(|| path.display().to_string())?
            .into_dimensions()
            .with_context(|| path.display().to_string())?;
        Ok(Self { palette, times: (height as usize / pairs.config().crop_size.height).max(1) })
    }

    /// Opens the pairs of a folder at a larger size than the study's.
    pub(crate) fn finer(&self, folder: &Path, config: &DataConfig) -> Result<PairedFolder> {
        let larger = |size: Size| Size::from([self.times * size.height, self.times * size.width]);
        let (load, crop) = (larger(config.load_size), larger(config.crop_size));
        Ok(PairedFolder::open(folder, &config.clone().with_load_size(load).with_crop_size(crop))?)
    }

    /// Returns the classes of a batch of larger images.
    fn classes(&self, finer: Tensor<4>) -> Result<Vec<usize>> {
        Ok(self.palette.classify_squares(finer, self.times)?)
    }

    /// Converts a batch of larger pairs to one for the reader: photographs, and a channel for each class that is 1 at
    /// pixels of the class and −1 elsewhere.
    pub(crate) fn lesson(&self, Batch { input, target }: Batch) -> Result<Batch> {
        let [count, channels, height, width] = target.dims();
        let (height, width, classes) = (height / self.times, width / self.times, self.palette.classes());
        let mut values = vec![-1.0f32; count * classes * height * width];
        for (at, class) in self.classes(input)?.into_iter().enumerate() {
            let (image, pixel) = (at / (height * width), at % (height * width));
            values[(image * classes + class) * height * width + pixel] = 1.0;
        }
        let truth = Tensor::<1>::from_floats(values.as_slice(), &target.device());
        let squares = target.reshape([count, channels, height, self.times, width, self.times]);
        let photograph = squares.mean_dim(5).mean_dim(3).reshape([count, channels, height, width]);
        Ok(Batch { input: photograph, target: truth.reshape([count, classes, height, width]) })
    }
}

/// Parses a palette in TOML: a line for each class, with its colours as hexadecimal numbers.
pub(crate) fn palette(path: &Path, text: &str) -> Result<Palette> {
    let classes: BTreeMap<String, Vec<String>> =
        toml::from_str(text).with_context(|| path.display().to_string())?;
    let colour = |text: &String| {
        let number = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 6);
        let [_, r, g, b] = number
            .ok_or_else(|| {
                anyhow!("{}: `{text}` is not a colour; write it as 00ff7f, for example", path.display())
            })?
            .to_be_bytes();
        Ok([r, g, b])
    };
    let classes = classes.values().map(|colours| colours.iter().map(colour).collect());
    let classes = classes.collect::<Result<Vec<Vec<_>>>>()?;
    if classes.iter().all(Vec::is_empty) {
        return Err(anyhow!(
            "{}: no class has a colour; give each a list such as [\"00ff7f\"]",
            path.display()
        ));
    }
    Ok(Palette::new(classes))
}
