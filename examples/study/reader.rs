//! Labels read back off photographs, which says whether a generated photograph shows what it should.

use std::collections::BTreeMap;
use std::path::Path;

use pix2pix::data::{Batch, DataConfig, PairedFolder};
use pix2pix::metrics::Palette;
use pix2pix::{CheckpointProblem, Device, Error, Generator, Mode, Result, Tensor};

use super::io;

/// A U-Net that gives each pixel a channel for each class, trained on photographs and their label maps. It plays the
/// part of the paper's FCN-8s.
pub(crate) struct Reader {
    pub(crate) generator: Generator,
    pub(crate) labels: Labels,
    /// The pairs to score on, as [`Labels::finer`].
    pub(crate) val: PairedFolder,
}

impl Reader {
    /// The class of every pixel: of the channel with the highest value.
    pub(crate) fn read(&self, photograph: Tensor<4>) -> Vec<usize> {
        let [_, _, height, width] = photograph.dims();
        let values = self.generator.forward(photograph, Mode::IMAGE).into_data().convert::<f32>();
        let values = values.try_into_vec::<f32>().unwrap_or_default();
        let (area, classes) = (height * width, self.labels.palette.classes());
        let highest = |pixel: usize| {
            let value = |class: &usize| values[class * area + pixel];
            (0..classes).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or(0)
        };
        (0..area).map(highest).collect()
    }

    /// The true classes of each pair's pixels.
    pub(crate) fn truths(&self, device: &Device) -> impl Iterator<Item = Result<Vec<usize>>> {
        self.val.in_order(device).map(|batch| Ok(self.labels.classes(batch?.input)))
    }
}

/// What label maps mean.
///
/// One that is shrunk as a picture has mixed colours at all borders, which may be those of other classes. So labels are
/// taken from pictures that are a whole number of times larger, as in the files, and put to the vote.
#[derive(Clone)]
pub(crate) struct Labels {
    pub(crate) palette: Palette,
    times: usize,
}

impl Labels {
    /// Those of the pictures in `pairs`, which are resized for the study.
    pub(crate) fn new(palette: Palette, pairs: &PairedFolder) -> Result<Self> {
        let path = pairs.path(0);
        let read = image::ImageReader::open(path).and_then(image::ImageReader::with_guessed_format);
        let (_, height) = read
            .map_err(|error| io(path, error))?
            .into_dimensions()
            .map_err(|error| Error::Image { path: path.to_owned(), source: error.into() })?;
        Ok(Self { palette, times: (height as usize / pairs.config().crop_size).max(1) })
    }

    /// The pairs of a folder, larger than the study's.
    pub(crate) fn finer(&self, folder: &Path, config: &DataConfig) -> Result<PairedFolder> {
        let (load, crop) = (self.times * config.load_size, self.times * config.crop_size);
        PairedFolder::open(folder, &config.clone().with_load_size(load).with_crop_size(crop))
    }

    fn classes(&self, finer: Tensor<4>) -> Vec<usize> {
        self.palette.classify_squares(finer, self.times)
    }

    /// From a finer batch what the reader learns: photographs, and a channel for each class, 1 where it is and −1
    /// elsewhere.
    pub(crate) fn lesson(&self, Batch { input, target }: Batch) -> Batch {
        let [count, channels, height, width] = target.dims();
        let (height, width, classes) = (height / self.times, width / self.times, self.palette.classes());
        let mut values = vec![-1.0f32; count * classes * height * width];
        for (at, class) in self.classes(input).into_iter().enumerate() {
            let (picture, pixel) = (at / (height * width), at % (height * width));
            values[(picture * classes + class) * height * width + pixel] = 1.0;
        }
        let truth = Tensor::<1>::from_floats(values.as_slice(), &target.device());
        let squares = target.reshape([count, channels, height, self.times, width, self.times]);
        let photograph = squares.mean_dim(5).mean_dim(3).reshape([count, channels, height, width]);
        Batch { input: photograph, target: truth.reshape([count, classes, height, width]) }
    }
}

/// Reads a palette: a class on each line, with its colours as hexadecimal numbers.
pub(crate) fn palette(path: &Path, text: &str) -> Result<Palette> {
    let corrupt = |problem: String| Error::Checkpoint {
        path: path.to_owned(),
        problem: CheckpointProblem::Corrupt(problem),
    };
    let classes: BTreeMap<String, Vec<String>> =
        toml::from_str(text).map_err(|error| corrupt(error.to_string()))?;
    let colour = |text: &String| {
        let number = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 6);
        let [_, r, g, b] =
            number.ok_or_else(|| corrupt(format!("`{text}` is no colour like 00ff7f")))?.to_be_bytes();
        Ok([r, g, b])
    };
    let classes = classes.values().map(|colours| colours.iter().map(colour).collect());
    let classes = classes.collect::<Result<Vec<Vec<_>>>>()?;
    if classes.iter().all(Vec::is_empty) {
        return Err(corrupt("it has no colour".to_owned()));
    }
    Ok(Palette::new(classes))
}
