//! `pix2pix study`: repeats the paper's comparisons of objective, generator and patch size.
//!
//! ```text
//! pix2pix study
//! pix2pix study --data datasets/facades --direction b-to-a \
//!     --palette cli/study/palette-facades.toml --out runs/study-facades --budget 120
//! pix2pix study --table cli/study/objective.toml --size 256 --base-channels 64 --steps 80000
//! ```

mod blind;
mod budget;
mod page;
mod reader;
mod results;
mod runs;
mod score;
mod statistics;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use pix2pix::data::{DataConfig, PairedFolder};
use pix2pix::{Device, Pix2PixConfig};
use results::{Plan, Results};
use runs::{READER_RUNS, Study, TRAIN_PAIRS};
use table::{Job, Table};

use crate::common::{Common, Way};
use crate::likeness::Weights;
use crate::output::say;
use crate::stop;

/// Repeats the paper's study of objectives, generators and patch sizes
///
/// Trains and evaluates every variant of the tables and writes tables, curves and images to a page. Without arguments
/// it draws façades and fits the whole study into one hour on this machine. The same command resumes an interrupted
/// study, which ends with the same numbers.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Table of variants (TOML); may be given several times [default: the paper's tables 1 to 3 and figure 7]
    #[arg(long, help_heading = STUDY)]
    table: Vec<PathBuf>,
    /// Folder of the results
    #[arg(long, default_value = "runs/study", help_heading = STUDY)]
    out: PathBuf,
    /// Minutes for the whole study; has no effect with --steps
    #[arg(long, default_value_t = 60.0, help_heading = STUDY)]
    budget: f64,
    /// Runs of each variant; the first has the seed --seed, the next the following seeds
    #[arg(long, default_value_t = 3, help_heading = STUDY)]
    seeds: u64,
    /// Steps of each run [default: as the budget allows]
    #[arg(long, help_heading = STUDY)]
    steps: Option<u64>,
    /// Folder with `train/` and `val/`: side-by-side images, or `A/` and `B/` in each [default: draws façades]
    #[arg(long, help_heading = DATA)]
    data: Option<PathBuf>,
    /// Which half is translated into the other
    #[arg(long, value_enum, default_value = "a-to-b", help_heading = DATA)]
    direction: Way,
    /// Do not crop and mirror at random [default: both with --data]
    #[arg(long, help_heading = DATA)]
    no_jitter: bool,
    /// Side of the images in pixels [default: as the budget allows]
    #[arg(long, help_heading = NETWORKS)]
    size: Option<usize>,
    /// Channels of the first layer of both networks [default: as the budget allows]
    #[arg(long, help_heading = NETWORKS)]
    base_channels: Option<usize>,
    /// Side of the discriminator's patches if a table does not set it: 1, 16, 34, 70, 142, 286 or 574 [default: 16
    /// below 128 pixels, 34 below 256, else 70]
    #[arg(long, help_heading = NETWORKS)]
    patch: Option<usize>,
    /// Classes of the inputs and their colours (TOML), if inputs are label maps; adds metrics of how well labels are
    /// recovered from the outputs [default: none; that of the drawn façades without --data]
    #[arg(long, help_heading = METRICS)]
    palette: Option<PathBuf>,
    #[command(flatten)]
    weights: Weights,
    /// Names of two rows to compare blindly: writes blind.html, 20 inputs with an output of each in an order that depends
    /// on --seed, and blind-key.json, which says which is which [default: no page]
    #[arg(long, num_args = 2, value_names = ["ROW", "ROW"], help_heading = METRICS)]
    blind: Vec<String>,
    #[command(flatten)]
    common: Common,
}

const STUDY: &str = "Study";
const DATA: &str = "Data";
const NETWORKS: &str = "Networks";
const METRICS: &str = "Metrics";

pub(crate) fn run(options: &Options) -> Result<()> {
    let device = options.common.compute.device()?;
    let tables = Table::all(&options.table)?;
    std::fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let file = options.out.join("results.json");
    let before = Results::open(&file)?;
    let plan = plan(options, &tables, before.as_ref().map(|results| &results.plan), &device)?;
    let mut study = Study::open(options, plan, before, device)?;
    let (jobs, rows) = table::jobs(&tables, &study.base)?;
    let blind: Vec<(&str, &Job)> =
        options.blind.iter().map(|name| table::named(name, &tables, &jobs, &rows)).collect::<Result<_>>()?;
    let seeds = options.common.seed..options.common.seed + options.seeds.max(1);
    say!(
        "{} variants, {} seeds, {} pixels, {} base channels, patches of {}, {} steps a run; results in {}",
        jobs.len(),
        options.seeds.max(1),
        study.results.plan.size,
        study.results.plan.base_channels,
        study.results.plan.patch,
        study.results.plan.steps,
        options.out.display()
    );
    stop::listen();
    study.results.save(&file)?; // from here on, the plan is fixed

    study.train_reader()?;
    let mut skipped = 0;
    for seed in seeds.clone() {
        for job in &jobs {
            if seed > seeds.start && !study.has_time_for(options, job, seed) {
                skipped += 1;
                continue;
            }
            study.train(job, seed)?;
            study.conclude(&tables, &jobs, &rows, false)?;
            if stop::requested() {
                say!("stopped and saved; the same command resumes the study");
                return Ok(());
            }
        }
    }
    if skipped > 0 {
        say!("no time for {skipped} runs of later seeds within {} minutes", options.budget);
    }
    study.conclude(&tables, &jobs, &rows, true)?;
    if let [one, other] = blind[..] {
        study.compare_blindly([one, other], options.common.seed)?;
    }
    say!("tables, curves and images: {}", options.out.join("index.html").display());
    Ok(())
}

/// Returns the settings that all runs share: those of the study in the folder, or new ones from the options and the
/// time.
fn plan(options: &Options, tables: &[Table], begun: Option<&Plan>, device: &Device) -> Result<Plan> {
    let direction = options.direction.into();
    let (data, jitter) = (options.data.clone(), options.data.is_some() && !options.no_jitter);
    if let Some(begun) = begun {
        let wanted = Plan {
            data,
            direction,
            size: options.size.unwrap_or(begun.size),
            base_channels: options.base_channels.unwrap_or(begun.base_channels),
            patch: options.patch.unwrap_or(begun.patch),
            steps: options.steps.unwrap_or(begun.steps),
            jitter,
        };
        if wanted != *begun {
            bail!(
                "--out: {} holds a study with other settings, {begun:?}; name another folder",
                options.out.display()
            );
        }
        return Ok(wanted);
    }
    let (size, base_channels, steps) = match (options.size, options.base_channels, options.steps) {
        (Some(size), Some(channels), Some(steps)) => (size, channels, steps),
        (size, channels, steps) => {
            let (jobs, _) = table::jobs(tables, &Pix2PixConfig::paper())?;
            let has_reader = options.data.is_none() || options.palette.is_some();
            let runs = jobs.len() as u64 * options.seeds.max(1) + if has_reader { READER_RUNS } else { 0 };
            let (size, channels, fitting) =
                budget::fit(60.0 * options.budget, runs, [size, channels], device)?;
            let batches = match &options.data {
                Some(data) => PairedFolder::open(data.join("train"), &DataConfig::new())?.len() as u64,
                None => TRAIN_PAIRS,
            };
            (size, channels, steps.unwrap_or(budget::whole_epochs(fitting, batches)))
        }
    };
    let patch = options.patch.unwrap_or(table::patch(size));
    Ok(Plan { data, direction, size, base_channels, patch, steps, jitter })
}
