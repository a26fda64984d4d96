//! `pix2pix train`: trains on a folder of pairs and writes a run folder with weights, curves and sample images.
//!
//! ```text
//! pix2pix train
//! pix2pix train --data datasets/facades --direction b-to-a --out runs/facades
//! pix2pix train --data datasets/facades --direction b-to-a --out runs/facades --resume
//! ```

mod config;
mod from;
mod labels;
mod options;
mod progress;
mod samples;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use pix2pix::data::{DataFolder, PairedFolder, Reason};
use pix2pix::{Device, Error, Event, Pix2PixConfig, Trainer, demo, device};

use crate::common::as_flag;
use crate::files;
use crate::output::{note, say};
use crate::stop;
use options::OnNan;
pub(crate) use options::Options;
use progress::Progress;
use source::Source;

/// The folder of checkpoints in a run folder.
const CHECKPOINTS: &str = "checkpoints";

/// Pairs that the demo draws.
const DEMO_PAIRS: u64 = 450;
const DEMO_HELD_OUT: u64 = 24;

/// The number of times that `--on-nan rollback` returns to one checkpoint before it gives up.
const MAX_ROLLBACKS: u64 = 3;

pub(crate) fn run(options: &Options) -> Result<()> {
    if let (None, Some(flag)) = (&options.from, options.imported.of_files().next()) {
        bail!("{flag}: it belongs to the file of --from; add --from");
    }
    let devices = devices(options)?;
    let out = run_folder(options)?;
    let source = Source::find(options, &out)?;
    let mut config = config::configure(options, &source, &out)?;
    let (mut train, mut val) = pairs(options, &source, &config, &out)?;
    if let Some(of_samples) = samples::configured(options, &config, &train)? {
        train = train.with_config(&of_samples.data)?;
        val = val.map(|val| val.with_config(&of_samples.data)).transpose()?;
        config = of_samples;
    }
    let all = [Some(&train), val.as_ref()];
    files::report_pages(all.into_iter().flatten().flat_map(files::of_pairs), config.data.pages);
    labels::warn_of_ids(options, &train);
    let trainer = trainer(options, &mut config, &out, &devices)?;
    say!(
        "{} pairs to train on, {} to validate; generator of {} parameters on {:?}",
        train.len(),
        val.as_ref().map_or(0, PairedFolder::len),
        trainer.generator().parameter_count(),
        devices[0]
    );
    for (name, pairs) in [("train", Some(&train)), ("val", val.as_ref())] {
        files::report_left_out(name, pairs.map_or(&[], PairedFolder::left_out));
    }
    let start = trainer.steps();
    let run = Run { options, source, config, devices, out, train, val };
    let steps = run.fit(trainer)?;
    let out = run.out.display();
    if options.resume && steps == start && !stop::requested() {
        match options.steps {
            Some(last) if last <= steps => {
                say!("{out} has {steps} steps already; `--resume --steps N` with N above {steps} trains on")
            }
            _ => say!("{out}: the run has finished, after {}", run.length()),
        }
    }
    if stop::requested() {
        say!("stopped and saved after step {steps}; the same command with --resume continues");
    }
    say!("{} steps; curves and images: {}", steps - start, run.out.join("index.html").display());
    match run.config.generator.noise() {
        None => say!("translate an image: pix2pix translate --weights {out} --input IN --output OUT"),
        Some(_) => say!("make images: pix2pix sample --weights {out} --count 64 --output OUT"),
    }
    Ok(())
}

/// A run and its data, from which a rollback makes a new trainer.
struct Run<'a> {
    options: &'a Options,
    source: Source,
    config: Pix2PixConfig,
    devices: Vec<Device>,
    out: PathBuf,
    train: PairedFolder,
    val: Option<PairedFolder>,
}

impl Run<'_> {
    /// Describes the length of the run and how to extend it.
    fn length(&self) -> String {
        let training = &self.config.training;
        let decay = match training.decay_epochs {
            0 => String::new(),
            decay => format!(" and {decay} of --decay-epochs"),
        };
        let epochs = training.epochs;
        format!("{epochs} of --epochs{decay}; `--resume --epochs N` with N above {epochs} trains on")
    }

    /// Trains to the end, or until the user stops it, and returns the number of steps of the run.
    fn fit(&self, mut trainer: Trainer) -> Result<u64> {
        let last_step = self.options.steps;
        let mut progress = Progress::new(&trainer, last_step);
        if last_step.is_some_and(|last| trainer.steps() >= last) {
            if trainer.steps() > 0 {
                let run = trainer.open_run(&self.out)?; // writes missing and damaged files anew
                run.warnings().iter().for_each(|warning| note!("warning: {warning}"));
            }
            return Ok(trainer.steps());
        }
        stop::listen();
        // The checkpoint of the last rollback, by its step, and the number of rollbacks to it.
        let (mut origin, mut rollbacks) = (None, 0);
        let mut is_recorded = false;
        let mut watch = |event: &Event, progress: &mut Progress| {
            // By now the run folder is open, and locked against other runs.
            if !is_recorded && let Err(error) = self.source.record(&self.out) {
                note!("warning: {error:#}; --resume will need --data");
            }
            is_recorded = true;
            progress.show(event)
        };
        while let Err(error) =
            trainer.fit(&self.train, self.val.as_ref(), &self.out, |event| watch(&event, &mut progress))
        {
            let rolls_back =
                matches!(error, Error::Diverged { .. }) && self.options.on_nan == OnNan::Rollback;
            if !rolls_back {
                if let (Error::Image { .. }, Some(folder)) = (&error, &self.source.folder) {
                    note!("`pix2pix check {}` finds all files that cannot be read", folder.display());
                }
                return Err(error.into());
            }
            trainer = resumed(&self.config, &self.out, &self.devices)?;
            if origin != Some(trainer.steps()) {
                (origin, rollbacks) = (Some(trainer.steps()), 0); // this is a newer checkpoint
            }
            if rollbacks == MAX_ROLLBACKS {
                return Err(error.into());
            }
            rollbacks += 1;
            trainer.reseed(rollbacks);
            progress.rewind(trainer.steps());
            note!("warning: {error}");
            note!("warning: returning to step {}, rollback {rollbacks} of {MAX_ROLLBACKS}", trainer.steps());
        }
        progress.finish();
        Ok(trainer.steps())
    }
}

/// Returns the devices to train on, at least one.
fn devices(options: &Options) -> Result<Vec<Device>> {
    let found = match &options.compute.backend {
        Some(name) if options.devices > 1 => device::all(name)?,
        _ => vec![options.compute.device()?],
    };
    Ok(found.into_iter().cycle().take(options.devices.max(1)).collect())
}

/// Opens the pairs to train on and to validate. The demo draws them first.
fn pairs(
    options: &Options,
    source: &Source,
    config: &Pix2PixConfig,
    out: &Path,
) -> Result<(PairedFolder, Option<PairedFolder>)> {
    let folder = match &source.folder {
        Some(folder) => folder.clone(),
        None => {
            source.record(out)?; // tells these pairs from files of the user
            let (data, size, seed) = (
                Source::demo(out),
                config.data.crop_size.height.max(config.data.crop_size.width) as u32,
                config.training.seed,
            );
            demo::draw_pairs(data.join("train"), 0..DEMO_PAIRS, size, seed)?;
            demo::draw_pairs(data.join("val"), demo::HELD_OUT..demo::HELD_OUT + DEMO_HELD_OUT, size, seed)?;
            data
        }
    };
    let data = DataFolder::open(folder)?.with_limits(options.limits.limits()?);
    let (train, val) = data.train_and_val(&config.data, source.val_fraction).map_err(as_flag)?;
    if options.resume {
        refuse_unreadable([Some(&train), val.as_ref()])?;
    }
    say!("{}", data.describe(&train, val.as_ref()));
    files::report_left_out("outside the splits", &data.outside()?);
    if val.is_none() {
        note!(
            "warning: no folder `val`, so no metrics and no best generator; --val-fraction 0.1 holds out a tenth of the \
             pairs"
        );
    }
    Ok((train, val))
}

/// Refuses to resume a run while the disk does not return a file: without it, the run would go on with other pairs.
fn refuse_unreadable(pairs: [Option<&PairedFolder>; 2]) -> Result<()> {
    let mut left_out = pairs.into_iter().flatten().flat_map(PairedFolder::left_out);
    match left_out.find(|file| matches!(file.reason, Reason::Unreadable(_))) {
        Some(file) => bail!(
            "{file}; without this file the run would go on with other pairs: make it readable, or remove it if the run \
             began without it"
        ),
        None => Ok(()),
    }
}

/// Returns a new trainer, with the weights of `--from` if given, or with `--resume` that of the newest checkpoint. Warns
/// of damaged checkpoints and of changed settings.
fn trainer(options: &Options, config: &mut Pix2PixConfig, out: &Path, devices: &[Device]) -> Result<Trainer> {
    let is_saved = options.resume && files::is_filled(&out.join(CHECKPOINTS))?;
    if let Some(from) = options.from.as_deref().filter(|_| !is_saved) {
        return Ok(from::start(options, from, config, out, &devices[0])?.with_devices(&devices[1..])?);
    }
    if !options.resume {
        return Ok(Trainer::new(config.clone(), &devices[0])?.with_devices(&devices[1..])?);
    }
    let trainer = resumed(config, out, devices)?;
    for error in trainer.skipped_checkpoints() {
        note!("warning: {error}; resuming from step {}", trainer.steps());
    }
    for change in trainer.config_changes() {
        note!("warning: {change}");
    }
    if trainer.steps() == 0 {
        say!("nothing is saved in {} yet; starting a new run", out.display());
    }
    Ok(trainer)
}

/// Returns the trainer of the newest checkpoint in `out`, or a new one if there is none.
fn resumed(config: &Pix2PixConfig, out: &Path, devices: &[Device]) -> Result<Trainer> {
    Ok(Trainer::resume_or_new(out, config.clone(), &devices[0])?.with_devices(&devices[1..])?)
}

/// Returns the folder of this run. A folder with an earlier run is rejected without `--resume`.
fn run_folder(options: &Options) -> Result<PathBuf> {
    let out = match (&options.out, &options.data) {
        (Some(out), _) => out.clone(),
        (None, Some(_)) => PathBuf::from("runs/train"),
        (None, None) if options.resume => PathBuf::from("runs/demo"),
        (None, None) => return free_demo_folder(),
    };
    match taken_by(&out)? {
        Some(_) if options.resume => Ok(out),
        None => Ok(out),
        Some(CHECKPOINTS) => {
            bail!("--out: {} holds a run; add --resume to continue it, or name another folder", out.display())
        }
        Some(name) => bail!(
            "--out: {} holds results without checkpoints to resume from ({name}); name another folder, or, if they are \
             of a run that was stopped before its first checkpoint, add --resume to start it again",
            out.display()
        ),
    }
}

/// Returns the first folder for the demo that no run has taken.
fn free_demo_folder() -> Result<PathBuf> {
    let mut folder = PathBuf::from("runs/demo");
    for number in 2.. {
        if taken_by(&folder)?.is_none() && !files::is_filled(&Source::demo(&folder))? {
            break;
        }
        folder = format!("runs/demo-{number}").into();
    }
    Ok(folder)
}

/// Returns a file in `folder`, or a folder with files, that a new run would replace.
fn taken_by(folder: &Path) -> Result<Option<&'static str>> {
    const NAMES: [&str; 9] = [
        CHECKPOINTS,
        "metrics.jsonl",
        "damaged-metrics.jsonl",
        "generator.safetensors",
        "generator-best.safetensors",
        "index.html",
        "config.json",
        "samples",
        "tensorboard",
    ];
    for name in NAMES {
        if files::is_filled(&folder.join(name))? {
            return Ok(Some(name));
        }
    }
    Ok(Source::recorded(folder).is_err().then_some("data.json"))
}
