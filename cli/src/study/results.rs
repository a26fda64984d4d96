//! The results file: the plan and the metrics, complete after every run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pix2pix::data::Direction;
use serde::{Deserialize, Serialize};

use super::score::Scores;
use super::statistics::{self, Difference, spread};
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
    /// For each column the 95 % interval of the mean over seeds; `None` for a single seed.
    #[serde(default)]
    pub(crate) intervals: Vec<Option<[f64; 2]>>,
    /// For each column the difference from the first row, over the seeds that both have; empty for the first row.
    #[serde(default)]
    pub(crate) differences: Vec<Option<Difference>>,
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
    /// The difference of the two, which should be above 0.
    #[serde(default)]
    pub(crate) difference: Option<Difference>,
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
            *scores = with_current_names(std::mem::take(scores));
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
        let first = jobs.first().map_or("", |(job, _)| *job);
        let rows = table.variants.iter().zip(jobs).map(|(variant, (job, note))| Row {
            name: variant.name.clone(),
            job: (*job).to_owned(),
            note: note.clone(),
            seeds: self.of(job).count(),
            cells: columns
                .iter()
                .map(|column| {
                    let (mean, deviation) = spread(&self.values(job, column));
                    (mean, deviation, variant.paper.get(column).copied())
                })
                .collect(),
            intervals: columns.iter().map(|column| statistics::interval(&self.values(job, column))).collect(),
            differences: match *job == first {
                true => vec![],
                false => {
                    let pairs = |column: &str| self.pairs(job, first, column);
                    columns.iter().map(|column| statistics::difference(&pairs(column))).collect()
                }
            },
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

    /// Returns a metric of the finished runs of a variant.
    fn values(&self, job: &str, metric: &str) -> Vec<f64> {
        self.of(job).filter_map(|run| run.scores.get(metric).copied()).collect()
    }

    /// Returns a metric of two variants for each seed that both have.
    fn pairs(&self, one: &str, other: &str, metric: &str) -> Vec<[f64; 2]> {
        let pair = |run: &Run| {
            let of_other = self.find(other, run.seed)?;
            Some([*run.scores.get(metric)?, *of_other.scores.get(metric)?])
        };
        self.of(one).filter_map(pair).collect()
    }

    /// Returns in how many seeds a claim holds, whose variants are the jobs `higher` and `lower`.
    fn verdict(&self, claim: &Claim, higher: &str, lower: &str) -> Verdict {
        let is_void = higher == lower;
        let pairs = if is_void { vec![] } else { self.pairs(higher, lower, &claim.metric) };
        let mean = |side: usize| spread(&pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>()).0;
        Verdict {
            says: claim.says.clone(),
            holds: pairs.iter().filter(|[higher, lower]| higher > lower).count(),
            of: pairs.len(),
            metric: claim.metric.clone(),
            means: mean(0).zip(mean(1)).map(|(higher, lower)| [higher, lower]),
            difference: statistics::difference(&pairs),
            is_void,
        }
    }
}

/// Names metrics of an earlier version as this one does. It had another SSIM, and a KID of random draws.
fn with_current_names(scores: Scores) -> Scores {
    let is_earlier = scores.contains_key("ssim");
    let current = |name: String| match name.as_str() {
        "kid" if is_earlier => "kid_of_draws".to_owned(),
        name => current_name(name).to_owned(),
    };
    scores.into_iter().map(|(name, value)| (current(name), value)).collect()
}
