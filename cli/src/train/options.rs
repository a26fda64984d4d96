//! The flags of `train`. Flags that belong to the configuration are `Option`s: without the flag, the value of the
//! configuration file or the preset applies.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pix2pix::config::DiscriminatorKind;
use pix2pix::config::System;
use pix2pix::data::{Preprocess, ResizeFilter, Size};
use pix2pix::loss::FeatureMatching;

use super::samples::Range;
use crate::common::{Compute, LayoutName, PagesName, Way};
use crate::imported::Imported;
use crate::limits::LimitOptions;

/// Trains a generator on pairs of images
///
/// Writes weights, checkpoints, curves and sample images to the run folder; open its index.html. Without --data it
/// draws its own pairs, 450 façades of 64×64 pixels, and trains on them for about two minutes on a CPU.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Folder with `train/` and, optionally, `val/`, or of the pairs themselves: side-by-side images, or `A/` and `B/`
    /// [default: draws façades; with --resume the run's]
    #[arg(long, help_heading = DATA)]
    pub(crate) data: Option<PathBuf>,
    /// Fraction of the pairs to hold out for validation, chosen by their names, for data without `val/` [default: none]
    #[arg(long, value_name = "FRACTION", help_heading = DATA)]
    pub(crate) val_fraction: Option<f64>,
    /// How a file holds both images of a pair; what is given is not checked [default: side-by-side, and folders of other
    /// images are refused]
    #[arg(long, value_enum, help_heading = DATA)]
    pub(crate) layout: Option<LayoutName>,
    /// Samples that become black and white for the network, as LOW..HIGH, or `measured` over the data set [default: the
    /// whole range of 8 or 16 bits; measured for other types of samples]
    #[arg(long, value_name = "LOW..HIGH|measured", allow_hyphen_values = true, help_heading = DATA)]
    pub(crate) range: Option<Range>,
    /// The same for the target alone [default: --range]
    #[arg(long, value_name = "LOW..HIGH|measured", allow_hyphen_values = true, help_heading = DATA)]
    pub(crate) target_range: Option<Range>,
    /// Pages of TIFF files [default: first]
    #[arg(long, value_enum, help_heading = DATA)]
    pub(crate) pages: Option<PagesName>,
    /// Which half is translated into the other [default: a-to-b]
    #[arg(long, value_enum, help_heading = DATA)]
    pub(crate) direction: Option<Way>,
    /// The input is a label map and becomes a channel for each class: palette file (TOML) with the classes, or `ids` if
    /// the pixels hold the ids 0 to --classes minus 1 [default: the input is an image]
    #[arg(long, value_name = "PALETTE|ids", help_heading = DATA)]
    pub(crate) labels: Option<String>,
    /// Number of classes, with `--labels ids` [default: that of the palette]
    #[arg(long, requires = "labels", help_heading = DATA)]
    pub(crate) classes: Option<usize>,
    /// Pixels of the crops: the side of a square, or height and width, for example 256x512; sets --depth, and
    /// --load-size to 286/256 of it [default: 256; 64 without --data]
    #[arg(long, help_heading = DATA)]
    pub(crate) size: Option<Size>,
    /// Pixels that images are resized to before the random crop, one number or height and width [default: 286; 64
    /// without --data]
    #[arg(long, value_name = "SIZE", help_heading = DATA)]
    pub(crate) load_size: Option<Size>,
    /// Scale of the images before the random crop; `crop` and `none` train at the files' own scale [default: resize]
    #[arg(long, value_enum, help_heading = DATA)]
    pub(crate) preprocess: Option<Preparation>,
    /// Resampling filter [default: bilinear; bicubic with --preset pytorch]
    #[arg(long, value_enum, help_heading = DATA)]
    pub(crate) resize_filter: Option<Filter>,
    /// Resampling filter of the targets, for instance `nearest` for label maps [default: that of the inputs]
    #[arg(long, value_enum, help_heading = DATA)]
    pub(crate) target_resize_filter: Option<Filter>,
    /// Do not mirror images at random [default: half of the pairs are mirrored; none without --data]
    #[arg(long, help_heading = DATA)]
    pub(crate) no_mirror: bool,
    /// Rotate pairs at random by quarter turns, or by half a turn if --size is not square [default: not rotated]
    #[arg(long, help_heading = DATA)]
    pub(crate) rotate90: bool,
    /// Scale pairs at random before the crop by a factor in this range, for example 0.8..1.25 [default: not scaled]
    #[arg(long, value_name = "LOW..HIGH", value_parser = range, help_heading = DATA)]
    pub(crate) scale_range: Option<[f64; 2]>,
    /// Warp pairs at random and smoothly, by at most this fraction of the crop's side, for example 0.03 [default: 0]
    #[arg(long, value_name = "FRACTION", help_heading = DATA)]
    pub(crate) warp: Option<f64>,
    /// Pairs in a batch [default: 1]
    #[arg(long, help_heading = DATA)]
    pub(crate) batch_size: Option<usize>,
    /// Threads that read ahead [default: 2]
    #[arg(long, help_heading = DATA)]
    pub(crate) workers: Option<usize>,

    /// Run folder [default: runs/train; runs/demo without --data]
    #[arg(long, help_heading = RUN)]
    pub(crate) out: Option<PathBuf>,
    /// Resume the run in --out from its newest checkpoint, with its settings where no flag gives others
    #[arg(long, help_heading = RUN)]
    pub(crate) resume: bool,
    /// Configuration file (JSON or TOML) with any fields of config.json; it overrides --preset, and flags override it
    #[arg(long, value_name = "FILE", help_heading = RUN)]
    pub(crate) config: Option<PathBuf>,
    /// Generator to start a new run from: run folder, weights file, or file of the PyTorch original. It determines the
    /// architecture [default: random weights]
    #[arg(long, value_name = "WEIGHTS", help_heading = RUN, conflicts_with_all = ["generator", "norm", "base_channels"])]
    pub(crate) from: Option<PathBuf>,
    /// Checkpoint of the run folders --from and --from-discriminator: latest, best, or for example step-4000 [default:
    /// the exported generator, and the newest discriminator]
    #[arg(long, value_name = "NAME", help_heading = RUN, requires = "from")]
    pub(crate) checkpoint: Option<String>,
    /// Discriminator to start from: run folder, or file of the PyTorch original [default: random weights]
    #[arg(long, value_name = "WEIGHTS", help_heading = RUN, requires = "from", conflicts_with_all = ["patch", "unconditional", "projection", "spectral", "scales", "narrow_scales"])]
    pub(crate) from_discriminator: Option<PathBuf>,
    /// Name of the discriminator in a file with several, for example netD_A [default: the only one]
    #[arg(long, value_name = "KEY", help_heading = RUN, requires = "from_discriminator")]
    pub(crate) discriminator_key: Option<String>,
    /// Initialise the first and last layers of --from anew where the images have other channels [default: refuse them]
    #[arg(long, help_heading = RUN, requires = "from")]
    pub(crate) adapt_channels: bool,
    /// Recipe that gives the defaults [default: paper; with --resume the run's own settings]
    #[arg(long, value_enum, help_heading = RUN)]
    pub(crate) preset: Option<Preset>,
    /// System that the run trains: its networks, its objective and what its publication says about the data, on top of
    /// --preset [default: pix2pix; with --resume the run's own]
    #[arg(long, value_enum, help_heading = RUN)]
    pub(crate) system: Option<SystemName>,
    /// Stop after this many steps [default: after the last epoch]
    #[arg(long, help_heading = RUN)]
    pub(crate) steps: Option<u64>,
    /// Epochs between two checkpoints [default: 5]
    #[arg(long, help_heading = RUN)]
    pub(crate) save_every: Option<usize>,
    /// Steps between two checkpoints within an epoch; 0 saves only at the ends of epochs [default: 0]
    #[arg(long, help_heading = RUN)]
    pub(crate) save_steps: Option<u64>,
    /// Newest checkpoints to keep besides the best [default: 2]
    #[arg(long, help_heading = RUN)]
    pub(crate) keep: Option<usize>,
    /// What to do when a loss is NaN or infinite
    #[arg(long, value_enum, default_value = "stop", help_heading = RUN)]
    pub(crate) on_nan: OnNan,
    /// Steps between two measurements of the adversary's share of the gradient at the generator's output; 0 for none
    /// [default: 0]
    #[arg(long, value_name = "STEPS", help_heading = RUN)]
    pub(crate) gan_share_every: Option<u64>,
    /// Write event files for TensorBoard
    #[arg(long, help_heading = RUN)]
    pub(crate) tensorboard: bool,

    /// Channels of the first layer of both networks [default: 64; 32 without --data]
    #[arg(long, help_heading = NETWORKS)]
    pub(crate) base_channels: Option<usize>,
    /// Architecture of the generator [default: unet]
    #[arg(long, value_enum, help_heading = NETWORKS)]
    pub(crate) generator: Option<Shape>,
    /// Times that a U-Net halves the image; 2 to this power must divide both sides of --size [default: the most that
    /// --size allows]
    #[arg(long, help_heading = NETWORKS)]
    pub(crate) depth: Option<usize>,
    /// Side of the discriminator's patches in pixels: 1, 16, 34, 70, 142 or 286 [default: 70]
    #[arg(long, value_parser = PATCHES, help_heading = NETWORKS)]
    pub(crate) patch: Option<String>,
    /// Architecture of the discriminator [default: patch]
    #[arg(long, value_enum, help_heading = NETWORKS)]
    pub(crate) discriminator: Option<Kind>,
    /// Layers of the discriminator that halve the image, 1 to 6; of an auto-encoder, energies are those of cells of 2 to
    /// this power pixels [default: that of --patch]
    #[arg(long, value_name = "LAYERS", conflicts_with = "patch", help_heading = NETWORKS)]
    pub(crate) discriminator_layers: Option<usize>,
    /// Normalisation in both networks [default: batch]
    #[arg(long, value_enum, help_heading = NETWORKS)]
    pub(crate) norm: Option<NormKind>,
    /// Hide the input from the discriminator [default: it sees the input]
    #[arg(long, help_heading = NETWORKS)]
    pub(crate) unconditional: bool,
    /// Show the discriminator the input by projection, which suits label maps [default: concatenated with the image]
    #[arg(long, help_heading = NETWORKS, conflicts_with = "unconditional")]
    pub(crate) projection: bool,
    /// Spectral normalisation in the discriminator, instead of batch normalisation [default: --norm alone]
    #[arg(long, help_heading = NETWORKS)]
    pub(crate) spectral: bool,
    /// Discriminators, each at half the resolution of the one before: 1 to 3 [default: 1]
    #[arg(long, help_heading = NETWORKS)]
    pub(crate) scales: Option<usize>,
    /// Give each coarser discriminator half the channels of the one before [default: as many]
    #[arg(long, help_heading = NETWORKS)]
    pub(crate) narrow_scales: bool,

    /// Adversarial loss; `none` trains with L1 alone [default: vanilla]
    #[arg(long, value_enum, help_heading = OBJECTIVE)]
    pub(crate) gan: Option<Gan>,
    /// Weight of the adversarial loss [default: 1]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) gan_weight: Option<f64>,
    /// Energy up to which the discriminator raises that of generated images, with `--gan energy` [default: 0.1]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) margin: Option<f64>,
    /// Weight of the term that pushes the images of a batch apart, with `--gan energy`; EBGAN-PT has 0.1 [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = OBJECTIVE)]
    pub(crate) pulling_away: Option<f64>,
    /// Updates of the discriminator in each step, on the same batch with new noise [default: 1]
    #[arg(long, value_name = "UPDATES", help_heading = OBJECTIVE)]
    pub(crate) discriminator_steps: Option<usize>,
    /// Weight of L1 [default: 100]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) l1_weight: Option<f64>,
    /// Weight of the distance of the differences of neighbours [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = OBJECTIVE)]
    pub(crate) gradient_weight: Option<f64>,
    /// Weight of 1 - SSIM [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = OBJECTIVE)]
    pub(crate) ssim_weight: Option<f64>,
    /// Weight of the distance of the bands of a Laplacian pyramid [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = OBJECTIVE)]
    pub(crate) pyramid_weight: Option<f64>,
    /// Weight of the focal frequency loss [default: 0]
    #[arg(long, value_name = "WEIGHT", help_heading = OBJECTIVE)]
    pub(crate) frequency_weight: Option<f64>,
    /// Weight of the distance between the discriminator's features of output and target, for example 10 [default: 0]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) feature_weight: Option<f64>,
    /// How features are compared [default: aligned]
    #[arg(long, value_enum, help_heading = OBJECTIVE)]
    pub(crate) feature_matching: Option<Matching>,
    /// Weight of LeCam regularisation of the discriminator, against overfitting to few pairs, for example 0.3 [default:
    /// 0]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) lecam_weight: Option<f64>,
    /// Decay of LeCam's averages of the logits [default: 0.99]
    #[arg(long, value_name = "RATE", help_heading = OBJECTIVE)]
    pub(crate) lecam_decay: Option<f64>,
    /// Standard deviation of noise in the images that the discriminator sees, for example 0.1 [default: 0]
    #[arg(long, value_name = "DEVIATION", help_heading = OBJECTIVE)]
    pub(crate) discriminator_noise: Option<f64>,
    /// Random changes of the pairs that the discriminator sees, for few pairs, for example `color,cutout` [default: none]
    #[arg(long, value_enum, value_delimiter = ',', help_heading = OBJECTIVE)]
    pub(crate) diff_augment: Vec<Augmentation>,
    /// Epochs at the full learning rate [default: 200; 100 with --preset pytorch; 4 without --data]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) epochs: Option<usize>,
    /// Epochs after these in which the learning rate decays to zero [default: 0; 100 with --preset pytorch; 2 without
    /// --data]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) decay_epochs: Option<usize>,
    /// Learning rate [default: 0.0002]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) lr: Option<f64>,
    /// Adam's decay rate of the first moment [default: 0.5]
    #[arg(long, value_name = "RATE", help_heading = OBJECTIVE)]
    pub(crate) beta1: Option<f64>,
    /// Schedule of the learning rate: the shape of its decay in --decay-epochs, `step`, or `plateau`, which waits until
    /// the metric on the validation pairs no longer improves [default: linear]
    #[arg(long, value_enum, help_heading = OBJECTIVE)]
    pub(crate) schedule: Option<Decay>,
    /// Epochs between two reductions of the learning rate, with `--schedule step` [default: 50]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) step_every: Option<usize>,
    /// Factor of the learning rate at each reduction, with `--schedule step` [default: 0.1]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) step_factor: Option<f64>,
    /// Epochs without improvement before a reduction of the learning rate, with `--schedule plateau` [default: 5]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) plateau_patience: Option<usize>,
    /// Factor of the learning rate at each reduction, with `--schedule plateau` [default: 0.2]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) plateau_factor: Option<f64>,
    /// Steps of warm-up, in which the learning rate rises from zero [default: 0]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) warmup_steps: Option<u64>,
    /// Norm to which the gradient of each network is clipped [default: no clipping]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) clip_norm: Option<f64>,
    /// Micro-batches that each batch is computed in, to save memory [default: 1]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) accumulate: Option<usize>,
    /// Export the exponential moving average (EMA) of the generator with this decay, for example 0.999 [default: no
    /// EMA]
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) ema_decay: Option<f64>,
    /// Raise the decay of the EMA from 0.1 in the first steps, so that it soon forgets the random initial weights
    #[arg(long, help_heading = OBJECTIVE)]
    pub(crate) ema_ramp: bool,

    #[command(flatten)]
    pub(crate) imported: Imported,
    #[command(flatten)]
    pub(crate) limits: LimitOptions,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Devices of --backend that share each batch; a CPU may be counted several times
    #[arg(
        long,
        default_value_t = 1,
        requires = "backend",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=256),
        help_heading = "Device and seed"
    )]
    pub(crate) devices: usize,
    /// Seed of everything random [default: 0]
    #[arg(long, help_heading = "Device and seed")]
    pub(crate) seed: Option<u64>,
}

/// Parses `0.8..1.25`.
fn range(text: &str) -> Result<[f64; 2], String> {
    let ends = text.split_once("..").map(|(low, high)| (low.trim().parse(), high.trim().parse()));
    match ends {
        Some((Ok(low), Ok(high))) => Ok([low, high]),
        _ => Err("write two numbers with two dots between them, for example 0.8..1.25".to_owned()),
    }
}

const DATA: &str = "Data";
const RUN: &str = "Run";
const NETWORKS: &str = "Networks";
const OBJECTIVE: &str = "Objective and optimiser";

/// The values of `--patch`; the index is the discriminator's number of layers.
pub(super) const PATCHES: [&str; 6] = ["1", "16", "34", "70", "142", "286"];

/// [`Preprocess`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preparation {
    /// Resize to --load-size, whatever the shape, then crop to --size
    Resize,
    /// Scale to the width of --load-size, keep the shape, then crop to --size
    ScaleWidth,
    /// Crop to --size at the files' own scale
    Crop,
    /// Whole images at their own scale, padded to a size that the network takes; needs `--batch-size 1` if sizes differ
    None,
}

impl From<Preparation> for Preprocess {
    fn from(preparation: Preparation) -> Self {
        match preparation {
            Preparation::Resize => Self::Resize,
            Preparation::ScaleWidth => Self::ScaleWidth,
            Preparation::Crop => Self::Crop,
            Preparation::None => Self::None,
        }
    }
}

/// [`ResizeFilter`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Filter {
    Bilinear,
    Bicubic,
    /// The sharpest
    Lanczos,
    /// The nearest pixel: keeps the colours and ids of label maps
    Nearest,
}

impl From<Filter> for ResizeFilter {
    fn from(filter: Filter) -> Self {
        match filter {
            Filter::Bilinear => Self::Bilinear,
            Filter::Bicubic => Self::Bicubic,
            Filter::Lanczos => Self::Lanczos,
            Filter::Nearest => Self::Nearest,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Preset {
    /// The paper's
    Paper,
    /// The PyTorch original's
    Pytorch,
}

/// [`System`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SystemName {
    /// Image-to-image translation with a conditional GAN and L1
    Pix2pix,
    /// The original GAN: the minimax game without a condition and without L1, with the paper's networks
    Gan,
    /// Makes images of noise, of 64 pixels; learns the targets alone, or single images with `--layout single`
    Dcgan,
    /// An energy-based GAN, whose discriminator is an auto-encoder
    Ebgan,
}

impl From<SystemName> for System {
    fn from(name: SystemName) -> Self {
        match name {
            SystemName::Pix2pix => Self::Pix2pix,
            SystemName::Gan => Self::Gan,
            SystemName::Dcgan => Self::Dcgan,
            SystemName::Ebgan => Self::Ebgan,
        }
    }
}

/// [`DiscriminatorKind`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// A logit for each patch
    Patch,
    /// A logit for an image
    Dcgan,
    /// An energy for each cell; needs `--gan energy`
    AutoEncoder,
}

impl From<Kind> for DiscriminatorKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Patch => Self::Patch,
            Kind::Dcgan => Self::Dcgan,
            Kind::AutoEncoder => Self::AutoEncoder,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum OnNan {
    /// Stop with an error
    Stop,
    /// Return to the last checkpoint and continue with other random numbers, at most three times
    Rollback,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Decay {
    Linear,
    Cosine,
    Step,
    Plateau,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    Unet,
    EncoderDecoder,
    Resnet9,
    Resnet6,
    /// Makes images of noise; needs `--unconditional --l1-weight 0`, as `--system dcgan` sets
    Dcgan,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum NormKind {
    Batch,
    Instance,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Gan {
    Vanilla,
    /// The generator minimises what the discriminator maximises
    Minimax,
    Lsgan,
    Hinge,
    /// Energies of an auto-encoder; needs `--discriminator auto-encoder`
    Energy,
    None,
}

/// [`FeatureMatching`] as a flag.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Matching {
    /// Position by position
    Aligned,
    /// Means over batch and positions; needs `--accumulate 1` and one device
    Statistics,
}

impl From<Matching> for FeatureMatching {
    fn from(matching: Matching) -> Self {
        match matching {
            Matching::Aligned => Self::Aligned,
            Matching::Statistics => Self::Statistics,
        }
    }
}

/// A field of [`DiffAugment`](pix2pix::config::DiffAugment) as a flag.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Augmentation {
    /// Brightness, saturation and contrast of the image
    Color,
    /// A shift of the pair
    Translation,
    /// A hole in the pair
    Cutout,
}
