//! The configuration of a run. Flags override the configuration file, which overrides the preset.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use pix2pix::config::Schedule;
use pix2pix::error::CheckpointProblem;
use pix2pix::{Backbone, Checkpoint, Condition, GanMode, Norm, Pix2PixConfig};
use serde_json::Value;

use super::options::{Augmentation, Decay, Gan, NormKind, Options, PATCHES, Preset, Shape};
use super::source::Source;
use super::{CHECKPOINTS, labels};
use crate::files;
use crate::output::note;

/// The defaults of `--schedule step`.
const STEP_EVERY: usize = 50;
const STEP_FACTOR: f64 = 0.1;
/// The defaults of `--schedule plateau`, those of the PyTorch original.
const PLATEAU_PATIENCE: usize = 5;
const PLATEAU_FACTOR: f64 = 0.2;
/// The file in a run folder that holds its configuration.
const RUN_CONFIG: &str = "config.json";

/// The demo: small images and networks, for about two minutes on two cores.
mod demo {
    pub(super) const SIZE: usize = 64;
    pub(super) const BASE_CHANNELS: usize = 32;
    pub(super) const EPOCHS: usize = 4;
    pub(super) const DECAY_EPOCHS: usize = 2;
    /// For a generator that makes images of noise, which learns from batches of several images.
    pub(super) const NOISE_BATCH: usize = 16;
    pub(super) const NOISE_BASE_CHANNELS: usize = 16;
    pub(super) const NOISE_EPOCHS: usize = 20;
}

/// Builds the configuration from the preset, the configuration file and the flags; later ones override earlier ones. A
/// run in `out` that is resumed has its own settings instead of the preset.
pub(super) fn configure(options: &Options, source: &Source, out: &Path) -> Result<Pix2PixConfig> {
    let saved = if options.resume && options.preset.is_none() && options.system.is_none() {
        saved(out)?
    } else {
        None
    };
    let mut config = saved.map_or_else(|| preset(options, source), Ok)?;
    if let Some(path) = &options.config {
        config = with_file(&config, path)?;
    }
    if let Some(labels) = labels::labels(options)? {
        config = config.with_labels(labels);
    }
    set_networks(&mut config, options);
    config = match (options.size, options.depth) {
        (Some(size), None) => config.with_size(size)?,
        (Some(size), Some(depth)) => config.with_crop_size(size).with_depth(depth)?,
        (None, Some(depth)) => config.with_depth(depth)?,
        (None, None) => config,
    };
    set_objective(&mut config, options);
    set_schedule(&mut config.training.schedule, options)?;
    set_training(&mut config, options);
    config.validate()?;
    Ok(config)
}

/// Returns the configuration of the run in `out`; `None` without checkpoints, because the run then starts again.
fn saved(out: &Path) -> Result<Option<Pix2PixConfig>> {
    if !files::is_filled(&out.join(CHECKPOINTS))? {
        return Ok(None);
    }
    let path = out.join(RUN_CONFIG);
    if files::look(&path)?.is_none() {
        return match Checkpoint::open(out, "latest") {
            Ok(latest) => {
                note!(
                    "warning: {}: it is missing; taking the settings of the newest checkpoint",
                    path.display()
                );
                Ok(Some(latest.config().clone()))
            }
            Err(pix2pix::Error::Checkpoint { problem: CheckpointProblem::Missing, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    let config = Pix2PixConfig::load(&path).map_err(|error| {
        anyhow!(
            "{error}; mend the file, or remove it: --resume then takes the settings of the newest checkpoint"
        )
    })?;
    Ok(Some(config))
}

/// Returns the configuration of a preset and a system, reduced for the demo.
fn preset(options: &Options, source: &Source) -> Result<Pix2PixConfig> {
    let config = match options.preset {
        Some(Preset::Pytorch) => Pix2PixConfig::pytorch(),
        Some(Preset::Paper) | None => Pix2PixConfig::paper(),
    };
    let config = options.system.map_or(config.clone(), |system| config.with_system(system.into()));
    if source.folder.is_none() { shrink_to_demo(config) } else { Ok(config) }
}

/// Reduces the configuration to the demo's. The demo draws enough pairs, so it needs no jitter, which would blur them.
fn shrink_to_demo(config: Pix2PixConfig) -> Result<Pix2PixConfig> {
    let mut config = config.with_size(demo::SIZE)?;
    config.generator.base_channels = demo::BASE_CHANNELS;
    config.discriminator.base_channels = demo::BASE_CHANNELS;
    (config.training.epochs, config.training.decay_epochs) = (demo::EPOCHS, demo::DECAY_EPOCHS);
    (config.data.load_size, config.data.mirror) = (demo::SIZE.into(), false);
    if config.generator.noise().is_some() {
        (config.data.batch_size, config.training.epochs) = (demo::NOISE_BATCH, demo::NOISE_EPOCHS);
        config.generator.base_channels = demo::NOISE_BASE_CHANNELS;
        config.discriminator.base_channels = demo::NOISE_BASE_CHANNELS;
    }
    Ok(config)
}

/// Applies the fields of a JSON or TOML file to a configuration.
fn with_file(config: &Pix2PixConfig, path: &Path) -> Result<Pix2PixConfig> {
    config.with_overrides(&fields(path)?).with_context(|| path.display().to_string())
}

/// Returns whether the configuration file, if there is one, sets a field.
pub(super) fn sets(options: &Options, section: &str, field: &str) -> Result<bool> {
    let fields = options.config.as_deref().map(fields).transpose()?;
    Ok(fields.is_some_and(|fields| fields.get(section).is_some_and(|section| section.get(field).is_some())))
}

/// Reads the fields of a JSON or TOML file.
fn fields(path: &Path) -> Result<Value> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(name)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).with_context(name),
        Some("toml") => toml::from_str(&text).with_context(name),
        _ => bail!("{}: the extension is neither .json nor .toml; rename the file", path.display()),
    }
}

fn set_networks(config: &mut Pix2PixConfig, options: &Options) {
    if let Some(shape) = options.generator {
        config.generator.backbone = match shape {
            Shape::Unet => Backbone::Unet { depth: depth(config) },
            Shape::EncoderDecoder => Backbone::EncoderDecoder { depth: depth(config) },
            Shape::Resnet9 => Backbone::Resnet { blocks: 9 },
            Shape::Resnet6 => Backbone::Resnet { blocks: 6 },
            Shape::Dcgan => Backbone::Dcgan { depth: depth(config), noise: noise(config) },
        };
    }
    if let Some(norm) = options.norm {
        let norm = match norm {
            NormKind::Batch => Norm::Batch,
            NormKind::Instance => Norm::Instance { affine: false },
            NormKind::None => Norm::None,
        };
        (config.generator.norm, config.discriminator.norm) = (norm, norm);
    }
    if let Some(patch) = &options.patch {
        set(&mut config.discriminator.layers, PATCHES.iter().position(|name| name == patch));
    }
    set(&mut config.discriminator.kind, options.discriminator.map(Into::into));
    set(&mut config.discriminator.layers, options.discriminator_layers);
    if options.unconditional {
        config.discriminator.condition = Condition::None;
    }
    if options.projection {
        config.discriminator.condition = Condition::Projection;
    }
    config.discriminator.narrow_scales |= options.narrow_scales;
    set(&mut config.discriminator.scales, options.scales);
    if options.spectral {
        config.discriminator.spectral = true;
        // A norm with a learned scale would undo it.
        if !matches!(config.discriminator.norm, Norm::Instance { affine: false }) {
            config.discriminator.norm = Norm::None;
        }
    }
    if options.imported.no_dropout() {
        config.generator.dropout = 0.0;
    }
    set(&mut config.generator.base_channels, options.base_channels);
    set(&mut config.discriminator.base_channels, options.base_channels);
}

/// Returns the depth of the configured network, or the depth that suits the size of the images.
fn depth(config: &Pix2PixConfig) -> usize {
    match config.generator.backbone {
        Backbone::Unet { depth } | Backbone::EncoderDecoder { depth } | Backbone::Dcgan { depth, .. } => {
            depth
        }
        _ => {
            let size = config.data.crop_size;
            size.height.trailing_zeros().min(size.width.trailing_zeros()).clamp(2, 12) as usize
        }
    }
}

/// Returns the values of the noise of the configured network, or those of DCGAN.
fn noise(config: &Pix2PixConfig) -> usize {
    config.generator.noise().unwrap_or(100)
}

fn set_objective(config: &mut Pix2PixConfig, options: &Options) {
    if let Some(gan) = options.gan {
        match gan {
            Gan::Vanilla => config.loss.gan = GanMode::Vanilla,
            Gan::Minimax => config.loss.gan = GanMode::Minimax,
            Gan::Energy => config.loss.gan = GanMode::Energy,
            Gan::Lsgan => config.loss.gan = GanMode::LeastSquares,
            Gan::Hinge => config.loss.gan = GanMode::Hinge,
            Gan::None => config.loss.gan_weight = 0.0,
        }
        // The file may have turned off the adversarial loss that the flag selects.
        if !matches!(gan, Gan::None) && config.loss.gan_weight == 0.0 {
            config.loss.gan_weight = Pix2PixConfig::paper().loss.gan_weight;
        }
    }
    set(&mut config.loss.gan_weight, options.gan_weight);
    set(&mut config.loss.margin, options.margin);
    set(&mut config.loss.pulling_away, options.pulling_away);
    set(&mut config.loss.l1_weight, options.l1_weight);
    set(&mut config.loss.gradient_weight, options.gradient_weight);
    set(&mut config.loss.ssim_weight, options.ssim_weight);
    set(&mut config.loss.pyramid_weight, options.pyramid_weight);
    set(&mut config.loss.frequency_weight, options.frequency_weight);
    set(&mut config.loss.feature_weight, options.feature_weight);
    set(&mut config.loss.lecam_weight, options.lecam_weight);
    set(&mut config.loss.lecam_decay, options.lecam_decay);
    set(&mut config.loss.feature_matching, options.feature_matching.map(Into::into));
}

fn set_schedule(schedule: &mut Schedule, options: &Options) -> Result<()> {
    match options.schedule {
        Some(Decay::Linear) => *schedule = Schedule::Linear,
        Some(Decay::Cosine) => *schedule = Schedule::Cosine,
        Some(Decay::Step) if !matches!(schedule, Schedule::Step { .. }) => {
            *schedule = Schedule::Step { every: STEP_EVERY, factor: STEP_FACTOR };
        }
        Some(Decay::Plateau) if !matches!(schedule, Schedule::Plateau { .. }) => {
            *schedule = Schedule::Plateau { patience: PLATEAU_PATIENCE, factor: PLATEAU_FACTOR };
        }
        Some(Decay::Step | Decay::Plateau) | None => {}
    }
    let steps =
        [("--step-every", options.step_every.is_some()), ("--step-factor", options.step_factor.is_some())];
    let plateaus = [
        ("--plateau-patience", options.plateau_patience.is_some()),
        ("--plateau-factor", options.plateau_factor.is_some()),
    ];
    let others = match schedule {
        Schedule::Step { every, factor } => {
            set(every, options.step_every);
            set(factor, options.step_factor);
            [[("", false); 2], plateaus]
        }
        Schedule::Plateau { patience, factor } => {
            set(patience, options.plateau_patience);
            set(factor, options.plateau_factor);
            [steps, [("", false); 2]]
        }
        _ => [steps, plateaus],
    };
    match others.into_iter().flatten().find(|(_, is_given)| *is_given) {
        Some((flag, _)) if flag.starts_with("--step") => {
            Err(anyhow!("{flag}: the schedule has no steps; add `--schedule step`"))
        }
        Some((flag, _)) => {
            Err(anyhow!("{flag}: the schedule waits for no plateau; add `--schedule plateau`"))
        }
        None => Ok(()),
    }
}

fn set_training(config: &mut Pix2PixConfig, options: &Options) {
    set(&mut config.data.direction, options.direction.map(Into::into));
    set(&mut config.data.load_size, options.load_size);
    set(&mut config.data.pages, options.pages.map(Into::into));
    config.data.layout = options.layout.map(Into::into).or(config.data.layout);
    set(&mut config.data.preprocess, options.preprocess.map(Into::into));
    set(&mut config.data.resize_filter, options.resize_filter.map(Into::into));
    if let Some(filter) = options.target_resize_filter {
        config.data.target_resize_filter = Some(filter.into());
    }
    config.data.mirror &= !options.no_mirror;
    config.data.rotate90 |= options.rotate90;
    if options.scale_range.is_some() {
        config.data.scale_range = options.scale_range;
    }
    set(&mut config.data.warp, options.warp);
    set(&mut config.data.batch_size, options.batch_size);
    set(&mut config.data.workers, options.workers);
    let training = &mut config.training;
    set(&mut training.epochs, options.epochs);
    set(&mut training.decay_epochs, options.decay_epochs);
    set(&mut training.learning_rate, options.lr);
    set(&mut training.beta_1, options.beta1);
    set(&mut training.save_every, options.save_every);
    set(&mut training.save_steps, options.save_steps);
    set(&mut training.keep, options.keep);
    set(&mut training.gan_share_every, options.gan_share_every);
    set(&mut training.warmup_steps, options.warmup_steps);
    set(&mut training.accumulate, options.accumulate);
    set(&mut training.discriminator_steps, options.discriminator_steps);
    set(&mut training.seed, options.seed);
    set(&mut training.discriminator_noise, options.discriminator_noise);
    if !options.diff_augment.is_empty() {
        let has = |augmentation| options.diff_augment.contains(&augmentation);
        training.diff_augment.color = has(Augmentation::Color);
        training.diff_augment.translation = has(Augmentation::Translation);
        training.diff_augment.cutout = has(Augmentation::Cutout);
    }
    if options.clip_norm.is_some() {
        training.clip_norm = options.clip_norm;
    }
    if options.ema_decay.is_some() {
        (training.ema_decay, training.export_ema) = (options.ema_decay, true);
    }
    training.ema_ramp |= options.ema_ramp;
    training.tensorboard |= options.tensorboard;
}

/// Sets a field to the value of a flag, if it is given.
fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use pix2pix::config::DiscriminatorKind;
    use pix2pix::config::System;
    use pix2pix::data::ResizeFilter;
    use pix2pix::loss::FeatureMatching;

    use super::*;
    use crate::{Command, Program};

    fn configured(arguments: &[&str]) -> Result<Pix2PixConfig> {
        let program = Program::try_parse_from([&["pix2pix", "train"], arguments].concat()).unwrap();
        let Command::Train(options) = program.command else { panic!("not `train`") };
        let source = Source { folder: options.data.clone(), val_fraction: None };
        configure(&options, &source, Path::new("absent"))
    }

    /// Returns a configuration file in which every field differs from the paper's value; a test of the library checks
    /// that.
    fn every_field() -> Value {
        serde_json::from_str(include_str!("../../../tests/support/every_field.json")).unwrap()
    }

    #[test]
    fn a_file_with_every_field_comes_out_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let expected: Pix2PixConfig = serde_json::from_value(every_field()).unwrap();
        let json = folder.path().join("all.json");
        std::fs::write(&json, every_field().to_string()).unwrap();
        let toml = folder.path().join("all.toml");
        std::fs::write(&toml, to_toml(&every_field())).unwrap();
        for file in [json, toml] {
            for demo in [true, false] {
                let data: &[&str] = if demo { &[] } else { &["--data", "pairs"] };
                let found = configured(&[data, &["--config", file.to_str().unwrap()]].concat()).unwrap();
                assert_eq!(found, expected, "{}", file.display());
                assert_eq!(serde_json::to_value(&found).unwrap(), every_field());
            }
        }
    }

    #[test]
    fn a_system_is_a_preset_which_the_file_and_flags_override() {
        let data = ["--data", "pairs", "--system"];
        let with = |flags: &[&str]| configured(&[&data[..], flags].concat()).unwrap();
        let paper = || configured(&["--data", "pairs"]).unwrap();
        assert_eq!(with(&["pix2pix"]), paper());
        for (name, system) in [("gan", System::Gan), ("dcgan", System::Dcgan), ("ebgan", System::Ebgan)] {
            assert_eq!(with(&[name]), paper().with_system(system));
        }
        assert_eq!(with(&["gan", "--gan", "vanilla"]).loss.gan, GanMode::Vanilla);
        let dcgan = with(&["dcgan", "--size", "128"]);
        assert_eq!(dcgan.generator.backbone, Backbone::Dcgan { depth: 7, noise: 100 });
        assert_eq!((dcgan.discriminator.layers, dcgan.data.load_size), (5, 128.into()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("margin.json");
        std::fs::write(&file, r#"{"loss": {"margin": 0.4, "gan_weight": 5.0}}"#).unwrap();
        let ebgan = with(&["ebgan", "--config", file.to_str().unwrap(), "--gan-weight", "6"]).loss;
        assert_eq!((ebgan.gan, ebgan.margin, ebgan.gan_weight), (GanMode::Energy, 0.4, 6.0));
        // The demo of a generator that takes noise has batches of several images.
        assert_eq!(configured(&["--system", "dcgan"]).unwrap().data.batch_size, demo::NOISE_BATCH);
    }

    /// Converts JSON to TOML: a table for each part of the configuration, with a line for each value.
    fn to_toml(json: &Value) -> String {
        fn inline(value: &Value) -> String {
            match value {
                Value::Object(fields) => {
                    let fields: Vec<_> = fields.iter().map(|(k, v)| format!("{k} = {}", inline(v))).collect();
                    format!("{{ {} }}", fields.join(", "))
                }
                Value::Array(values) => {
                    format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", "))
                }
                value => value.to_string(),
            }
        }
        let mut text = String::new();
        for (part, fields) in json.as_object().unwrap() {
            text += &format!("[{part}]\n");
            for (name, value) in fields.as_object().unwrap() {
                text += &format!("{name} = {}\n", inline(value));
            }
        }
        text
    }

    #[test]
    fn flags_override_the_file_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.json");
        std::fs::write(&file, every_field().to_string()).unwrap();
        let unchanged: Pix2PixConfig = serde_json::from_value(every_field()).unwrap();
        let with = |flags: &[&str]| {
            configured(&[&["--data", "pairs", "--config", file.to_str().unwrap()], flags].concat()).unwrap()
        };
        let changed = |change: fn(&mut Pix2PixConfig)| {
            let mut config = unchanged.clone();
            change(&mut config);
            config
        };
        assert_eq!(with(&["--preset", "pytorch"]), unchanged);
        assert_eq!(with(&["--seed", "3"]), changed(|c| c.training.seed = 3));
        assert_eq!(
            with(&["--preprocess", "crop"]),
            changed(|c| c.data.preprocess = pix2pix::data::Preprocess::Crop)
        );
        assert_eq!(
            with(&["--resize-filter", "lanczos", "--target-resize-filter", "bicubic"]),
            changed(|c| {
                c.data.resize_filter = ResizeFilter::Lanczos;
                c.data.target_resize_filter = Some(ResizeFilter::Bicubic);
            })
        );
        assert_eq!(
            with(&["--rotate90", "--scale-range", "0.8..1.25", "--warp", "0.03"]),
            changed(|c| {
                c.data.rotate90 = true;
                c.data.scale_range = Some([0.8, 1.25]);
                c.data.warp = 0.03;
            })
        );
        assert_eq!(
            with(&["--gan", "minimax", "--discriminator", "patch", "--pulling-away", "0"]),
            changed(|c| {
                (c.loss.gan, c.loss.pulling_away) = (GanMode::Minimax, 0.0);
                c.discriminator.kind = DiscriminatorKind::Patch;
            })
        );
        assert_eq!(
            with(&["--gan-weight", "9", "--margin", "0.2", "--discriminator-steps", "5"]),
            changed(|c| {
                (c.loss.gan_weight, c.loss.margin) = (9.0, 0.2);
                c.training.discriminator_steps = 5;
            })
        );
        assert_eq!(with(&["--discriminator-layers", "3"]), changed(|c| c.discriminator.layers = 3));
        assert_eq!(
            with(&["--generator", "unet"]),
            changed(|c| c.generator.backbone = Backbone::Unet { depth: 5 })
        );
        let schedule = |every, factor| Schedule::Step { every, factor };
        assert_eq!(with(&["--step-every", "9"]).training.schedule, schedule(9, 0.3));
        assert_eq!(with(&["--schedule", "step"]).training.schedule, schedule(3, 0.3));
        assert_eq!(with(&["--schedule", "linear"]).training.schedule, Schedule::Linear);
        let plateau = with(&["--schedule", "plateau", "--plateau-patience", "3"]).training.schedule;
        assert_eq!(plateau, Schedule::Plateau { patience: 3, factor: 0.2 });
        let resized = with(&["--size", "64", "--load-size", "70"]);
        assert_eq!((resized.data.crop_size, resized.data.load_size), (64.into(), 70.into()));
        assert_eq!(resized.generator.backbone, Backbone::EncoderDecoder { depth: 6 });
        let wide = with(&["--size", "96x192"]);
        assert_eq!(
            (wide.data.crop_size, wide.data.load_size, wide.generator.backbone),
            ([96, 192].into(), [107, 214].into(), Backbone::EncoderDecoder { depth: 5 })
        );
        let shallow = with(&["--size", "80x48", "--load-size", "90x60", "--depth", "4"]);
        assert_eq!((shallow.data.crop_size, shallow.data.load_size), ([80, 48].into(), [90, 60].into()));
        assert_eq!(shallow.generator.backbone, Backbone::EncoderDecoder { depth: 4 });
        let depth = Backbone::EncoderDecoder { depth: 3 };
        assert_eq!(
            with(&["--depth", "3"]),
            unchanged.clone().with_generator(unchanged.generator.clone().with_backbone(depth))
        );
    }

    #[test]
    fn the_flags_of_the_discriminator_reach_the_configuration() {
        let with = |flags: &[&str]| configured(&[&["--data", "pairs"], flags].concat()).unwrap();
        let d = with(&["--spectral", "--scales", "2", "--narrow-scales"]).discriminator;
        assert_eq!((d.spectral, d.norm, d.scales, d.narrow_scales), (true, Norm::None, 2, true));
        assert_eq!(with(&["--projection"]).discriminator.condition, Condition::Projection);
        let config = with(&["--spectral", "--norm", "instance"]);
        assert_eq!(config.discriminator.norm, Norm::Instance { affine: false });
        assert_eq!(with(&["--spectral", "--norm", "batch"]).generator.norm, Norm::Batch);
        let loss = with(&["--feature-weight", "10", "--feature-matching", "statistics"]).loss;
        assert_eq!((loss.feature_weight, loss.feature_matching), (10.0, FeatureMatching::Statistics));
        let loss = with(&["--lecam-weight", "0.3", "--lecam-decay", "0.9"]).loss;
        assert_eq!((loss.lecam_weight, loss.lecam_decay), (0.3, 0.9));
        let training = with(&["--diff-augment", "color,cutout", "--discriminator-noise", "0.1"]).training;
        let augment = training.diff_augment;
        assert_eq!((augment.color, augment.translation, augment.cutout), (true, false, true));
        assert_eq!(training.discriminator_noise, 0.1);
        let refused = |flags: &[&str]| configured(&[&["--data", "pairs"], flags].concat()).unwrap_err();
        assert!(refused(&["--scales", "4"]).to_string().contains("discriminator.scales: 4"));
        let error = refused(&["--gan", "none", "--feature-weight", "10"]);
        assert!(error.to_string().contains("loss.feature_weight: 10"), "{error}");
        let error = refused(&["--gan", "none", "--diff-augment", "cutout"]);
        assert!(error.to_string().contains("training.diff_augment: needs a discriminator"), "{error}");
        let error = refused(&["--size", "32", "--scales", "2"]);
        assert!(error.to_string().contains("fewer scales (`--scales`)"), "{error}");
    }

    #[test]
    fn sizes_that_do_not_fit_name_the_flags() {
        let message =
            |flags: &[&str]| configured(&[&["--data", "pairs"], flags].concat()).unwrap_err().to_string();
        let size = message(&["--size", "300"]);
        assert!(size.contains("use 288 or 320 (`--size`), or set the depth apart (`--depth`)"), "{size}");
        let depth = message(&["--size", "300", "--depth", "3"]);
        assert!(depth.contains("use 296 or 304 (`--size`), or a depth of at most 2 (`--depth`)"), "{depth}");
        let resnet = message(&["--generator", "resnet9", "--depth", "3"]);
        assert!(resnet.contains("resnet:9 has no depth (`--depth`)"), "{resnet}");
        let patch = message(&["--size", "16"]);
        assert!(patch.contains("(`--size`)") && patch.contains("`--patch 34`"), "{patch}");
        assert!(configured(&["--data", "pairs", "--size", "300", "--depth", "2"]).is_ok());
        let wrong =
            Program::try_parse_from(["pix2pix", "train", "--size", "wide"]).err().unwrap().to_string();
        assert!(wrong.contains("--size") && wrong.contains("256x512"), "{wrong}");
    }

    #[test]
    fn a_range_is_two_numbers() {
        let parse = |range| Program::try_parse_from(["pix2pix", "train", "--scale-range", range]);
        assert!(parse("0.5..2").is_ok());
        for wrong in ["0.8", "0.8-1.2", "..2", "a..b"] {
            let message = parse(wrong).err().unwrap().to_string();
            assert!(
                message.contains("--scale-range") && message.contains("for example 0.8..1.25"),
                "{message}"
            );
        }
        let message = configured(&["--scale-range", "2..1"]).unwrap_err().to_string();
        assert!(message.contains("data.scale_range: [2, 1] is not a range"), "{message}");
    }

    #[test]
    fn mistakes_name_the_file_or_the_flag() {
        let folder = tempfile::tempdir().unwrap();
        let message = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            crate::output::one_line(&configured(&["--config", file.to_str().unwrap()]).unwrap_err())
        };
        let unknown = message("a.json", r#"{"loss": {"lambda": 10}}"#);
        assert!(
            unknown.contains("a.json: ") && unknown.contains("loss.lambda: unknown field `lambda`"),
            "{unknown}"
        );
        let range = message("a.toml", "training.learning_rate = -1.0");
        assert!(range.contains("a.toml: ") && range.contains("training.learning_rate: -1"), "{range}");
        let syntax = message("a.toml", "training =");
        assert!(syntax.contains("a.toml: TOML parse error at line 1") && !syntax.contains('\n'), "{syntax}");
        assert!(message("a.yaml", "").contains("neither .json nor .toml"));
        let flag = configured(&["--step-every", "5"]).unwrap_err().to_string();
        assert!(flag.contains("--step-every") && flag.contains("--schedule step"), "{flag}");
    }

    /// Compares the defaults that the help states with the configuration without flags.
    #[test]
    fn help_states_the_defaults_of_the_presets() {
        let mut program = Program::command();
        let train = program.find_subcommand_mut("train").unwrap();
        let (paper, pytorch) = (Pix2PixConfig::paper(), Pix2PixConfig::pytorch());
        let demo = configured(&[]).unwrap();
        let expected = [
            ("size", format!("{}; {} without --data", paper.data.crop_size, demo.data.crop_size)),
            ("load_size", format!("{}; {} without --data", paper.data.load_size, demo.data.load_size)),
            (
                "resize_filter",
                format!("{}; {} with --preset pytorch", paper.data.resize_filter, pytorch.data.resize_filter),
            ),
            ("batch_size", paper.data.batch_size.to_string()),
            ("workers", paper.data.workers.to_string()),
            ("warp", paper.data.warp.to_string()),
            ("save_every", paper.training.save_every.to_string()),
            ("save_steps", paper.training.save_steps.to_string()),
            ("keep", paper.training.keep.to_string()),
            (
                "base_channels",
                format!("{}; {} without --data", paper.generator.base_channels, demo.generator.base_channels),
            ),
            ("patch", paper.discriminator.receptive_field().to_string()),
            ("l1_weight", paper.loss.l1_weight.to_string()),
            ("gan_weight", paper.loss.gan_weight.to_string()),
            ("margin", paper.loss.margin.to_string()),
            ("pulling_away", paper.loss.pulling_away.to_string()),
            ("discriminator_steps", paper.training.discriminator_steps.to_string()),
            (
                "epochs",
                format!(
                    "{}; {} with --preset pytorch; {} without --data",
                    paper.training.epochs, pytorch.training.epochs, demo.training.epochs
                ),
            ),
            (
                "decay_epochs",
                format!(
                    "{}; {} with --preset pytorch; {} without --data",
                    paper.training.decay_epochs, pytorch.training.decay_epochs, demo.training.decay_epochs
                ),
            ),
            ("lr", paper.training.learning_rate.to_string()),
            ("step_every", STEP_EVERY.to_string()),
            ("step_factor", STEP_FACTOR.to_string()),
            ("plateau_patience", PLATEAU_PATIENCE.to_string()),
            ("plateau_factor", PLATEAU_FACTOR.to_string()),
            ("warmup_steps", paper.training.warmup_steps.to_string()),
            ("accumulate", paper.training.accumulate.to_string()),
            ("seed", paper.training.seed.to_string()),
        ];
        for (name, default) in expected {
            let argument = train.get_arguments().find(|argument| argument.get_id() == name).unwrap();
            let help = argument.get_help().unwrap().to_string();
            assert!(help.ends_with(&format!("[default: {default}]")), "--{name}: {help}");
        }
        assert!(paper.training.clip_norm.is_none() && paper.training.ema_decay.is_none());
    }
}
