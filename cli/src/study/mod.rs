//! The paper's study: what objective, generator and patch size do, in tables, curves and pictures.
//!
//! Without arguments it draws façades and fits the whole study into an hour of this machine. It can be stopped at any
//! time: the same command goes on where it was, and ends with the same numbers.
//!
//! ```text
//! cargo run --release --example study
//! cargo run --release --example study -- --data datasets/facades --direction b-to-a \
//!     --palette docs/study/palette-facades.toml --out runs/study-facades --budget 120
//! cargo run --release --example study -- --table docs/study/objective.toml --size 256 --base-channels 64 --steps 80000
//! ```

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/facades.rs"]
mod facades;

mod budget;
mod likeness;
mod page;
mod reader;
mod results;
mod score;
mod study;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, ValueEnum};
use pix2pix::data::{DataConfig, Direction, PairedFolder};
use pix2pix::{Device, Error, Pix2PixConfig, Result};
use results::{Plan, Results};
use study::{READER_RUNS, Study, TRAIN_PAIRS};
use table::Table;

#[derive(Parser)]
#[command(about = "Repeats the paper's study; without arguments, in an hour on façades that it draws itself")]
struct Options {
    /// A table of variants; may be given again [default: the paper's tables 1 to 3 and figure 7]
    #[arg(long)]
    table: Vec<PathBuf>,
    /// Folder with `train/` and `val/`: side-by-side pictures, or `A/` and `B/` in each
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which half is translated into the other
    #[arg(long, value_enum, default_value = "a-to-b")]
    direction: Way,
    /// Classes of the inputs and their colours (TOML), where inputs are label maps: how well they can be read back off
    /// the outputs is scored then
    #[arg(long)]
    palette: Option<PathBuf>,
    /// Inception's weights (safetensors), for FID and KID; runs that are done are scored again for them
    #[arg(long)]
    inception: Option<PathBuf>,
    /// Neither random cuts nor mirror images
    #[arg(long)]
    no_jitter: bool,
    /// Folder of the results
    #[arg(long, default_value = "runs/study")]
    out: PathBuf,
    /// Minutes that everything may take; --steps makes this void
    #[arg(long, default_value_t = 60.0)]
    budget: f64,
    /// Runs of each variant, with seeds from --seed on
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Pixels of a side [default: as the budget allows]
    #[arg(long)]
    size: Option<usize>,
    /// Channels of the first layer of both networks [default: as the budget allows]
    #[arg(long)]
    base_channels: Option<usize>,
    /// Side of the discriminator's patches, where a table does not say; 1, 16, 34, 70 or more [default: the part of the
    /// picture that the paper's 70 of 256 pixels are, but no less than 16]
    #[arg(long)]
    patch: Option<usize>,
    /// Steps of each run [default: as the budget allows]
    #[arg(long)]
    steps: Option<u64>,
    #[command(flatten)]
    common: support::Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    AToB,
    BToA,
}

/// Set by Ctrl-C: the step is finished and the run saved.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

fn run(options: &Options) -> Result<()> {
    let device = options.common.device()?;
    let tables = Table::all(&options.table)?;
    std::fs::create_dir_all(&options.out).map_err(|error| io(&options.out, error))?;
    let file = options.out.join("results.json");
    let before = Results::open(&file)?;
    let plan = plan(options, &tables, before.as_ref().map(|results| &results.plan), &device)?;
    let mut study = Study::open(options, plan, before, device)?;
    let (jobs, rows) = table::jobs(&tables, &study.base)?;
    let seeds = options.common.seed..options.common.seed + options.seeds.max(1);
    println!(
        "{} variants, {} seeds, {} pixels, {} base channels, patches of {}, {} steps a run; results in {}",
        jobs.len(),
        options.seeds.max(1),
        study.results.plan.size,
        study.results.plan.base_channels,
        study.results.plan.patch,
        study.results.plan.steps,
        options.out.display()
    );
    if let Err(error) = ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed)) {
        eprintln!("warning: Ctrl-C will stop without saving: {error}");
    }
    study.results.save(&file)?; // the plan holds from now on

    study.train_reader()?;
    let mut left_out = 0;
    for seed in seeds.clone() {
        for job in &jobs {
            if seed > seeds.start && !study.has_time_for(options, job, seed) {
                left_out += 1;
                continue;
            }
            study.train(job, seed)?;
            study.conclude(&tables, &jobs, &rows, false)?;
            if STOP.load(Ordering::Relaxed) {
                println!("stopped and saved; the same command goes on");
                return Ok(());
            }
        }
    }
    if left_out > 0 {
        println!("no time for {left_out} runs of later seeds within {} minutes", options.budget);
    }
    study.conclude(&tables, &jobs, &rows, true)?;
    println!("tables, curves and pictures: {}", options.out.join("index.html").display());
    Ok(())
}

/// What all runs have in common: as begun, or as the options and the time allow.
fn plan(options: &Options, tables: &[Table], begun: Option<&Plan>, device: &Device) -> Result<Plan> {
    let direction = match options.direction {
        Way::AToB => Direction::AToB,
        Way::BToA => Direction::BToA,
    };
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
            let problem = format!(
                "{} holds a study with other settings, {begun:?}; name another folder",
                options.out.display()
            );
            return Err(Error::Config { field: "--out", problem });
        }
        return Ok(wanted);
    }
    let (size, base_channels, steps) = match (options.size, options.base_channels, options.steps) {
        (Some(size), Some(channels), Some(steps)) => (size, channels, steps),
        (size, channels, steps) => {
            let (jobs, _) = table::jobs(tables, &Pix2PixConfig::paper())?;
            let reader = options.data.is_none() || options.palette.is_some();
            let runs = jobs.len() as u64 * options.seeds.max(1) + if reader { READER_RUNS } else { 0 };
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
