//! FID and KID of the outputs, with the feature `eval` and Inception's weights.

use std::path::Path;

use anyhow::Result;

#[cfg(feature = "eval")]
use pix2pix::metrics::{Features, Inception, fid, kid};
use pix2pix::{Device, Tensor};

/// Number and size of KID's random subsets.
#[cfg(feature = "eval")]
const SUBSETS: [usize; 2] = [100, 50];

/// Inception's features of outputs and of targets.
#[derive(Default)]
pub(crate) struct Likeness {
    #[cfg(feature = "eval")]
    inception: Option<Inception>,
    #[cfg(feature = "eval")]
    outputs: Features,
    /// Equal for all runs, so they are computed once.
    #[cfg(feature = "eval")]
    targets: Features,
}

#[cfg(feature = "eval")]
impl Likeness {
    pub(crate) fn open(weights: Option<&Path>, device: &Device) -> Result<Self> {
        let inception = weights.map(|path| Inception::load(path, device)).transpose()?;
        Ok(Self { inception, ..Self::default() })
    }

    pub(crate) fn is_available(&self) -> bool {
        self.inception.is_some()
    }

    /// Adds the features of a pair; `count` is the number of all pairs.
    pub(crate) fn add(&mut self, output: &Tensor<4>, target: &Tensor<4>, count: usize) -> Result<()> {
        if let Some(inception) = &self.inception {
            self.outputs.add(inception.features(output.clone()))?;
            if self.targets.len() < count {
                self.targets.add(inception.features(target.clone()))?;
            }
        }
        Ok(())
    }

    /// Returns the metrics of the outputs added since the last call.
    pub(crate) fn take(&mut self) -> Vec<(&'static str, f64)> {
        let outputs = std::mem::take(&mut self.outputs);
        if outputs.is_empty() {
            return vec![];
        }
        let size = SUBSETS[1].min(outputs.len()).min(self.targets.len());
        if size < 2 {
            return vec![]; // a single image has no covariance
        }
        let (mean, _) = kid(&outputs, &self.targets, SUBSETS[0], size, 0);
        vec![("fid", fid(&outputs, &self.targets)), ("kid", mean)]
    }
}

#[cfg(not(feature = "eval"))]
impl Likeness {
    pub(crate) fn open(weights: Option<&Path>, _: &Device) -> Result<Self> {
        match weights {
            None => Ok(Self::default()),
            Some(_) => anyhow::bail!(
                "--inception: this program was built without FID; build it with `--features eval`"
            ),
        }
    }

    pub(crate) fn is_available(&self) -> bool {
        false
    }

    pub(crate) fn add(&mut self, _: &Tensor<4>, _: &Tensor<4>, _: usize) -> Result<()> {
        Ok(())
    }

    pub(crate) fn take(&mut self) -> Vec<(&'static str, f64)> {
        vec![]
    }
}
