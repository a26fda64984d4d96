//! The report of a run: `metrics.jsonl`, `samples/`, event files for TensorBoard, and a page, `index.html`.

#![cfg_attr(not(feature = "report"), allow(dead_code, reason = "only the page uses it"))]

#[cfg(feature = "report")]
mod chart;
#[cfg(feature = "report")]
mod embedded;
mod log;
mod losses;
#[cfg(feature = "report")]
mod page;
mod record;
mod run_info;
mod samples;
mod series;
mod tensorboard;

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;

pub use log::LogPosition;
pub(crate) use log::verify;
pub use losses::{LossSet, LossValues};
pub use record::Record;
pub(crate) use run_info::{facts, readable, title};

use self::log::Log;
use self::tensorboard::Events;
use crate::error::{Error, Result};
use crate::files::{own_folder, scratch_in, sweep, write_atomically};

/// The step and epoch that a run resumes from; the default is a new run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumePoint {
    /// The number of training steps so far.
    pub step: u64,
    /// The epoch of the last step, counted from 1.
    pub epoch: usize,
    /// The position in `metrics.jsonl` that belongs to the step, if it is known.
    pub recorded: Option<LogPosition>,
}

/// The report of one run, written into the run's folder while the run trains.
///
/// [`Trainer::open_run`](crate::Trainer::open_run) opens one together with the lock and the checkpoints of the folder.
#[derive(Debug)]
pub struct Report {
    run: PathBuf,
    log: Log,
    records: Vec<Record>,
    events: Option<Events>,
    images_per_second: Option<f32>,
    title: String,
    facts: Vec<(String, String)>,
}

impl Report {
    /// Opens the report in the folder `run`, which is created if absent, for a run that resumes at `point`.
    ///
    /// Keeps the lines and samples up to that point and removes later ones; at step 0 it removes all. If the lines do
    /// not match [`ResumePoint::recorded`], the readable lines up to that point are kept, and the damaged file is
    /// copied to `damaged-metrics.jsonl`. The page shows `title` and `facts`, pairs of a name and a value.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read or written, so that a run fails before training.
    ///
    /// # Examples
    /// ```no_run
    /// use std::path::Path;
    ///
    /// use pix2pix::report::{Report, ResumePoint};
    ///
    /// let facts = vec![("data".to_owned(), "facades".to_owned())];
    /// let report = Report::open(Path::new("runs/facades"), ResumePoint::default(), "facades", facts)?;
    /// report.write_page(false)?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn open(run: &Path, point: ResumePoint, title: &str, facts: Vec<(String, String)>) -> Result<Self> {
        let samples = run.join("samples");
        own_folder(&samples)?;
        scratch_in(&samples).map_err(|error| Error::io(&samples, error))?;
        sweep(run)?;
        sweep(&samples)?;

        let (log, records, is_intact) = Log::open(run, point.step, point.recorded)?;
        // If lines are damaged, the last epoch is that of the point.
        let closed = records.iter().filter_map(Record::closes).max().filter(|_| is_intact);
        let last_epoch = closed.or((point.step > 0).then_some(point.epoch));
        for (epoch, path) in samples::list(&samples)? {
            if Some(epoch) > last_epoch {
                fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        let (run, title) = (run.to_owned(), title.to_owned());
        Ok(Self { run, log, records, events: None, images_per_second: None, title, facts })
    }

    /// Also writes event files for TensorBoard in `tensorboard/`, starting with the records and samples so far.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written, or a sample cannot be read.
    pub fn with_tensorboard(mut self) -> Result<Self> {
        let mut events = Events::begin(&self.run.join("tensorboard"))?;
        for record in &self.records {
            events.record(record)?;
        }
        for (epoch, path) in samples::list(&self.run.join("samples"))? {
            let Some(png) = samples::read(&path)? else { continue };
            // A damaged sample does not stop a run.
            if let Ok(size) = image::image_dimensions(&path) {
                events.image(self.last_step_of(epoch), size.into(), &png)?;
            }
        }
        self.events = Some(events.published()?);
        Ok(self)
    }

    /// Returns the last step of `epoch`.
    fn last_step_of(&self, epoch: usize) -> u64 {
        let positions = self.records.iter().map(Record::position);
        positions.filter(|(_, of)| *of <= epoch).map(|(step, _)| step).max().unwrap_or(0)
    }

    /// Adds a row to the table about the run.
    pub fn add_fact(&mut self, name: &str, value: impl std::fmt::Display) {
        self.facts.push((name.to_owned(), value.to_string()));
    }

    /// Appends a line to `metrics.jsonl`, and adds it to the page. Does
    /// nothing without the feature `codecs`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; [`sync`](Self::sync) tries again.
    pub fn record(&mut self, record: Record) -> Result<()> {
        self.record_all(vec![record])
    }

    /// Appends lines that belong together. After an error, all of them are kept and written later.
    ///
    /// # Errors
    /// As in [`record`](Self::record).
    pub fn record_all(&mut self, records: Vec<Record>) -> Result<()> {
        let lines: Vec<u8> = records.iter().flat_map(Record::line).collect();
        let first = self.records.len();
        self.records.extend(records);
        self.log.append(&lines)?;
        let Some(events) = &mut self.events else { return Ok(()) };
        self.records[first..].iter().try_for_each(|record| events.record(record))
    }

    /// Returns whether mean losses or metrics of `epoch` are recorded.
    pub fn is_closed(&self, epoch: usize) -> bool {
        self.records.iter().rev().any(|record| record.closes() == Some(epoch))
    }

    /// Sets the training speed that the page shows. It is not recorded, so that records depend only on the seed.
    pub fn set_speed(&mut self, images_per_second: f32) {
        self.images_per_second = Some(images_per_second);
    }

    /// Waits until all lines are on the disk. Call it before a checkpoint is saved, so that a crash cannot lose the
    /// lines of a saved step.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        self.log.sync()
    }

    /// Returns the position after the last line, for the [`ResumePoint`] of a run that resumes from here.
    pub fn position(&self) -> LogPosition {
        self.log.position()
    }

    /// Saves a sample, rows of input, output and target, as `samples/epoch-0007.png`, and adds it to the page.
    ///
    /// # Errors
    /// [`Error::Image`] if the image is empty, [`Error::Io`] if it cannot be written.
    pub fn sample(&mut self, step: u64, epoch: usize, grid: &RgbImage) -> Result<()> {
        if !cfg!(feature = "codecs") {
            return Ok(());
        }
        let path = self.run.join("samples").join(format!("epoch-{epoch:04}.png"));
        let mut png = std::io::Cursor::new(Vec::new());
        grid.write_to(&mut png, image::ImageFormat::Png).map_err(|error| Error::image(&path, error))?;
        let png = png.into_inner();
        write_atomically(&path, &png)?;
        let write = |events: &mut Events| events.image(step, grid.dimensions().into(), &png);
        self.events.as_mut().map_or(Ok(()), write)
    }

    /// Writes `index.html` atomically. Unless the run `is_finished`, the page reloads itself. Does nothing without the
    /// feature `report`.
    ///
    /// # Errors
    /// [`Error::Io`] if a sample cannot be read or the page cannot be written.
    pub fn write_page(&self, is_finished: bool) -> Result<()> {
        #[cfg(not(feature = "report"))]
        let _ = is_finished;
        #[cfg(feature = "report")]
        write_atomically(&self.run.join("index.html"), self.page(is_finished)?.to_string().as_bytes())?;
        Ok(())
    }

    /// Returns the page.
    #[cfg(feature = "report")]
    fn page(&self, is_finished: bool) -> Result<page::Page<'_>> {
        Ok(page::Page {
            title: &self.title,
            facts: &self.facts,
            records: &self.records,
            images_per_second: self.images_per_second,
            samples: embedded::newest(&self.run.join("samples"))?,
            is_finished,
        })
    }
}

#[cfg(all(test, feature = "report"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn step(step: u64, g_l1: f32) -> Record {
        let losses = LossValues {
            g_gan: Some(f32::NAN),
            g_l1: Some(g_l1),
            d_real: Some(0.5),
            d_real_accuracy: Some(0.75),
            ..LossValues::default()
        };
        Record::Step { step, epoch: step as usize / 10, losses, learning_rate: 2e-4 }
    }

    #[test]
    fn lines_are_those_of_earlier_versions() {
        let line = r#"{"kind":"step","step":10,"epoch":1,"g_gan":null,"g_l1":1.5,"d_real":0.5,"learning_rate":0.0002,"d_real_accuracy":0.75}"#;
        assert_eq!(String::from_utf8(step(10, 1.5).line()).unwrap().trim_end(), line);
        let epoch = r#"{"kind":"epoch","step":10,"epoch":1,"g_gan":0.5,"g_l1":1.5,"d_real":0.5,"d_fake":0.25,"d_real_accuracy":0.75,"d_fake_accuracy":1.0}"#;
        let record: Record = serde_json::from_str(epoch).unwrap();
        assert_eq!(String::from_utf8(record.line()).unwrap().trim_end(), epoch);
    }

    fn open(run: &Path, step: u64) -> Report {
        let facts = vec![("a & b".to_owned(), "<i>".to_owned())];
        let point = ResumePoint { step, epoch: step as usize / 10, recorded: None };
        Report::open(run, point, "</title> <u>", facts).unwrap()
    }

    #[test]
    fn records_are_equal_after_json_with_nan_for_infinity() {
        let validation = Record::Validation {
            step: 3,
            epoch: 1,
            l1: 0.25,
            psnr: f32::INFINITY,
            ssim_unit: Some(0.75),
            ssim_signed: 0.5,
        };
        for record in [step(7, f32::NAN), step(7, 1.1), validation] {
            let line = serde_json::to_string(&record).unwrap();
            let back = serde_json::from_str::<Record>(&line).unwrap();
            // NaN differs from itself, so their texts are compared.
            assert_eq!(format!("{back:?}"), format!("{record:?}").replace("inf", "NaN"));
        }
    }

    #[test]
    fn resuming_keeps_earlier_lines_and_samples_and_removes_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut report = open(run, 0);
        for at in [10, 20, 30] {
            report.record(step(at, 1.0)).unwrap();
            report.sample(at, at as usize / 10, &RgbImage::new(6, 2)).unwrap();
        }
        let samples = || samples::list(&run.join("samples")).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(samples(), [1, 2, 3]);

        let metrics = run.join("metrics.jsonl");
        let whole = fs::read(&metrics).unwrap();
        fs::write(&metrics, &whole[..whole.len() - 9]).unwrap();
        assert_eq!(open(run, 30).records.len(), 2, "the partly written line is not removed");

        fs::write(&metrics, &whole).unwrap();
        let mut report = open(run, 20);
        report.record(step(25, 25.0)).unwrap();
        let steps = open(run, 99).records.iter().map(|record| record.position().0).collect::<Vec<_>>();
        assert_eq!((steps, samples()), (vec![10, 20, 25], vec![1, 2]));

        assert!(open(run, 0).records.is_empty() && samples().is_empty());
    }

    #[test]
    fn damaged_lines_are_reported_and_no_sample_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut report = open(run, 0);
        for at in [10, 20, 30] {
            report.record(step(at, 1.0)).unwrap();
            report.sample(at, at as usize / 10, &RgbImage::new(6, 2)).unwrap();
        }
        let point = ResumePoint { step: 30, epoch: 3, recorded: Some(report.position()) };
        report.record(step(30, 2.0)).unwrap(); // of the same step, but after the checkpoint
        let again = || Report::open(run, point, "again", vec![]).unwrap();
        assert!(verify(run, report.position()).is_ok() && verify(run, point.recorded.unwrap()).is_ok());
        let metrics = run.join("metrics.jsonl");
        assert_eq!((again().records.len(), again().position()), (3, point.recorded.unwrap()));

        let mut damaged = fs::read(&metrics).unwrap();
        for (flip, left) in [(damaged.len() - 5, 2), (damaged.len() / 2, 2), (3, 2)] {
            let flipped = damaged[flip];
            damaged[flip] = b'}';
            fs::write(&metrics, &damaged).unwrap();
            let message = verify(run, point.recorded.unwrap()).unwrap_err().to_string();
            assert!(
                message.contains("metrics.jsonl: damaged") && message.contains("damaged-metrics.jsonl"),
                "{message}"
            );
            assert_eq!(again().records.len(), left, "{flip}");
            assert!(fs::read(run.join("damaged-metrics.jsonl")).unwrap() == damaged);
            assert_eq!(samples::list(&run.join("samples")).unwrap().len(), 3, "{flip}");
            damaged[flip] = flipped;
        }
        fs::remove_file(&metrics).unwrap();
        assert!(verify(run, point.recorded.unwrap()).is_err());
        assert_eq!((again().records.len(), samples::list(&run.join("samples")).unwrap().len()), (0, 3));
    }

    #[test]
    fn a_line_that_could_not_be_appended_is_written_later_after_the_same_bytes() {
        use crate::files::fault::{self, Fault};
        let folder = tempfile::tempdir().unwrap();
        let mut report = open(folder.path(), 0);
        report.record(step(10, 1.1)).unwrap();
        fault::plan(Some((0, Fault::Broken)));
        assert!(report.record(step(20, 1.2)).is_err());
        fault::plan(None);
        report.record_all(vec![step(30, 1.3), step(40, 1.4)]).unwrap();
        report.sync().unwrap();
        let whole: Vec<u8> =
            [(10, 1.1), (20, 1.2), (30, 1.3), (40, 1.4)].map(|(at, loss)| step(at, loss).line()).concat();
        assert!(fs::read(folder.path().join("metrics.jsonl")).unwrap() == whole);
        assert!(
            report.position().bytes == whole.len() as u64 && verify(folder.path(), report.position()).is_ok()
        );
    }

    #[test]
    fn a_sample_that_is_not_an_image_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = open(folder.path(), 0);
        report.record(step(10, 1.0)).unwrap();
        report.sample(10, 1, &RgbImage::new(6, 2)).unwrap();
        let damaged = folder.path().join("samples/epoch-0000.png");
        fs::write(damaged, vec![7; 1 << 20]).unwrap();
        let report = open(folder.path(), 10).with_tensorboard().unwrap();
        report.write_page(true).unwrap();
        let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
        assert_eq!(page.matches("<img").count(), 1);
        assert!(folder.path().join("tensorboard/events.out.tfevents.0.pix2pix").is_file());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused_when_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let run = file.path().join("run");
        let error = Report::open(&run, ResumePoint::default(), "a run", vec![]).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.starts_with(&run)), "{error}");
    }

    #[test]
    fn the_page_is_escaped_self_contained_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = open(folder.path(), 0);
        report.write_page(true).unwrap(); // without records and samples

        report.records.extend((0..100_000).map(|at| step(at, (at % 97) as f32)));
        let mut noise = RgbImage::new(768, 512); // the worst case for compression
        let bytes = (0u32..).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_mul(i) >> 24) as u8);
        noise.iter_mut().zip(bytes).for_each(|(value, byte)| *value = byte);
        report.sample(0, 0, &noise).unwrap();
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
