//! The results file: the plan and the metrics, complete after every run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pix2pix::data::Direction;
use serde::{Deserialize, Serialize};

use super::score::Scores;
use super::table::{Claim, Table, current_name};
use crate::files;

/// The settings that all runs of a study share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Folder of pairs; `None` for drawn façades.
    pub(crate) data: Option<PathBuf>,
    pub(crate) direction: Direction,
    /// Side of the images in pixels.
    pub(crate) size: usize,
    pub(crate) base_channels: usize,
    /// Side of the discriminator's patches if a table does not set it.
    #[serde(default = "papers_patch")]
    pub(crate) patch: usize,
    /// Steps of each run.
    pub(crate) steps: u64,
    /// Whether pairs are cropped and mirrored at random.
    pub(crate) jitter: bool,
}

/// Returns the patch of older studies, whose plan does not contain it.
fn papers_patch() -> usize {
    70
}

/// One trained generator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    /// Seconds of training and evaluation in the process that finished the run.
    pub(crate) seconds: f64,
    /// Number of the generator's parameters.
    pub(crate) parameters: usize,
    pub(crate) scores: Scores,
    /// Checksum of everything that `scores` depend on besides the run: classes, colours and the version of the metrics.
    #[serde(default)]
    pub(crate) scored_by: String,
}

/// The training of the reader, the network that recovers labels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) steps: u64,
    /// Seconds in the process that finished it.
    pub(crate) seconds: f64,
}

/// The content of `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) plan: Plan,
    pub(crate) runs: Vec<Run>,
    #[serde(default)]
    pub(crate) reader: Option<Reading>,
    /// Metrics of the photographs themselves.
    pub(crate) photographs: Option<Scores>,
    /// The tables as the page shows them, for readers of the file.
    pub(crate) tables: Vec<Summary>,
}

/// The results of a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) claims: Vec<Verdict>,
}

/// The results of a variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) job: String,
    pub(crate) note: Option<String>,
    pub(crate) seeds: usize,
    /// For each column: mean over seeds, standard deviation (`None` for a single seed), the paper's value.
    pub(crate) cells: Vec<(Option<f64>, Option<f64>, Option<f64>)>,
}

/// In how many seeds a claim holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) says: String,
    pub(crate) holds: usize,
    pub(crate) of: usize,
    /// The metric that the claim compares.
    #[serde(default)]
    pub(crate) metric: String,
    /// Its means over those seeds: of the variant that should be higher, and of the other.
    #[serde(default)]
    pub(crate) means: Option<[f64; 2]>,
    /// Whether both variants are the same run, as with patches of 286 and 70 pixels in images of 32.
    #[serde(default)]
    pub(crate) is_void: bool,
}

impl Results {
    /// Reads the results in a file; returns `None` if there is no file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| path.display().to_string())?,
        };
        let results = serde_json::from_str::<Self>(&text);
        let mut results =
            results.with_context(|| format!("{}: not the results of a study", path.display()))?;
        for scores in results.runs.iter_mut().map(|run| &mut run.scores).chain(&mut results.photographs) {
            let named = std::mem::take(scores).into_iter();
            *scores = named.map(|(name, value)| (current_name(&name).to_owned(), value)).collect();
        }
        Ok(Some(results))
    }

    /// Writes the results to a file.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).with_context(|| path.display().to_string())?;
        files::replace(path, text.as_bytes())
    }

    /// Returns the run of a variant with this seed, if it is finished.
    pub(crate) fn find(&self, job: &str, seed: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.job == job && run.seed == seed)
    }

    /// Returns the finished runs of a variant.
    fn of(&self, job: &str) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.job == job)
    }

    /// Returns the results of a table whose variants are these jobs.
    pub(crate) fn summary(&self, table: &Table, jobs: &[(&str, Option<String>)]) -> Summary {
        // A metric that no run has, such as FID without Inception, gets no column.
        let has = |column: &&String| {
            jobs.iter().any(|(job, _)| self.of(job).any(|run| run.scores.contains_key(*column)))
        };
        let columns: Vec<String> = table.columns.iter().filter(has).cloned().collect();
        let rows = table.variants.iter().zip(jobs).map(|(variant, (job, note))| Row {
            name: variant.name.clone(),
            job: (*job).to_owned(),
            note: note.clone(),
            seeds: self.of(job).count(),
            cells: columns
                .iter()
                .map(|column| {
                    let values: Vec<f64> =
                        self.of(job).filter_map(|run| run.scores.get(column).copied()).collect();
                    let (mean, deviation) = spread(&values);
                    (mean, deviation, variant.paper.get(column).copied())
                })
                .collect(),
        });
        let job = |name: &str| {
            let at = table.variants.iter().position(|variant| variant.name == name);
            at.map_or("", |at| jobs[at].0)
        };
        let verdict = |claim: &Claim| self.verdict(claim, job(&claim.higher), job(&claim.lower));
        Summary {
            title: table.title.clone(),
            about: table.about.clone(),
            columns: columns.clone(),
            rows: rows.collect(),
            claims: table.claims.iter().map(verdict).collect(),
        }
    }

    /// Returns in how many seeds a claim holds, whose variants are the jobs `higher` and `lower`.
    fn verdict(&self, claim: &Claim, higher: &str, lower: &str) -> Verdict {
        let is_void = higher == lower;
        let pairs = self.of(higher).filter_map(|run| {
            let other = self.find(lower, run.seed)?;
            Some([*run.scores.get(&claim.metric)?, *other.scores.get(&claim.metric)?])
        });
        let pairs: Vec<[f64; 2]> = if is_void { vec![] } else { pairs.collect() };
        let mean = |side: usize| spread(&pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>()).0;
        Verdict {
            says: claim.says.clone(),
            holds: pairs.iter().filter(|[higher, lower]| higher > lower).count(),
            of: pairs.len(),
            metric: claim.metric.clone(),
            means: mean(0).zip(mean(1)).map(|(higher, lower)| [higher, lower]),
            is_void,
        }
    }
}

/// Returns the mean and the standard deviation of a sample.
fn spread(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let count = values.len() as f64;
    if values.is_empty() {
        return (None, None);
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()))
}
