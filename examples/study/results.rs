//! The results file: what was planned and what came out, whole after every run.

use std::io::Write;
use std::path::{Path, PathBuf};

use pix2pix::data::Direction;
use pix2pix::{CheckpointProblem, Error, Result};
use serde::{Deserialize, Serialize};

use super::io;
use super::score::Scores;
use super::table::Table;

/// What all runs of a study have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Folder of pairs; none means drawn façades.
    pub(crate) data: Option<PathBuf>,
    pub(crate) direction: Direction,
    /// Pixels of a side.
    pub(crate) size: usize,
    pub(crate) base_channels: usize,
    /// The side of the discriminator's patches, where a table does not say.
    #[serde(default = "papers_patch")]
    pub(crate) patch: usize,
    /// Steps of each run.
    pub(crate) steps: u64,
    /// Whether pairs are cut at random and mirrored.
    pub(crate) jitter: bool,
}

/// What studies had before they could choose.
fn papers_patch() -> usize {
    70
}

/// One trained generator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    /// Of training and scoring, in the process that ended it.
    pub(crate) seconds: f64,
    /// Generator parameters.
    pub(crate) parameters: usize,
    pub(crate) scores: Scores,
    /// A checksum of what `scores` depend on besides the run: classes, colours and how they are computed.
    #[serde(default)]
    pub(crate) scored_by: String,
}

/// The network that reads labels back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) steps: u64,
    /// Of its training, in the process that ended it.
    pub(crate) seconds: f64,
}

/// Everything, as it is written to `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) plan: Plan,
    pub(crate) runs: Vec<Run>,
    #[serde(default)]
    pub(crate) reader: Option<Reading>,
    /// How well labels are read off the photographs themselves.
    pub(crate) photographs: Option<Scores>,
    /// The tables as the page shows them, for whoever reads the file.
    pub(crate) tables: Vec<Summary>,
}

/// A table with its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) claims: Vec<Verdict>,
}

/// A variant with its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) job: String,
    pub(crate) note: Option<String>,
    pub(crate) seeds: usize,
    /// For each column the mean over seeds, the standard deviation (none of a single seed), and the paper's score.
    pub(crate) cells: Vec<(Option<f64>, Option<f64>, Option<f64>)>,
}

/// In how many seeds a claim holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) says: String,
    pub(crate) holds: usize,
    pub(crate) of: usize,
    /// The score that it is about.
    #[serde(default)]
    pub(crate) metric: String,
    /// Its mean over those seeds, of the variant that should have more and of the other one.
    #[serde(default)]
    pub(crate) means: Option<[f64; 2]>,
    /// Whether both variants come to the same runs, as patches of 286 and 70 pixels do in pictures of 32.
    #[serde(default)]
    pub(crate) is_void: bool,
}

impl Results {
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| io(path, error))?,
        };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Checkpoint {
            path: path.to_owned(),
            problem: CheckpointProblem::Corrupt(error.into()),
        })
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|error| io(path, error.into()))?;
        write(path, text.as_bytes())
    }

    pub(crate) fn find(&self, job: &str, seed: u64) -> Option<&Run> {
        self.runs.iter().find(|run| run.job == job && run.seed == seed)
    }

    fn of(&self, job: &str) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.job == job)
    }

    /// The results of a table whose variants are these jobs.
    pub(crate) fn summary(&self, table: &Table, jobs: &[(&str, Option<String>)]) -> Summary {
        // A score that nobody has, such as FID without Inception, is no column.
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
        let verdict = |claim: &super::table::Claim| {
            let is_void = job(&claim.higher) == job(&claim.lower);
            let pairs = self.of(job(&claim.higher)).filter_map(|run| {
                let other = self.find(job(&claim.lower), run.seed)?;
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
        };
        Summary {
            title: table.title.clone(),
            about: table.about.clone(),
            columns: columns.clone(),
            rows: rows.collect(),
            claims: table.claims.iter().map(verdict).collect(),
        }
    }
}

/// Mean, and the standard deviation of a sample.
fn spread(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let count = values.len() as f64;
    if values.is_empty() {
        return (None, None);
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()))
}

/// Replaces a file by a whole new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = scratch(folder).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(|error| io(path, error))
}

/// A scratch file that others may read once it has its name, as with any file.
fn scratch(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
