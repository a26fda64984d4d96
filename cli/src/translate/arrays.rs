//! Translates files of arrays one after the other: pages of stacks, and samples of any type and number of channels.

use anyhow::{Context, Error, Result};
use indicatif::ProgressBar;
use pix2pix::Translator;

use super::jobs::Job;
use super::write::Writer;

/// Translates all jobs with each of the `translators`, except to outputs that are to be kept. Returns an error for every
/// file that lacks an output.
pub(crate) fn translate_all(
    jobs: &[Job],
    translators: &[Translator],
    writer: &Writer,
    bar: &ProgressBar,
) -> Vec<Error> {
    let mut errors = Vec::new();
    for job in jobs {
        if let Err(error) = translate(job, translators, writer) {
            errors.push(error);
        }
        bar.inc(1);
    }
    errors
}

fn translate(job: &Job, translators: &[Translator], writer: &Writer) -> Result<()> {
    for (sample, (translator, path)) in (0..).zip(translators.iter().zip(writer.paths(job))) {
        if writer.keeps(job, sample)? {
            continue;
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        translator.translate_to(&job.input, &path)?;
    }
    Ok(())
}
