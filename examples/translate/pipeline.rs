//! Decoding, the network and encoding at the same time, in bounded memory.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use image::{DynamicImage, ImageDecoder, ImageReader};
use indicatif::ProgressBar;
use pix2pix::{Error, Result, Translator, data};

use super::broken;
use super::jobs::Job;
use super::write::Writer;

/// Pictures that wait for the network, and outputs that wait to be written.
const AHEAD: usize = 2;
/// Threads that decode, and threads that encode.
const WORKERS: usize = 2;
/// Bytes of pictures between decoder and network, and again between network and encoder. A larger picture goes alone.
const BYTES: u64 = 256 << 20;
/// Longer files are refused without a look at them.
const LONGEST_FILE: u64 = 1 << 30;

/// A picture on its way to the network.
struct Input<'a> {
    job: &'a Job,
    picture: DynamicImage,
    profile: Option<Arc<[u8]>>,
    /// Of the picture's bytes, which are free again once it is dropped.
    _permit: Permit<'a>,
}

/// An output on its way to its file.
struct Output<'a> {
    job: &'a Job,
    sample: u64,
    picture: DynamicImage,
    profile: Option<Arc<[u8]>>,
    _permit: Permit<'a>,
}

/// Threads decode ahead of the network, and others encode behind it; the queues between them are short. Gives what was
/// wrong with those pictures that have not all of their outputs.
///
/// `translators` give the samples of a picture, which are written one by one.
pub(crate) fn translate_all(
    jobs: &[Job],
    translators: &[Translator],
    writer: &Writer,
    bar: &ProgressBar,
) -> Vec<Error> {
    let failed = Mutex::new(Vec::new());
    let fail = |job: &Job, error| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        // One is enough to tell of each picture.
        if !failed.iter().any(|(path, _)| *path == job.input) {
            failed.push((job.input.clone(), error));
        }
    };
    let next = AtomicUsize::new(0);
    let (before, behind) = (Budget::new(BYTES), Budget::new(BYTES));
    let (decoded, pictures) = sync_channel(AHEAD);
    let (translated, outputs) = sync_channel::<Output>(AHEAD);
    let outputs = Mutex::new(outputs);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            let decoded = decoded.clone();
            let (next, before) = (&next, &before);
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let input = unless_it_panics(&job.input, || read(job, before));
                    if decoded.send((job, input)).is_err() {
                        break;
                    }
                }
            });
            scope.spawn(|| {
                loop {
                    let received = outputs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Output { job, sample, picture, profile, _permit }) = received else { break };
                    let write = || writer.write(job, sample, picture, profile.as_deref());
                    unless_it_panics(&job.input, write).unwrap_or_else(|error| fail(job, error));
                }
            });
        }
        drop(decoded);
        for (job, input) in pictures {
            let done = input.and_then(|input| {
                for (sample, translator) in (0..).zip(translators) {
                    if writer.keeps(job, sample) {
                        continue;
                    }
                    let permit = behind.take(size(&input.picture));
                    let picture = unless_it_panics(&job.input, || translator.translate(&input.picture))?;
                    let profile = input.profile.clone();
                    let output = Output { job: input.job, sample, picture, profile, _permit: permit };
                    // The writers are there until all is translated.
                    let _ = translated.send(output);
                }
                Ok(())
            });
            done.unwrap_or_else(|error| fail(job, error));
            bar.inc(1);
        }
        drop(translated);
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.into_iter().map(|(_, error)| error).collect()
}

/// Decodes a picture once there is room for it.
fn read<'a>(job: &'a Job, budget: &'a Budget) -> Result<Input<'a>> {
    let permit = budget.take(claimed(&job.input));
    let (picture, profile) = data::read_image_with_profile(&job.input)?;
    Ok(Input { job, picture, profile: profile.map(Arc::from), _permit: permit })
}

/// The bytes that a picture needs by its header; 0 if there is none, which decoding will tell.
fn claimed(path: &Path) -> u64 {
    let decoder = || {
        let file = std::fs::metadata(path).ok()?;
        let reader = || ImageReader::open(path).ok()?.with_guessed_format().ok()?.into_decoder().ok();
        (file.is_file() && file.len() <= LONGEST_FILE).then(reader)?
    };
    decoder().map_or(0, |decoder| decoder.total_bytes())
}

fn size(picture: &DynamicImage) -> u64 {
    picture.as_bytes().len() as u64
}

/// A panic as an error, so that one picture never stops the others.
fn unless_it_panics<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(broken(path, format!("the program failed on it: {words}")))
    })
}

/// Bytes that may be in use at once.
struct Budget {
    whole: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

struct Permit<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    fn new(whole: u64) -> Self {
        Self { whole, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until so many bytes are free, or all of them.
    fn take(&self, bytes: u64) -> Permit<'_> {
        let bytes = bytes.min(self.whole);
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.freed.wait_while(used, |used| *used + bytes > self.whole);
        *used.unwrap_or_else(PoisonError::into_inner) += bytes;
        Permit { budget: self, bytes }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.budget.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.budget.freed.notify_all();
    }
}
