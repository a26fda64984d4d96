//! Metrics by networks whose weights the user brings: FID, KID and joint KID by Inception, and LPIPS (feature `eval`).

use std::path::PathBuf;

use anyhow::Result;
#[cfg(feature = "eval")]
use anyhow::{Context, bail};
use clap::Args;
#[cfg(feature = "eval")]
use pix2pix::metrics::{Features, Inception, Lpips, LpipsNetwork, fid, joint_kid, kid_of_all};
use pix2pix::{Device, Tensor};

#[cfg(feature = "eval")]
use crate::common::values;

/// The number of shuffles of the joint KID's test, and their seed.
#[cfg(feature = "eval")]
const SHUFFLES: (usize, u64) = (999, 0);

/// The largest set with a joint KID, whose memory and time grow with the square of the number of images.
#[cfg(feature = "eval")]
const MAX_JOINT: usize = 2000;

/// The metrics of a set by Inception.
#[cfg(feature = "eval")]
const BY_INCEPTION: [&str; 4] = ["fid", "kid", "joint_kid", "joint_kid_p"];

/// The names of all metrics of this file.
pub(crate) const NAMES: [&str; 6] = ["fid", "kid", "joint_kid", "joint_kid_p", "lpips_alex", "lpips_squeeze"];

/// The weights of the networks.
#[derive(Args, Debug, Default)]
pub(crate) struct Weights {
    /// Weights of Inception (safetensors) for FID, KID and joint KID [default: none of these]
    #[arg(long, value_name = "FILE", help_heading = "Metrics")]
    pub(crate) inception: Option<PathBuf>,
    /// Weights of LPIPS (safetensors or .pth): torchvision's AlexNet or SqueezeNet 1.1, and the heads of the package
    /// `lpips` [default: no LPIPS]
    #[arg(long, value_name = "FILE", num_args = 1..=2, help_heading = "Metrics")]
    pub(crate) lpips: Vec<PathBuf>,
}

/// A set of outputs that is compared with a set of targets.
#[derive(Default)]
pub(crate) struct Likeness {
    #[cfg(feature = "eval")]
    inception: Option<Inception>,
    #[cfg(feature = "eval")]
    lpips: Option<Lpips>,
    /// LPIPS of each output to its target.
    #[cfg(feature = "eval")]
    distances: Vec<f64>,
    #[cfg(feature = "eval")]
    outputs: Features,
    /// Equal for all sets of outputs, so they are computed once.
    #[cfg(feature = "eval")]
    targets: Features,
    #[cfg(feature = "eval")]
    inputs: Features,
}

#[cfg(feature = "eval")]
impl Likeness {
    /// Loads the networks whose weights are given.
    pub(crate) fn open(weights: &Weights, device: &Device) -> Result<Self> {
        let inception = weights.inception.as_deref().map(|path| Inception::load(path, device));
        let inception = inception.transpose().context("--inception")?;
        let lpips = (!weights.lpips.is_empty()).then(|| Lpips::load(&weights.lpips, device));
        Ok(Self { inception, lpips: lpips.transpose().context("--lpips")?, ..Self::default() })
    }

    /// Returns the names of the metrics that the loaded networks compute.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let by_inception = if self.inception.is_some() { &BY_INCEPTION[..] } else { &[] };
        by_inception.iter().copied().chain(self.lpips_name()).collect()
    }

    /// Returns the name of LPIPS by the loaded network.
    pub(crate) fn lpips_name(&self) -> Option<&'static str> {
        self.lpips.as_ref().map(|lpips| match lpips.network() {
            LpipsNetwork::Squeeze => "lpips_squeeze",
            _ => "lpips_alex",
        })
    }

    /// Refuses images that the loaded networks cannot judge: those of other channels than 1 or 3, or too small ones.
    pub(crate) fn check(&self, output: &Tensor<4>) -> Result<()> {
        let [_, channels, height, width] = output.dims();
        let flag = match (&self.inception, &self.lpips) {
            (_, Some(_)) => "--lpips",
            (Some(_), None) => "--inception",
            (None, None) => return Ok(()),
        };
        if rgb(output).is_none() {
            bail!(
                "{flag}: it judges images of 1 or 3 channels, but the network has {channels} output channels"
            );
        }
        if let Some(lpips) = &self.lpips
            && height.min(width) < lpips.min_size()
        {
            let least = lpips.min_size();
            bail!(
                "--lpips: the images have {width}×{height} pixels, but {} needs at least {least} in width and height",
                lpips.network()
            );
        }
        Ok(())
    }

    /// Adds a pair and its output, `[1, C, H, W]`; `count` is the number of all pairs. Returns LPIPS of the output to its
    /// target, if its network is loaded. Images of other channels than 1 or 3 are not judged.
    pub(crate) fn add(
        &mut self,
        input: &Tensor<4>,
        output: &Tensor<4>,
        target: &Tensor<4>,
        count: usize,
    ) -> Result<Option<f64>> {
        let (Some(output), Some(target)) = (rgb(output), rgb(target)) else { return Ok(None) };
        if let Some(inception) = &self.inception {
            self.outputs.add(inception.features(output.clone()))?;
            if self.targets.len() < count {
                self.targets.add(inception.features(target.clone()))?;
                if let Some(input) = rgb(input) {
                    self.inputs.add(inception.features(input))?;
                }
            }
        }
        let Some(lpips) = &self.lpips else { return Ok(None) };
        let distance = f64::from(values(lpips.distance(output, target))?[0]);
        self.distances.push(distance);
        Ok(Some(distance))
    }

    /// Returns the metrics of the outputs added since the last call.
    pub(crate) fn take(&mut self) -> Vec<(&'static str, f64)> {
        let (outputs, distances) = (std::mem::take(&mut self.outputs), std::mem::take(&mut self.distances));
        let mut found = vec![];
        if outputs.len() > 1 && self.targets.len() > 1 {
            found.push(("fid", fid(&outputs, &self.targets)));
            found.push(("kid", kid_of_all(&outputs, &self.targets)));
            let is_complete = [self.inputs.len(), self.targets.len()] == [outputs.len(); 2];
            if is_complete && outputs.len() <= MAX_JOINT {
                let (shuffles, seed) = SHUFFLES;
                let joint = joint_kid(&self.inputs, &outputs, &self.targets, shuffles, seed);
                found.push(("joint_kid", joint.distance));
                found.push(("joint_kid_p", joint.p_value));
            }
        }
        if let Some(name) = self.lpips_name()
            && !distances.is_empty()
        {
            found.push((name, distances.iter().sum::<f64>() / distances.len() as f64));
        }
        found
    }
}

/// Returns images with three channels: grey ones three times, and `None` for other numbers of channels.
#[cfg(feature = "eval")]
fn rgb(images: &Tensor<4>) -> Option<Tensor<4>> {
    match images.dims()[1] {
        3 => Some(images.clone()),
        1 => Some(images.clone().repeat_dim(1, 3)),
        _ => None,
    }
}

#[cfg(not(feature = "eval"))]
impl Likeness {
    pub(crate) fn open(weights: &Weights, _: &Device) -> Result<Self> {
        let flag = match (&weights.inception, weights.lpips.is_empty()) {
            (Some(_), _) => "--inception",
            (None, false) => "--lpips",
            (None, true) => return Ok(Self::default()),
        };
        anyhow::bail!("{flag}: this program was built without it; build it with `--features eval`")
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        vec![]
    }

    pub(crate) fn lpips_name(&self) -> Option<&'static str> {
        None
    }

    pub(crate) fn check(&self, _: &Tensor<4>) -> Result<()> {
        Ok(())
    }

    pub(crate) fn add(
        &mut self,
        _: &Tensor<4>,
        _: &Tensor<4>,
        _: &Tensor<4>,
        _: usize,
    ) -> Result<Option<f64>> {
        Ok(None)
    }

    pub(crate) fn take(&mut self) -> Vec<(&'static str, f64)> {
        vec![]
    }
}
