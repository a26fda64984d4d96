//! The main job: trains a pix2pix on a folder of pairs and leaves a run folder with weights, curves and pictures.
//!
//! Without arguments it draws its own pairs, façade label maps and "photographs", and trains on them for about two
//! minutes on a CPU. Then open the page it names.
//!
//! ```text
//! cargo run --release --example train
//! cargo run --release --example train -- --data datasets/facades --direction b-to-a --out runs/facades
//! cargo run --release --example train -- --data datasets/facades --direction b-to-a --out runs/facades --resume
//! ```

mod support;

#[path = "support/facades.rs"]
mod facades;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use pix2pix::data::{Direction, PairedFolder};
use pix2pix::{
    Backbone, Condition, Device, Error, Event, GanMode, Norm, Pix2PixConfig, Result, Schedule, Trainer,
};

#[derive(Parser)]
#[command(about = "Trains a pix2pix on pairs of pictures; without arguments, on pairs that it draws itself")]
struct Options {
    /// Folder with `train/` and, if there is one, `val/`: side-by-side pictures, or `A/` and `B/` in each
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which half is translated into the other
    #[arg(long, value_enum)]
    direction: Option<Way>,
    /// Run folder [default: runs/demo for the demo, runs/train with --data]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on where the run in --out was saved last
    #[arg(long)]
    resume: bool,
    /// Whose defaults to use
    #[arg(long, value_enum, default_value = "paper")]
    preset: Preset,
    /// Pixels of a side of the square pictures
    #[arg(long)]
    size: Option<usize>,
    /// Pixels to resize to before the random crop
    #[arg(long)]
    load_size: Option<usize>,
    /// Never exchange left and right
    #[arg(long)]
    no_mirror: bool,
    /// Channels of the first layer of both networks
    #[arg(long)]
    base_channels: Option<usize>,
    /// Shape of the generator
    #[arg(long, value_enum)]
    generator: Option<Shape>,
    /// Pixels of a side of the discriminator's patches: 1, 16, 34, 70, 142 or 286
    #[arg(long, value_parser = ["1", "16", "34", "70", "142", "286"])]
    patch: Option<String>,
    /// Normalisation in both networks
    #[arg(long, value_enum)]
    norm: Option<NormKind>,
    /// Adversarial objective; `none` trains with L1 alone
    #[arg(long, value_enum)]
    gan: Option<Gan>,
    /// Hide the condition from the discriminator
    #[arg(long)]
    unconditional: bool,
    /// Weight of L1
    #[arg(long)]
    l1_weight: Option<f64>,
    /// Epochs at the full learning rate
    #[arg(long)]
    epochs: Option<usize>,
    /// Epochs of linear decay after them
    #[arg(long)]
    decay_epochs: Option<usize>,
    /// Stop after so many steps
    #[arg(long)]
    steps: Option<u64>,
    /// Pairs in a batch
    #[arg(long)]
    batch_size: Option<usize>,
    /// Learning rate
    #[arg(long)]
    lr: Option<f64>,
    /// Threads that read ahead
    #[arg(long)]
    workers: Option<usize>,
    /// Epochs between two checkpoints
    #[arg(long)]
    save_every: Option<usize>,
    /// Steps between two checkpoints within an epoch; 0 saves at the ends of epochs alone
    #[arg(long)]
    save_steps: Option<u64>,
    /// Newest checkpoints that stay, besides the best
    #[arg(long)]
    keep: Option<usize>,
    /// What to do when a loss is no number any more: stop, or go back to the last checkpoint and on by another path
    #[arg(long, value_enum, default_value = "stop")]
    on_nan: OnNan,
    /// Shape of the learning rate: how it falls in --decay-epochs, or `step`
    #[arg(long, value_enum)]
    schedule: Option<Decay>,
    /// Epochs from one fall to the next with `--schedule step`
    #[arg(long, default_value_t = 50)]
    step_every: usize,
    /// What is left of the learning rate after a fall with `--schedule step`
    #[arg(long, default_value_t = 0.1)]
    step_factor: f64,
    /// Steps in which the learning rate rises to its full height
    #[arg(long)]
    warmup_steps: Option<u64>,
    /// Longest gradient of a network
    #[arg(long)]
    clip_norm: Option<f64>,
    /// Parts that a batch is computed in, for less memory
    #[arg(long)]
    accumulate: Option<usize>,
    /// Export a moving average of the generator, in which the past has this weight, for instance 0.999
    #[arg(long)]
    ema_decay: Option<f64>,
    /// Share each batch among so many devices of --backend; a CPU counts as often as asked
    #[arg(long, default_value_t = 1, requires = "backend")]
    devices: usize,
    /// Write event files for TensorBoard
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    common: support::Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Way {
    AToB,
    BToA,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum OnNan {
    Stop,
    Rollback,
}

#[derive(Clone, Copy, ValueEnum)]
enum Decay {
    Linear,
    Cosine,
    Step,
}

/// Paths from one checkpoint that `--on-nan rollback` tries before it gives up.
const DETOURS: u64 = 3;

/// Set by Ctrl-C, or by a system that ends programs: the step is finished and the run saved.
static STOP: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    Paper,
    Pytorch,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    Unet,
    EncoderDecoder,
    Resnet9,
    Resnet6,
}

#[derive(Clone, Copy, ValueEnum)]
enum NormKind {
    Batch,
    Instance,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Gan {
    Vanilla,
    Lsgan,
    Hinge,
    None,
}

/// The demo: small pictures and networks, for about two minutes on two cores.
mod demo {
    pub(crate) const SIZE: usize = 64;
    pub(crate) const BASE_CHANNELS: usize = 32;
    pub(crate) const EPOCHS: usize = 4;
    pub(crate) const DECAY_EPOCHS: usize = 2;
    pub(crate) const TRAIN_PAIRS: u64 = 450;
    pub(crate) const VAL_PAIRS: u64 = 24;
}

fn main() -> ExitCode {
    support::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let devices = devices(options)?;
    let device = devices[0].clone();
    let config = configure(options);
    config.validate()?;
    let out = run_folder(options)?;
    let data = match &options.data {
        Some(data) => data.clone(),
        None => draw_pairs(&out.join("data"), config.data.crop_size as u32, options.common.seed)?,
    };
    let train = PairedFolder::open(data.join("train"), &config.data)?;
    let val = if data.join("val").is_dir() {
        Some(PairedFolder::open(data.join("val"), &config.data)?)
    } else {
        None
    };
    let mut trainer = if options.resume {
        Trainer::resume_or_new(&out, config.clone(), &device)?
    } else {
        Trainer::new(config.clone(), &device)?
    }
    .also_on(&devices[1..]);
    for error in trainer.damaged() {
        eprintln!("warning: {error}; going on from step {}", trainer.steps());
    }
    for change in trainer.changes() {
        eprintln!("warning: {change}");
    }
    if options.resume && trainer.steps() == 0 {
        println!("nothing is saved in {} yet; starting anew", out.display());
    }

    println!(
        "{} pairs to train on, {} to validate; generator of {} parameters on {device:?}",
        train.len(),
        val.as_ref().map_or(0, PairedFolder::len),
        trainer.generator().parameter_count()
    );
    let start = trainer.steps();
    let mut progress = Progress::new(&trainer, options.steps);
    if options.steps.is_none_or(|stop| start < stop) {
        listen_to_ctrl_c();
        // Where the last detour began, and how many did.
        let (mut origin, mut detours) = (None, 0);
        while let Err(error) = trainer.fit(&train, val.as_ref(), &out, |event| progress.show(&event)) {
            let goes_back = matches!(error, Error::Diverged { .. }) && options.on_nan == OnNan::Rollback;
            if !goes_back {
                return Err(error);
            }
            trainer = Trainer::resume_or_new(&out, config.clone(), &device)?.also_on(&devices[1..]);
            if origin != Some(trainer.steps()) {
                (origin, detours) = (Some(trainer.steps()), 0); // the run came further since
            }
            if detours == DETOURS {
                return Err(error);
            }
            detours += 1;
            trainer.detour(detours);
            progress.go_to(trainer.steps());
            eprintln!("warning: {error}");
            eprintln!("warning: going back to step {}, detour {detours} of {DETOURS}", trainer.steps());
        }
    }
    progress.bar.finish_and_clear();
    if STOP.load(Ordering::Relaxed) {
        println!("stopped and saved after step {}; the same command with --resume goes on", trainer.steps());
    }
    println!("{} steps; curves and pictures: {}", trainer.steps() - start, out.join("index.html").display());
    println!(
        "translate a picture: cargo run --release --example translate -- --weights {} --input IN --output OUT",
        out.display()
    );
    Ok(())
}

/// The devices to train on, at least one.
fn devices(options: &Options) -> Result<Vec<Device>> {
    let found = match &options.common.backend {
        Some(name) if options.devices > 1 => pix2pix::device::all(name)?,
        _ => vec![options.common.device()?],
    };
    Ok(found.into_iter().cycle().take(options.devices.max(1)).collect())
}

fn configure(options: &Options) -> Pix2PixConfig {
    let mut config = match options.preset {
        Preset::Paper => Pix2PixConfig::paper(),
        Preset::Pytorch => Pix2PixConfig::pytorch(),
    };
    if options.data.is_none() {
        config = config.with_size(demo::SIZE);
        config.generator.base_channels = demo::BASE_CHANNELS;
        config.discriminator.base_channels = demo::BASE_CHANNELS;
        (config.training.epochs, config.training.decay_epochs) = (demo::EPOCHS, demo::DECAY_EPOCHS);
        // There are as many pairs as one cares to draw, and they are small: no need to blur them by resizing.
        (config.data.load_size, config.data.mirror) = (demo::SIZE, false);
    }
    if let Some(size) = options.size {
        config = config.with_size(size);
    }
    let Backbone::Unet { depth } = config.generator.backbone else { unreachable!("presets are U-Nets") };
    match options.generator {
        Some(Shape::EncoderDecoder) => config.generator.backbone = Backbone::EncoderDecoder { depth },
        Some(Shape::Resnet9) => config.generator.backbone = Backbone::Resnet { blocks: 9 },
        Some(Shape::Resnet6) => config.generator.backbone = Backbone::Resnet { blocks: 6 },
        Some(Shape::Unet) | None => {}
    }
    if let Some(norm) = options.norm {
        let norm = match norm {
            NormKind::Batch => Norm::Batch,
            NormKind::Instance => Norm::Instance { affine: false },
            NormKind::None => Norm::None,
        };
        (config.generator.norm, config.discriminator.norm) = (norm, norm);
    }
    match options.gan {
        Some(Gan::Vanilla) | None => {}
        Some(Gan::Lsgan) => config.loss.gan = GanMode::LeastSquares,
        Some(Gan::Hinge) => config.loss.gan = GanMode::Hinge,
        Some(Gan::None) => config.loss.gan_weight = 0.0,
    }
    if let Some(patch) = &options.patch {
        let layers = ["1", "16", "34", "70", "142", "286"].iter().position(|name| name == patch);
        set(&mut config.discriminator.layers, layers);
    }
    if let Some(direction) = options.direction {
        config.data.direction = match direction {
            Way::AToB => Direction::AToB,
            Way::BToA => Direction::BToA,
        };
    }
    if options.unconditional {
        config.discriminator.condition = Condition::None;
    }
    set(&mut config.generator.base_channels, options.base_channels);
    set(&mut config.discriminator.base_channels, options.base_channels);
    set(&mut config.loss.l1_weight, options.l1_weight);
    set(&mut config.data.load_size, options.load_size);
    config.data.mirror &= !options.no_mirror;
    set(&mut config.data.batch_size, options.batch_size);
    set(&mut config.data.workers, options.workers);
    set(&mut config.training.epochs, options.epochs);
    set(&mut config.training.decay_epochs, options.decay_epochs);
    set(&mut config.training.learning_rate, options.lr);
    set(&mut config.training.save_every, options.save_every);
    set(&mut config.training.save_steps, options.save_steps);
    set(&mut config.training.keep, options.keep);
    set(&mut config.training.warmup_steps, options.warmup_steps);
    set(&mut config.training.accumulate, options.accumulate);
    config.training.clip_norm = options.clip_norm;
    (config.training.ema_decay, config.training.export_ema) =
        (options.ema_decay, options.ema_decay.is_some());
    config.training.tensorboard = options.tensorboard;
    match options.schedule {
        Some(Decay::Linear) | None => {}
        Some(Decay::Cosine) => config.training.schedule = Schedule::Cosine,
        Some(Decay::Step) => {
            let (every, factor) = (options.step_every, options.step_factor);
            config.training.schedule = Schedule::Step { every, factor };
        }
    }
    config.training.seed = options.common.seed;
    config
}

fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

/// Lets Ctrl-C, SIGTERM and SIGHUP finish the step and save; a second one ends the program at once.
fn listen_to_ctrl_c() {
    let listening = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("finishing the step and saving; press Ctrl-C again to stop without");
    });
    if let Err(error) = listening {
        eprintln!("warning: Ctrl-C will stop without saving: {error}");
    }
}

/// The folder of this run, which must not hold another run unless that is to be resumed.
fn run_folder(options: &Options) -> Result<PathBuf> {
    // Without its checkpoints, too, a run has results that nobody wants to lose.
    let results = ["checkpoints", "metrics.jsonl", "generator.safetensors"];
    let is_taken = |folder: &Path| results.iter().any(|name| folder.join(name).exists());
    let out = match (&options.out, &options.data) {
        (Some(out), _) => out.clone(),
        (None, Some(_)) => PathBuf::from("runs/train"),
        (None, None) if options.resume => PathBuf::from("runs/demo"),
        // The demo is there to be run again and again, so it looks for a free name.
        (None, None) => (1..)
            .map(|n| PathBuf::from(if n == 1 { "runs/demo".to_owned() } else { format!("runs/demo-{n}") }))
            .find(|folder| !is_taken(folder))
            .unwrap_or_default(),
    };
    if is_taken(&out) && !options.resume {
        let out_has_checkpoints = out.join(results[0]).is_dir();
        let out = out.display();
        let problem = if out_has_checkpoints {
            format!("{out} holds a run; add --resume to go on with it, or name another folder")
        } else {
            format!(
                "{out} holds results without checkpoints to go on from; name another folder, or add --resume to \
                 train anew over them"
            )
        };
        return Err(Error::Config { field: "--out", problem });
    }
    Ok(out)
}

/// Draws the demo's pairs, label map on the left and photograph on the right.
fn draw_pairs(folder: &Path, size: u32, seed: u64) -> Result<PathBuf> {
    let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
    for (split, first, count) in [("train", 0, demo::TRAIN_PAIRS), ("val", 1 << 32, demo::VAL_PAIRS)] {
        let split = folder.join(split);
        std::fs::create_dir_all(&split).map_err(|error| io(&split, error))?;
        for index in 0..count {
            let (labels, photograph) = facades::pair(seed, first + index, size);
            let mut both = image::RgbImage::new(2 * size, size);
            image::imageops::replace(&mut both, &labels, 0, 0);
            image::imageops::replace(&mut both, &photograph, i64::from(size), 0);
            let path = split.join(format!("{index:04}.png"));
            both.save(&path).map_err(|error| Error::Image { path, source: error.into() })?;
        }
    }
    Ok(folder.to_owned())
}

/// A progress bar on a terminal, and a line for each epoch everywhere.
struct Progress {
    bar: ProgressBar,
    epochs: usize,
    steps: u64,
    stop: Option<u64>,
    batch_size: usize,
    losses: String,
}

impl Progress {
    fn new(trainer: &Trainer, stop: Option<u64>) -> Self {
        let bar = ProgressBar::no_length();
        let style = "{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let batch_size = trainer.config().data.batch_size;
        Self {
            bar,
            epochs: trainer.epochs(),
            steps: trainer.steps(),
            stop,
            batch_size,
            losses: String::new(),
        }
    }

    fn go_to(&mut self, steps: u64) {
        self.steps = steps;
        self.bar.set_position(steps);
    }

    fn show(&mut self, event: &Event) -> ControlFlow<()> {
        match event {
            Event::Step { epoch, batches, losses, .. } => {
                if self.steps == 0 || self.bar.length().is_none() {
                    let whole = (self.epochs * batches) as u64;
                    self.bar.set_length(self.stop.map_or(whole, |stop| stop.min(whole)));
                    self.bar.set_position(self.steps);
                    self.bar.reset_eta();
                }
                self.steps += 1;
                self.bar.set_position(self.steps);
                self.bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
                if self.steps.is_multiple_of(10) || self.stop == Some(self.steps) {
                    let rate = self.bar.per_sec() * self.batch_size as f64;
                    self.losses = losses.read().to_string();
                    self.bar.set_message(format!("{}  {rate:.1} images/s", self.losses));
                }
            }
            Event::Epoch { epoch, scores } => {
                let scores = scores.map_or_else(String::new, |scores| format!("validation: {scores}"));
                let line = format!("epoch {epoch}/{}  {}  {scores}", self.epochs, self.losses);
                self.bar.suspend(|| println!("{line}"));
            }
            Event::Advice(advice) => self.bar.suspend(|| println!("step {}: {advice}", self.steps)),
            _ => {}
        }
        let is_enough = self.stop.is_some_and(|stop| self.steps >= stop) || STOP.load(Ordering::Relaxed);
        if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
