//! What a run leaves behind for people: `metrics.jsonl`, `samples/` and a page, `index.html`.

mod page;
mod tensorboard;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};
use serde::{Deserialize, Deserializer, Serialize};

use crate::files::{append, scratch_in, sweep, sync, write_atomically};
use crate::{Error, Result};
use tensorboard::Events;

const METRICS: &str = "metrics.jsonl";

/// One line of `metrics.jsonl`.
///
/// JSON has no NaN and no infinity: both are written as `null` and read back as NaN. A loss that does not exist,
/// because the run has no discriminator, is left out instead.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// The losses of one training step, or their means since the record before.
    Step {
        /// Training steps so far.
        step: u64,
        /// The epoch that the step belongs to.
        epoch: usize,
        /// G's adversarial loss.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        g_gan: Option<f32>,
        /// G's L1 loss, times its weight λ.
        #[serde(deserialize_with = "null_as_nan")]
        g_l1: f32,
        /// D's loss on real pairs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_real: Option<f32>,
        /// D's loss on generated pairs.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_fake: Option<f32>,
        /// The optimisers' step size.
        #[serde(deserialize_with = "null_as_nan")]
        learning_rate: f64,
        /// The share of patches of real pairs that D takes for real.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_real_accuracy: Option<f32>,
        /// The share of patches of generated pairs that D takes for generated.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_as_nan")]
        d_fake_accuracy: Option<f32>,
    },
    /// Mean scores on the validation pairs.
    Validation {
        /// Training steps so far.
        step: u64,
        /// The epoch that has just ended.
        epoch: usize,
        /// Mean absolute difference.
        #[serde(deserialize_with = "null_as_nan")]
        l1: f32,
        /// Peak signal-to-noise ratio in decibels.
        #[serde(deserialize_with = "null_as_nan")]
        psnr: f32,
        /// Structural similarity.
        #[serde(deserialize_with = "null_as_nan")]
        ssim: f32,
    },
}

impl Record {
    /// Its step and its epoch.
    fn position(&self) -> (u64, usize) {
        match self {
            Self::Step { step, epoch, .. } | Self::Validation { step, epoch, .. } => (*step, *epoch),
        }
    }
}

fn null_as_nan<'de, D: Deserializer<'de>, T: Deserialize<'de> + From<f32>>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(|| T::from(f32::NAN)))
}

/// The report of one run, kept up to date in the run's folder.
#[derive(Debug)]
pub struct Report {
    run: PathBuf,
    metrics: File,
    // Whether a line could not be appended, or only in part.
    is_torn: bool,
    records: Vec<Record>,
    events: Option<Events>,
    images_per_second: Option<f32>,
    title: String,
    facts: Vec<(String, String)>,
}

impl Report {
    /// Opens the report in the folder `run`, which is made where absent, for a run that goes on after `step`.
    ///
    /// Lines of an earlier `metrics.jsonl` up to and including `step` stay; later lines, and lines that cannot be
    /// read, such as one torn by a crash, are dropped. Samples of epochs after the last line that stays are
    /// removed. With step 0 nothing stays. The page shows `title` and `facts`, pairs of a name and a value.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read or written: a run should fail now, not after training.
    pub fn open(run: &Path, step: u64, title: &str, facts: Vec<(String, String)>) -> Result<Self> {
        let samples = run.join("samples");
        fs::create_dir_all(&samples).map_err(|error| Error::io(&samples, error))?;
        scratch_in(&samples).map_err(|error| Error::io(&samples, error))?;
        sweep(run)?;
        sweep(&samples)?;

        let path = run.join(METRICS);
        let earlier = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| Error::io(&path, error))?,
        };
        let (mut lines, mut records, mut last_epoch) = (Vec::new(), Vec::new(), None);
        for line in earlier.split(|byte| *byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
            let (at, epoch) = record.position();
            if at <= step && step > 0 {
                lines.extend_from_slice(line);
                lines.push(b'\n');
                records.push(record);
                last_epoch = last_epoch.max(Some(epoch));
            }
        }
        // Written even if nothing changes: this proves that files in `run` can be replaced, as the page will be.
        let metrics = written(&path, &lines)?;

        for (epoch, path) in page::samples(&samples)? {
            if Some(epoch) > last_epoch {
                fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        let (run, title) = (run.to_owned(), title.to_owned());
        let (events, images_per_second) = (None, None);
        Ok(Self { run, metrics, is_torn: false, records, events, images_per_second, title, facts })
    }

    /// Writes event files for TensorBoard, too, in `tensorboard/`; they begin with what is recorded already.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written, [`Error::Image`] if a sample of the run is no PNG.
    pub fn with_tensorboard(mut self) -> Result<Self> {
        let mut events = Events::create(&self.run.join("tensorboard"))?;
        for record in &self.records {
            events.record(record)?;
        }
        for (epoch, path) in page::samples(&self.run.join("samples"))? {
            let png = fs::read(&path).map_err(|error| Error::io(&path, error))?;
            let size = image::image_dimensions(&path).map_err(|error| Error::image(&path, error))?;
            events.picture(self.step_of(epoch), size.into(), &png)?;
        }
        self.events = Some(events);
        Ok(self)
    }

    /// The last step of `epoch`.
    fn step_of(&self, epoch: usize) -> u64 {
        let positions = self.records.iter().map(Record::position);
        positions.filter(|(_, of)| *of <= epoch).map(|(step, _)| step).max().unwrap_or(0)
    }

    /// Appends a line to `metrics.jsonl` and remembers it for the page.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; [`sync`](Self::sync) tries again.
    pub fn record(&mut self, record: Record) -> Result<()> {
        let line = line(&record);
        self.records.push(record.clone());
        append(&self.metrics, &self.run.join(METRICS), &line).inspect_err(|_| self.is_torn = true)?;
        self.events.as_mut().map_or(Ok(()), |events| events.record(&record))
    }

    /// Whether the scores after `epoch` are recorded.
    pub fn is_validated(&self, epoch: usize) -> bool {
        let is_it = |record: &Record| matches!(record, Record::Validation { epoch: of, .. } if *of == epoch);
        self.records.iter().rev().any(is_it)
    }

    /// Sets the training speed that the page shows. It is in no record: what a run records is a function of its seed.
    pub fn set_speed(&mut self, images_per_second: f32) {
        self.images_per_second = Some(images_per_second);
    }

    /// Waits until all lines are on the disk: a checkpoint must not outlive the lines that led to it.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        if self.is_torn {
            let lines: Vec<u8> = self.records.iter().flat_map(line).collect();
            self.metrics = written(&self.run.join(METRICS), &lines)?;
            self.is_torn = false;
        }
        sync(&self.metrics, &self.run.join(METRICS))
    }

    /// Saves a strip, rows of input, output and target, as `samples/epoch-0007.png`; the page picks it up there.
    ///
    /// # Errors
    /// [`Error::Image`] if the strip is empty, [`Error::Io`] if it cannot be written.
    pub fn sample(&mut self, epoch: usize, strip: &RgbImage) -> Result<()> {
        let path = self.run.join("samples").join(format!("epoch-{epoch:04}.png"));
        let mut png = Cursor::new(Vec::new());
        strip.write_to(&mut png, ImageFormat::Png).map_err(|error| Error::image(&path, error))?;
        let png = png.into_inner();
        if self.events.is_some() {
            let step = self.step_of(epoch);
            self.events
                .iter_mut()
                .try_for_each(|events| events.picture(step, strip.dimensions().into(), &png))?;
        }
        write_atomically(&path, &png)
    }

    /// Writes `index.html`, whole at once. Until `finished` it asks the browser to reload it now and then.
    ///
    /// # Errors
    /// [`Error::Image`] if a sample is no PNG, [`Error::Io`] if one cannot be read or the page cannot be written.
    pub fn write_page(&self, finished: bool) -> Result<()> {
        let html = page::render(self, finished)?;
        write_atomically(&self.run.join("index.html"), html.as_bytes())
    }
}

/// A record as `metrics.jsonl` has it.
fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("numbers and names are JSON");
    line.push(b'\n');
    line
}

/// The file with these lines, for more to be appended.
fn written(path: &Path, lines: &[u8]) -> Result<File> {
    write_atomically(path, lines)?;
    OpenOptions::new().append(true).open(path).map_err(|error| Error::io(path, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn step(step: u64, g_l1: f32) -> Record {
        let epoch = step as usize / 10;
        let (g_gan, d_real, d_fake) = (Some(f32::NAN), Some(0.5), None);
        let (d_real_accuracy, d_fake_accuracy) = (Some(0.75), None);
        let learning_rate = 2e-4;
        Record::Step {
            step,
            epoch,
            g_gan,
            g_l1,
            d_real,
            d_fake,
            learning_rate,
            d_real_accuracy,
            d_fake_accuracy,
        }
    }

    fn open(run: &Path, step: u64) -> Report {
        let facts = vec![("a & b".to_owned(), "<i>".to_owned())];
        Report::open(run, step, "</title> <u>", facts).unwrap()
    }

    #[test]
    fn records_survive_json_with_their_nans() {
        let validation = Record::Validation { step: 3, epoch: 1, l1: 0.25, psnr: f32::INFINITY, ssim: 0.5 };
        for record in [step(7, f32::NAN), step(7, 1.1), validation] {
            let line = serde_json::to_string(&record).unwrap();
            let back = serde_json::from_str::<Record>(&line).unwrap();
            // NaN differs from itself, so their texts are compared.
            assert_eq!(format!("{back:?}"), format!("{record:?}").replace("inf", "NaN"));
        }
    }

    #[test]
    fn resuming_keeps_what_came_before_and_drops_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut report = open(run, 0);
        for at in [10, 20, 30] {
            report.record(step(at, 1.0)).unwrap();
            report.sample(at as usize / 10, &RgbImage::new(6, 2)).unwrap();
        }
        let samples = || page::samples(&run.join("samples")).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(samples(), [1, 2, 3]);

        let metrics = run.join("metrics.jsonl");
        let whole = fs::read(&metrics).unwrap();
        fs::write(&metrics, &whole[..whole.len() - 9]).unwrap();
        assert_eq!(open(run, 30).records.len(), 2, "the torn line goes");

        fs::write(&metrics, &whole).unwrap();
        let mut report = open(run, 20);
        report.record(step(25, 25.0)).unwrap();
        let steps = open(run, 99).records.iter().map(|record| record.position().0).collect::<Vec<_>>();
        assert_eq!((steps, samples()), (vec![10, 20, 25], vec![1, 2]));

        assert!(open(run, 0).records.is_empty() && samples().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_out_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let run = file.path().join("run");
        let error = Report::open(&run, 0, "a run", vec![]).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(&run)), "{error}");
    }

    #[test]
    fn the_page_is_escaped_self_contained_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = open(folder.path(), 0);
        report.write_page(true).unwrap(); // nothing to show yet

        report.records.extend((0..100_000).map(|at| step(at, (at % 97) as f32)));
        let mut noise = RgbImage::new(768, 512); // compresses worst
        let bytes = (0u32..).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_mul(i) >> 24) as u8);
        noise.iter_mut().zip(bytes).for_each(|(value, byte)| *value = byte);
        report.sample(0, &noise).unwrap();
        let sample = folder.path().join("samples/epoch-0000.png");
        for epoch in 1..300 {
            fs::hard_link(&sample, sample.with_file_name(format!("epoch-{epoch:04}.png"))).unwrap();
        }
        report.write_page(false).unwrap();

        let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
        assert!((2_000_000..4_000_000).contains(&page.len()), "{} bytes", page.len());
        assert!(!["http://", "https://", "</title> <u>", "<i>"].iter().any(|text| page.contains(text)));
        assert!(page.contains("Epoch 0<") && page.contains("Epoch 299, the latest"));
        assert_eq!(page.matches("<img").count(), 12);
    }
}
