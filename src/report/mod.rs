//! What a run leaves behind for people: `metrics.jsonl`, `samples/` and a page, `index.html`.

mod metrics;
mod page;
mod record;
mod tensorboard;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, RgbImage};

pub use metrics::Extent;
pub(crate) use metrics::verify;
pub use record::Record;

use crate::files::{scratch_in, sweep, write_atomically};
use crate::{Error, Result};
use metrics::Metrics;
use tensorboard::Events;

/// Where a run goes on; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Training steps so far.
    pub step: u64,
    /// The epoch that the last of them belongs to, counted from 1.
    pub epoch: usize,
    /// How much was recorded then, where that is known.
    pub recorded: Option<Extent>,
}

/// The report of one run, kept up to date in the run's folder.
#[derive(Debug)]
pub struct Report {
    run: PathBuf,
    metrics: Metrics,
    records: Vec<Record>,
    events: Option<Events>,
    images_per_second: Option<f32>,
    title: String,
    facts: Vec<(String, String)>,
}

impl Report {
    /// Opens the report in the folder `run`, which is made where absent, for a run that goes on at `place`.
    ///
    /// What was recorded up to that place stays, later lines and samples go. Where a checkpoint's count of lines does
    /// not fit the file, lines that can be read and are not later stay, and the damaged file is kept beside as
    /// `damaged-metrics.jsonl`. At step 0 nothing stays. The page shows `title` and `facts`, pairs of a name and a
    /// value.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read or written: a run should fail now, not after training.
    pub fn open(run: &Path, place: Place, title: &str, facts: Vec<(String, String)>) -> Result<Self> {
        let samples = run.join("samples");
        fs::create_dir_all(&samples).map_err(|error| Error::io(&samples, error))?;
        scratch_in(&samples).map_err(|error| Error::io(&samples, error))?;
        sweep(run)?;
        sweep(&samples)?;

        let (metrics, records, is_whole) = Metrics::open(run, place.step, place.recorded)?;
        // Damaged lines say nothing about how far the run had come; the place does.
        let closed = records.iter().filter_map(Record::closes).max().filter(|_| is_whole);
        let last_epoch = closed.or((place.step > 0).then_some(place.epoch));
        for (epoch, path) in page::samples(&samples)? {
            if Some(epoch) > last_epoch {
                fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        let (run, title) = (run.to_owned(), title.to_owned());
        Ok(Self { run, metrics, records, events: None, images_per_second: None, title, facts })
    }

    /// Writes event files for TensorBoard, too, in `tensorboard/`; they begin with what is recorded already.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written, or a sample cannot be read.
    pub fn with_tensorboard(mut self) -> Result<Self> {
        let mut events = Events::begin(&self.run.join("tensorboard"))?;
        for record in &self.records {
            events.record(record)?;
        }
        for (epoch, path) in page::samples(&self.run.join("samples"))? {
            let png = fs::read(&path).map_err(|error| Error::io(&path, error))?;
            // A sample that somebody spoilt is no reason to stop a run.
            if let Ok(size) = image::image_dimensions(&path) {
                events.picture(self.step_of(epoch), size.into(), &png)?;
            }
        }
        self.events = Some(events.published()?);
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
        self.record_all(vec![record])
    }

    /// Appends lines that belong together: all are remembered even if they cannot be written yet.
    pub(crate) fn record_all(&mut self, records: Vec<Record>) -> Result<()> {
        let lines: Vec<u8> = records.iter().flat_map(Record::line).collect();
        let first = self.records.len();
        self.records.extend(records);
        self.metrics.append(&lines)?;
        let Some(events) = &mut self.events else { return Ok(()) };
        self.records[first..].iter().try_for_each(|record| events.record(record))
    }

    /// Whether anything is recorded about the whole of `epoch`.
    pub(crate) fn is_closed(&self, epoch: usize) -> bool {
        self.records.iter().rev().any(|record| record.closes() == Some(epoch))
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
        self.metrics.sync()
    }

    /// How much is recorded, for the [`Place`] of a run that goes on from here.
    pub fn extent(&self) -> Extent {
        self.metrics.extent()
    }

    /// Saves a strip, rows of input, output and target, as `samples/epoch-0007.png`; the page picks it up there.
    ///
    /// # Errors
    /// [`Error::Image`] if the strip is empty, [`Error::Io`] if it cannot be written.
    pub fn sample(&mut self, step: u64, epoch: usize, strip: &RgbImage) -> Result<()> {
        let path = self.run.join("samples").join(format!("epoch-{epoch:04}.png"));
        let mut png = Cursor::new(Vec::new());
        strip.write_to(&mut png, ImageFormat::Png).map_err(|error| Error::image(&path, error))?;
        let png = png.into_inner();
        write_atomically(&path, &png)?;
        let picture = |events: &mut Events| events.picture(step, strip.dimensions().into(), &png);
        self.events.as_mut().map_or(Ok(()), picture)
    }

    /// Writes `index.html`, whole at once. Until `finished` it asks the browser to reload it now and then.
    ///
    /// # Errors
    /// [`Error::Io`] if a sample cannot be read or the page cannot be written.
    pub fn write_page(&self, finished: bool) -> Result<()> {
        let html = page::render(self, finished)?;
        write_atomically(&self.run.join("index.html"), html.as_bytes())
    }
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
        let place = Place { step, epoch: step as usize / 10, recorded: None };
        Report::open(run, place, "</title> <u>", facts).unwrap()
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
            report.sample(at, at as usize / 10, &RgbImage::new(6, 2)).unwrap();
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
    fn damaged_lines_are_told_and_take_no_sample_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let mut report = open(run, 0);
        for at in [10, 20, 30] {
            report.record(step(at, 1.0)).unwrap();
            report.sample(at, at as usize / 10, &RgbImage::new(6, 2)).unwrap();
        }
        let place = Place { step: 30, epoch: 3, recorded: Some(report.extent()) };
        report.record(step(30, 2.0)).unwrap(); // of the same step, yet after the checkpoint
        let again = || Report::open(run, place, "again", vec![]).unwrap();
        assert!(verify(run, report.extent()).is_ok() && verify(run, place.recorded.unwrap()).is_ok());
        let metrics = run.join("metrics.jsonl");
        assert_eq!((again().records.len(), again().extent()), (3, place.recorded.unwrap()));

        let mut damaged = fs::read(&metrics).unwrap();
        for (flip, left) in [(damaged.len() - 5, 2), (damaged.len() / 2, 2), (3, 2)] {
            let flipped = damaged[flip];
            damaged[flip] = b'}';
            fs::write(&metrics, &damaged).unwrap();
            let told = verify(run, place.recorded.unwrap()).unwrap_err().to_string();
            assert!(
                told.contains("metrics.jsonl: damaged") && told.contains("damaged-metrics.jsonl"),
                "{told}"
            );
            assert_eq!(again().records.len(), left, "{flip}");
            assert!(fs::read(run.join("damaged-metrics.jsonl")).unwrap() == damaged);
            assert_eq!(page::samples(&run.join("samples")).unwrap().len(), 3, "{flip}");
            damaged[flip] = flipped;
        }
        fs::remove_file(&metrics).unwrap();
        assert!(verify(run, place.recorded.unwrap()).is_err());
        assert_eq!((again().records.len(), page::samples(&run.join("samples")).unwrap().len()), (0, 3));
    }

    #[test]
    fn a_line_that_could_not_be_appended_is_written_later_and_all_bytes_before_it_stay() {
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
            report.extent().bytes == whole.len() as u64 && verify(folder.path(), report.extent()).is_ok()
        );
    }

    #[test]
    fn a_sample_that_is_no_picture_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = open(folder.path(), 0);
        report.record(step(10, 1.0)).unwrap();
        report.sample(10, 1, &RgbImage::new(6, 2)).unwrap();
        let spoilt = folder.path().join("samples/epoch-0000.png");
        fs::write(spoilt, vec![7; 1 << 20]).unwrap();
        let report = open(folder.path(), 10).with_tensorboard().unwrap();
        report.write_page(true).unwrap();
        let page = fs::read_to_string(folder.path().join("index.html")).unwrap();
        assert_eq!(page.matches("<img").count(), 1);
        assert!(folder.path().join("tensorboard/events.out.tfevents.0.pix2pix").is_file());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_out_at_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let run = file.path().join("run");
        let error = Report::open(&run, Place::default(), "a run", vec![]).unwrap_err();
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
