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
mod table;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use likeness::Likeness;
use pix2pix::data::{DataConfig, Direction, PairedFolder};
use pix2pix::metrics::Palette;
use pix2pix::{Device, Error, Event, Generator, Pix2PixConfig, PixelLoss, Result, Trainer, Translator};
use reader::{Labels, Reader};
use results::{Plan, Reading, Results, Run};
use score::Scores;
use table::{Job, Place, Table};

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

/// Pairs that are drawn, where none are given.
const TRAIN_PAIRS: u64 = 400;
const VAL_PAIRS: u64 = 50;
/// Steps between two checkpoints, about.
const SAVE_EVERY: u64 = 500;
/// Rows of pictures on the page.
pub(crate) const PICTURES: usize = 6;
/// The network that reads labels is trained for so many runs' steps, once; without a discriminator they cost less.
const READER_RUNS: u64 = 4;
/// Goes up when a score of the same pictures changes: done runs are scored again then.
const SCORING: u32 = 2;

/// Set by Ctrl-C: the step is finished and the run saved.
static STOP: AtomicBool = AtomicBool::new(false);

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

struct Study {
    out: PathBuf,
    base: Pix2PixConfig,
    train: PathBuf,
    val: PairedFolder,
    palette: Option<Palette>,
    reader: Option<Reader>,
    likeness: Likeness,
    results: Results,
    device: Device,
}

impl Study {
    fn open(options: &Options, plan: Plan, before: Option<Results>, device: Device) -> Result<Self> {
        let mut base = Pix2PixConfig::paper().with_size(plan.size);
        (base.generator.base_channels, base.discriminator.base_channels) =
            (plan.base_channels, plan.base_channels);
        base.discriminator.layers = table::layers(plan.patch, &base.discriminator)?;
        base.data.direction = plan.direction;
        if !plan.jitter {
            (base.data.load_size, base.data.mirror) = (plan.size, false);
        }
        let data = match &plan.data {
            Some(data) => data.clone(),
            None => draw_pairs(&options.out.join("data"), plan.size as u32, options.common.seed)?,
        };
        let train = data.join("train");
        let batches = PairedFolder::open(&train, &base.data)?.len() as u64;
        base.training.epochs = plan.steps.div_ceil(batches) as usize;
        base.training.save_every = SAVE_EVERY.div_ceil(batches) as usize;
        (base.training.keep, base.data.workers) = (1, 1);
        base.validate()?;
        let palette = match (&options.palette, &plan.data) {
            (Some(path), _) => {
                Some(reader::palette(path, &std::fs::read_to_string(path).map_err(|error| io(path, error))?)?)
            }
            (None, None) => Some(reader::palette(
                Path::new("palette-synthetic.toml"),
                include_str!("../../docs/study/palette-synthetic.toml"),
            )?),
            (None, Some(_)) => None,
        };
        let val = PairedFolder::open(data.join("val"), &base.data)?;
        let new = Results { plan, runs: vec![], reader: None, photographs: None, tables: vec![] };
        let results = before.unwrap_or(new);
        let likeness = Likeness::open(options.inception.as_deref(), &device)?;
        Ok(Self {
            out: options.out.clone(),
            base,
            train,
            val,
            palette,
            reader: None,
            likeness,
            results,
            device,
        })
    }

    /// Trains the network that reads labels back off generated photographs, unless that is done.
    fn train_reader(&mut self) -> Result<()> {
        let Some(palette) = self.palette.clone() else { return Ok(()) };
        let start = Instant::now();
        let labels = Labels::new(palette, &self.val)?;
        let finer = labels.finer(&self.train, &self.base.data)?;
        // Mean squares make a channel's value the likelihood of its class; L1 would make it the likeliest value.
        let mut config =
            self.base.clone().with_channels(self.base.data.target_channels, labels.palette.classes());
        (config.loss.gan_weight, config.loss.pixel) = (0.0, PixelLoss::L2);
        let steps = READER_RUNS * self.results.plan.steps;
        config.training.epochs = steps.div_ceil(finer.len() as u64) as usize;
        let run = self.out.join("runs").join(format!("reader-{}", self.scored_by()));
        let mut trainer = Trainer::resume_or_new(&run, config, &self.device)?;
        if trainer.steps() < steps {
            let save_every = trainer.config().training.save_every;
            'training: while let Some(epoch) = trainer.next_epoch() {
                for batch in finer.batches(epoch, &self.device) {
                    trainer.step(labels.lesson(batch?));
                    if trainer.steps() >= steps || STOP.load(Ordering::Relaxed) {
                        break 'training;
                    }
                }
                if epoch.number.is_multiple_of(save_every) {
                    trainer.save(&run)?;
                }
            }
            trainer.save(&run)?;
            if trainer.steps() < steps {
                return Ok(()); // stopped
            }
            self.results.reader = Some(Reading { steps, seconds: start.elapsed().as_secs_f64() });
        }
        let val = labels.finer(&self.train.with_file_name("val"), &self.base.data)?.with_batch_size(1);
        let reader = Reader { generator: score::still(trainer.exported()), labels, val };
        let photographs =
            score::score(None, &self.val, Some(&reader), &mut Likeness::default(), &self.device)?;
        println!(
            "reads {:.3} of the pixels of photographs right, after {steps} steps, {:.0} s",
            photographs.get("pixel_accuracy").copied().unwrap_or(f64::NAN),
            start.elapsed().as_secs_f64()
        );
        self.results.photographs = Some(photographs);
        self.reader = Some(reader);
        self.results.save(&self.out.join("results.json"))
    }

    /// A checksum of what scores depend on besides the run.
    fn scored_by(&self) -> String {
        format!("{:08x}", table::checksum(&format!("{SCORING} {:?}", self.palette)))
    }

    /// Trains and scores one variant with one seed, unless that is done.
    fn train(&mut self, job: &Job, seed: u64) -> Result<()> {
        if STOP.load(Ordering::Relaxed) {
            return Ok(());
        }
        let run = self.out.join("runs").join(format!("{}-seed{seed}", job.slug));
        if let Some(done) = self.results.runs.iter().position(|run| run.job == job.slug && run.seed == seed) {
            return self.score_again(done, &run);
        }
        let start = Instant::now();
        let mut config = job.config.clone();
        config.training.seed = seed;
        let Some(trainer) = self.fit(config, &run)? else { return Ok(()) };
        let generator = score::still(trainer.exported());
        let scores = self.score(&generator)?;
        for (name, column) in ["input", "target", "output"].into_iter().zip(score::pictures(
            &generator,
            &self.val,
            PICTURES,
            &self.device,
        )?) {
            let path = run.join(format!("{name}.png"));
            column.save(&path).map_err(|error| Error::Image { path, source: error.into() })?;
        }
        println!(
            "{} seed {seed}: L1 {:.4}, sharpness {:.3}, {:.0} s",
            job.slug,
            scores.get("l1").copied().unwrap_or(f64::NAN),
            scores.get("sharpness").copied().unwrap_or(f64::NAN),
            start.elapsed().as_secs_f64()
        );
        self.results.runs.push(Run {
            job: job.slug.clone(),
            seed,
            steps: trainer.steps(),
            seconds: start.elapsed().as_secs_f64(),
            parameters: trainer.generator().parameter_count(),
            scores,
            scored_by: self.scored_by(),
        });
        self.results.save(&self.out.join("results.json"))?;
        // The weights stay; the optimisers' state is as large again twice over, and of no more use.
        let checkpoints = run.join("checkpoints");
        std::fs::remove_dir_all(&checkpoints).map_err(|error| io(&checkpoints, error))
    }

    /// Scores a run that is done, if it was scored with other classes or in another way, or lacks FID.
    fn score_again(&mut self, done: usize, run: &Path) -> Result<()> {
        let (before, by) = (&self.results.runs[done], self.scored_by());
        let lacks_fid = self.likeness.is_known() && !before.scores.contains_key("fid");
        if before.scored_by == by && !lacks_fid {
            return Ok(());
        }
        let generator = Translator::load(run, &self.device)?.generator().clone();
        let mut scores = self.score(&generator)?;
        let run = &mut self.results.runs[done];
        for name in ["fid", "kid"] {
            if let (Some(value), false) = (run.scores.get(name), scores.contains_key(name)) {
                scores.insert(name.to_owned(), *value);
            }
        }
        (run.scores, run.scored_by) = (scores, by);
        Ok(())
    }

    fn score(&mut self, generator: &Generator) -> Result<Scores> {
        let reader = self.reader.as_ref();
        score::score(Some(generator), &self.val, reader, &mut self.likeness, &self.device)
    }

    /// Trains in a run folder from where it was saved last; none if it was stopped before the end.
    fn fit(&self, config: Pix2PixConfig, run: &Path) -> Result<Option<Trainer>> {
        let steps = self.results.plan.steps;
        let train = PairedFolder::open(&self.train, &config.data)?;
        let val = PairedFolder::open(self.train.with_file_name("val"), &config.data)?;
        let mut trainer = Trainer::resume_or_new(run, config, &self.device)?;
        let mut done = trainer.steps();
        if done < steps {
            trainer.fit(&train, Some(&val), run, |event| {
                done += u64::from(matches!(event, Event::Step { .. }));
                let is_enough = done >= steps || STOP.load(Ordering::Relaxed);
                if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok((trainer.steps() >= steps).then_some(trainer))
    }

    /// Whether a run of a further seed fits into the time, if it takes as long as those of the same variant before.
    fn has_time_for(&self, options: &Options, job: &Job, seed: u64) -> bool {
        let runs = &self.results.runs;
        let is_free = options.steps.is_some() || self.results.find(&job.slug, seed).is_some();
        let training: f64 = runs.iter().map(|run| run.seconds).sum();
        let used = training + self.results.reader.as_ref().map_or(0.0, |reader| reader.seconds);
        let needed = runs.iter().filter(|run| run.job == job.slug).map(|run| run.seconds).fold(0.0, f64::max);
        is_free || used + needed <= 60.0 * options.budget
    }

    /// Writes the tables as they stand, as numbers and as a page.
    fn conclude(
        &mut self,
        tables: &[Table],
        jobs: &[Job],
        rows: &[Vec<Place>],
        finished: bool,
    ) -> Result<()> {
        let summaries = tables.iter().zip(rows).map(|(table, row)| {
            let row: Vec<_> =
                row.iter().map(|(job, note)| (jobs[*job].slug.as_str(), note.clone())).collect();
            self.results.summary(table, &row)
        });
        self.results.tables = summaries.collect();
        self.results.save(&self.out.join("results.json"))?;
        let html = page::render(&self.results, &self.out, finished)?;
        results::write(&self.out.join("index.html"), html.as_bytes())
    }
}

/// Draws pairs, label map on the left and photograph on the right, unless that is done.
fn draw_pairs(folder: &Path, size: u32, seed: u64) -> Result<PathBuf> {
    for (split, first, count) in [("train", 0, TRAIN_PAIRS), ("val", 1 << 32, VAL_PAIRS)] {
        let split = folder.join(split);
        std::fs::create_dir_all(&split).map_err(|error| io(&split, error))?;
        for index in 0..count {
            let path = split.join(format!("{index:04}.png"));
            if path.is_file() {
                continue;
            }
            let (labels, photograph) = facades::pair(seed, first + index, size);
            let mut both = image::RgbImage::new(2 * size, size);
            image::imageops::replace(&mut both, &labels, 0, 0);
            image::imageops::replace(&mut both, &photograph, i64::from(size), 0);
            // Whole or not at all, so that a study that was killed while it drew can go on.
            let part = path.with_extension("part");
            both.save_with_format(&part, image::ImageFormat::Png)
                .map_err(|error| Error::Image { path: part.clone(), source: error.into() })?;
            std::fs::rename(&part, &path).map_err(|error| io(&path, error))?;
        }
    }
    Ok(folder.to_owned())
}
