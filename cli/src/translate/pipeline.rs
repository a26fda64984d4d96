//! Decodes, translates and encodes in parallel, in bounded memory.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use anyhow::{Context, Error, Result, anyhow};
use image::DynamicImage;
use indicatif::ProgressBar;
use pix2pix::Translator;
use pix2pix::data::{self, ImageHeader, ImageLimits, Labels, MemoryBudget, MemoryPermit};

use super::half::Half;
use super::jobs::Job;
use super::write::Writer;
use crate::common::NO_THREADS;

/// Images that wait for the network, and outputs that wait to be written.
const QUEUE_LEN: usize = 2;
/// Threads that decode, and threads that encode.
const WORKERS: usize = 2;
/// Bytes of images between decoder and network, with the output of the one in the network. A larger image passes alone.
const INPUT_BYTES: u64 = 640 << 20;
/// Bytes of outputs that wait to be written. A larger one passes alone.
const OUTPUT_BYTES: u64 = 384 << 20;
/// Bytes of a pixel of an output: at most 16 bits, colour and alpha.
const OUTPUT_PIXEL: u64 = 8;

/// An image on its way to the network.
struct Input<'a> {
    job: &'a Job,
    image: DynamicImage,
    profile: Option<Arc<[u8]>>,
    /// Holds the memory of the image and of an output until it is dropped.
    _permit: MemoryPermit,
}

/// An output on its way to its file.
struct Output<'a> {
    job: &'a Job,
    sample: u64,
    image: DynamicImage,
    profile: Option<Arc<[u8]>>,
    _permit: MemoryPermit,
}

/// Translates all jobs. Worker threads decode before the network and encode after it; short queues connect them.
///
/// Only the `half` of an image is translated. Each of the `translators` gives one output per image. Returns an error for every image that lacks an output.
pub(crate) fn translate_all(
    jobs: &[Job],
    translators: &[Translator],
    half: Half,
    limits: ImageLimits,
    writer: &Writer,
    bar: &ProgressBar,
) -> Result<Vec<Error>> {
    let failures = Failures::default();
    let next = AtomicUsize::new(0);
    // Two budgets: while the network waits to hand on an output, it holds the memory of an input.
    let limits = &limits.with_budget(MemoryBudget::new(INPUT_BYTES));
    let output_budget = MemoryBudget::new(OUTPUT_BYTES);
    let (decoded, images) = sync_channel(QUEUE_LEN);
    let (translated, outputs) = sync_channel(QUEUE_LEN);
    let outputs = Mutex::new(outputs);
    let labels = translators.first().and_then(|translator| translator.config().data.labels.as_ref());
    std::thread::scope(|scope| {
        let [mut readers, mut writers] = [0; 2];
        let mut refusal = None;
        for _ in 0..WORKERS {
            let decoded = decoded.clone();
            let next = &next;
            match start(scope, move || read_all(jobs, labels, next, half, limits, &decoded)) {
                Ok(()) => readers += 1,
                Err(error) => refusal = Some(error),
            }
            match start(scope, || write_all(&outputs, writer, &failures)) {
                Ok(()) => writers += 1,
                Err(error) => refusal = Some(error),
            }
        }
        drop(decoded);
        // Some threads suffice, but both kinds are needed.
        if let Some(error) = refusal.filter(|_| readers == 0 || writers == 0) {
            return Err(error);
        }
        for (job, input) in images {
            let done =
                input.and_then(|input| translate(input, translators, writer, &output_budget, &translated));
            done.unwrap_or_else(|error| failures.add(job, error));
            bar.inc(1);
        }
        drop(translated);
        Ok(())
    })?;
    Ok(failures.into_errors())
}

/// Starts a thread, or returns the error where the system allows no more.
fn start<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> Result<()> {
    std::thread::Builder::new().spawn_scoped(scope, work).map(drop).context(NO_THREADS)
}

/// Decodes jobs until none is left: each worker takes the one after `next`.
fn read_all<'a>(
    jobs: &'a [Job],
    labels: Option<&Labels>,
    next: &AtomicUsize,
    half: Half,
    limits: &ImageLimits,
    decoded: &SyncSender<(&'a Job, Result<Input<'a>>)>,
) {
    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
        let input = catch_panic(&job.input, || read(job, labels, half, limits));
        if decoded.send((job, input)).is_err() {
            break;
        }
    }
}

/// Translates one image with each of the `translators`, except to outputs that are to be kept.
fn translate<'a>(
    input: Input<'a>,
    translators: &[Translator],
    writer: &Writer,
    budget: &MemoryBudget,
    translated: &SyncSender<Output<'a>>,
) -> Result<()> {
    let job = input.job;
    for (sample, translator) in (0..).zip(translators) {
        if writer.keeps(job, sample)? {
            continue;
        }
        let permit = budget.take(size(&input.image));
        let named = |error| match error {
            pix2pix::Error::Image { .. } => error.in_file(&job.input),
            other => other,
        };
        let image = catch_panic(&job.input, || Ok(translator.translate(&input.image).map_err(named)?))?;
        let profile = input.profile.clone();
        // The writers stop only when this queue is closed.
        let _ = translated.send(Output { job, sample, image, profile, _permit: permit });
    }
    Ok(())
}

/// Writes outputs until their queue is closed.
fn write_all(outputs: &Mutex<Receiver<Output>>, writer: &Writer, failures: &Failures) {
    loop {
        let received = outputs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Output { job, sample, image, profile, _permit }) = received else { break };
        let write = || writer.write(job, sample, &image, profile.as_deref());
        catch_panic(&job.input, write).unwrap_or_else(|error| failures.add(job, error));
    }
}

/// The images that failed, with one error each.
#[derive(Default)]
struct Failures(Mutex<Vec<(PathBuf, Error)>>);

impl Failures {
    fn add(&self, job: &Job, error: Error) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed.iter().any(|(path, _)| *path == job.input) {
            failed.push((job.input.clone(), error));
        }
    }

    fn into_errors(self) -> Vec<Error> {
        let failed = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.into_iter().map(|(_, error)| error).collect()
    }
}

/// Decodes an image once there is memory for it. The colour profile of a label map does not describe the output.
fn read<'a>(job: &'a Job, labels: Option<&Labels>, half: Half, limits: &ImageLimits) -> Result<Input<'a>> {
    let output = |header: &ImageHeader| OUTPUT_PIXEL * header.pixels();
    let loaded = match labels {
        Some(labels) => labels.load_image(&job.input, limits, output)?,
        None => data::load_image(&job.input, limits, output)?,
    };
    let profile = if labels.is_some() { None } else { loaded.profile.map(Arc::from) };
    let image = half.cut(loaded.image, &job.input)?;
    Ok(Input { job, image, profile, _permit: loaded.permit })
}

fn size(image: &DynamicImage) -> u64 {
    image.as_bytes().len() as u64
}

/// Turns a panic into an error, so that one image does not stop the others.
fn catch_panic<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(anyhow!("{}: the program failed on this image: {words}", path.display()))
    })
}
