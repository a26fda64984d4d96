//! Trains and evaluates each variant that is not finished, and records the results.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use pix2pix::data::PairedFolder;
use pix2pix::metrics::Palette;
use pix2pix::{Device, Event, Generator, Pix2PixConfig, PixelLoss, Trainer, Translator, demo};

use super::reader::{self, Labels, Reader};
use super::results::{Plan, Reading, Results, Run};
use super::score::{self, Scores};
use super::table::{self, Assigned, Job, Table};
use super::{Options, blind, budget, page};
use crate::files;
use crate::likeness::{self, Likeness};
use crate::output::say;
use crate::stop;

/// The number of training pairs to draw without `--data`.
pub(crate) const TRAIN_PAIRS: u64 = 400;
const VAL_PAIRS: u64 = 50;
/// Steps between two checkpoints, roughly.
const SAVE_EVERY: u64 = 500;
/// Rows of images on the page.
const SAMPLES: usize = 6;
/// The length of the reader's training in runs. Its steps cost less, because it has no discriminator.
pub(crate) const READER_RUNS: u64 = 4;
/// Version of the metrics; if it changes, finished runs are evaluated again.
const SCORING_VERSION: u32 = 3;

/// A study: its variants, its data and its results so far.
pub(crate) struct Study {
    out: PathBuf,
    /// The configuration that the variants change.
    pub(crate) base: Pix2PixConfig,
    train: PathBuf,
    val: PairedFolder,
    palette: Option<Palette>,
    reader: Option<Reader>,
    likeness: Likeness,
    pub(crate) results: Results,
    device: Device,
}

impl Study {
    /// Starts a study, or resumes one with the same plan.
    pub(crate) fn open(
        options: &Options,
        plan: Plan,
        before: Option<Results>,
        device: Device,
    ) -> Result<Self> {
        let mut base = Pix2PixConfig::paper().with_size(plan.size)?;
        (base.generator.base_channels, base.discriminator.base_channels) =
            (plan.base_channels, plan.base_channels);
        base.discriminator.layers = table::layers(plan.patch, &base.discriminator)?;
        base.data.direction = plan.direction;
        if !plan.jitter {
            (base.data.load_size, base.data.mirror) = (plan.size.into(), false);
        }
        let data = match &plan.data {
            Some(data) => data.clone(),
            None => drawn_pairs(&options.out.join("data"), plan.size as u32, options.common.seed)?,
        };
        let train = data.join("train");
        let batches = PairedFolder::open(&train, &base.data)?.len() as u64;
        base.training.epochs = plan.steps.div_ceil(batches) as usize;
        base.training.save_every = SAVE_EVERY.div_ceil(batches) as usize;
        (base.training.keep, base.data.workers) = (1, 1);
        base.validate()?;
        let palette = chosen_palette(options, &plan)?;
        let val = PairedFolder::open(data.join("val"), &base.data)?;
        let new = Results { plan, runs: vec![], reader: None, photographs: None, tables: vec![] };
        let results = before.unwrap_or(new);
        let likeness = Likeness::open(&options.weights, &device)?;
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

    /// Trains the reader, the network that recovers labels from photographs, unless it is trained already.
    pub(crate) fn train_reader(&mut self) -> Result<()> {
        let Some(palette) = self.palette.clone() else { return Ok(()) };
        let start = Instant::now();
        let labels = Labels::new(palette, &self.val)?;
        let finer = labels.finer(&self.train, &self.base.data)?;
        // With mean squares, the optimal value of a channel is a linear function of its class's probability. With L1 it
        // would be the most probable value.
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
                    trainer.step(labels.lesson(batch?)?);
                    if trainer.steps() >= steps || stop::requested() {
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
        let val = labels.finer(&self.train.with_file_name("val"), &self.base.data)?.with_batch_size(1)?;
        let reader = Reader { generator: trainer.export_generator().detached(), labels, val };
        let photographs =
            score::score(None, &self.val, Some(&reader), &mut Likeness::default(), &self.device)?;
        say!(
            "labels: {:.3} of the pixels of photographs recovered, after {steps} steps, {:.0} s",
            photographs.get("pixel_accuracy").copied().unwrap_or(f64::NAN),
            start.elapsed().as_secs_f64()
        );
        self.results.photographs = Some(photographs);
        self.reader = Some(reader);
        self.results.save(&self.out.join("results.json"))
    }

    /// Returns a checksum of everything that the metrics depend on besides the run.
    fn scored_by(&self) -> String {
        format!("{:08x}", table::checksum(&format!("{SCORING_VERSION} {:?}", self.palette)))
    }

    /// Trains and evaluates one variant with one seed, unless that run is finished.
    pub(crate) fn train(&mut self, job: &Job, seed: u64) -> Result<()> {
        if stop::requested() {
            return Ok(());
        }
        let run = self.out.join("runs").join(format!("{}-seed{seed}", job.slug));
        if let Some(done) = self.results.runs.iter().position(|run| run.job == job.slug && run.seed == seed) {
            return self.update_metrics(done, &run);
        }
        let start = Instant::now();
        let mut config = job.config.clone();
        config.training.seed = seed;
        let Some(trainer) = self.fit(config, &run)? else { return Ok(()) };
        let generator = trainer.export_generator().detached();
        let scores = self.score(&generator)?;
        for (name, column) in ["input", "target", "output"].into_iter().zip(score::samples(
            &generator,
            &self.val,
            SAMPLES,
            &self.device,
        )?) {
            let path = run.join(format!("{name}.png"));
            column.save(&path).with_context(|| path.display().to_string())?;
        }
        say!(
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
        // The weights file stays. A finished run does not need its checkpoints, which are much larger.
        let checkpoints = run.join("checkpoints");
        std::fs::remove_dir_all(&checkpoints).with_context(|| checkpoints.display().to_string())
    }

    /// Evaluates a finished run again if its metrics have other classes or another version, or lack those of a network
    /// that is loaded. Those of networks that are not loaded are kept.
    fn update_metrics(&mut self, done: usize, run: &Path) -> Result<()> {
        let (before, by) = (&self.results.runs[done], self.scored_by());
        // Fewer than two images have no FID, and many have no joint KID, which would be computed in vain again.
        let mut names = self.likeness.names().into_iter().filter(|name| !name.starts_with("joint"));
        let is_complete = names.all(|name| before.scores.contains_key(name));
        if before.scored_by == by && is_complete {
            return Ok(());
        }
        let generator = Translator::load(run, &self.device)?.generator().clone();
        let mut scores = self.score(&generator)?;
        let run = &mut self.results.runs[done];
        for name in likeness::NAMES.into_iter().chain(["kid_of_draws"]) {
            if let (Some(value), false) = (run.scores.get(name), scores.contains_key(name)) {
                scores.insert(name.to_owned(), *value);
            }
        }
        (run.scores, run.scored_by) = (scores, by);
        Ok(())
    }

    /// Computes the metrics of a generator.
    fn score(&mut self, generator: &Generator) -> Result<Scores> {
        let reader = self.reader.as_ref();
        score::score(Some(generator), &self.val, reader, &mut self.likeness, &self.device)
    }

    /// Trains in a run folder from its newest checkpoint. Returns `None` if training was stopped before the end.
    fn fit(&self, config: Pix2PixConfig, run: &Path) -> Result<Option<Trainer>> {
        let steps = self.results.plan.steps;
        let train = PairedFolder::open(&self.train, &config.data)?;
        let val = PairedFolder::open(self.train.with_file_name("val"), &config.data)?;
        let mut trainer = Trainer::resume_or_new(run, config, &self.device)?;
        let mut done = trainer.steps();
        if done < steps {
            trainer.fit(&train, Some(&val), run, |event| {
                done += u64::from(matches!(event, Event::Step { .. }));
                let is_enough = done >= steps || stop::requested();
                if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        Ok((trainer.steps() >= steps).then_some(trainer))
    }

    /// Returns whether a run of a further seed fits into the time, if it takes as long as earlier runs of the same
    /// variant.
    pub(crate) fn has_time_for(&self, options: &Options, job: &Job, seed: u64) -> bool {
        let runs = &self.results.runs;
        let is_free = options.steps.is_some() || self.results.find(&job.slug, seed).is_some();
        let running: f64 = runs.iter().map(|run| run.seconds).sum();
        let used = running + self.results.reader.as_ref().map_or(0.0, |reader| reader.seconds);
        let needed = runs.iter().filter(|run| run.job == job.slug).map(|run| run.seconds).fold(0.0, f64::max);
        is_free || used + needed <= 60.0 * options.budget * budget::RUNS_FRACTION
    }

    /// Writes the blind comparison of two variants, trained with this seed.
    pub(crate) fn compare_blindly(&self, variants: [(&str, &Job); 2], seed: u64) -> Result<()> {
        let load = |(_, job): (&str, &Job)| {
            let run = self.out.join("runs").join(format!("{}-seed{seed}", job.slug));
            anyhow::Ok(Translator::load(run, &self.device)?.generator().clone())
        };
        let [one, other] = [load(variants[0])?, load(variants[1])?];
        let names = variants.map(|(name, _)| name);
        blind::write(&self.out, names, [&one, &other], &self.val, seed, &self.device)
    }

    /// Writes the results so far to `results.json` and to the page.
    pub(crate) fn conclude(
        &mut self,
        tables: &[Table],
        jobs: &[Job],
        rows: &[Vec<Assigned>],
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
        files::replace(&self.out.join("index.html"), html.as_bytes())
    }
}

/// Reads the palette of `--palette`. Without `--palette` and `--data`, returns that of the drawn façades.
fn chosen_palette(options: &Options, plan: &Plan) -> Result<Option<Palette>> {
    match (&options.palette, &plan.data) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            Ok(Some(reader::palette(path, &text)?))
        }
        (None, None) => {
            let text = include_str!("../../study/palette-synthetic.toml");
            Ok(Some(reader::palette(Path::new("palette-synthetic.toml"), text)?))
        }
        (None, Some(_)) => Ok(None),
    }
}

/// Draws training and validation pairs, unless they exist, and returns their folder.
fn drawn_pairs(folder: &Path, size: u32, seed: u64) -> Result<PathBuf> {
    for (split, first, count) in [("train", 0, TRAIN_PAIRS), ("val", demo::HELD_OUT, VAL_PAIRS)] {
        let split = folder.join(split);
        // Files are written in order and atomically, so all exist if the last one does.
        if files::look(&split.join(format!("{:04}.png", count - 1)))?.is_none() {
            demo::draw_pairs(split, first..first + count, size, seed)?;
        }
    }
    Ok(folder.to_owned())
}
