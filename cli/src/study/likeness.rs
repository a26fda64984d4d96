//! FID and KID of the outputs, where the program is built with them and the user brings Inception's weights.

use std::path::Path;

#[cfg(feature = "fid")]
use pix2pix::metrics::{Features, Inception, fid, kid};
use pix2pix::{Device, Result, Tensor};

/// KID's draws: so many, of so many pictures each.
#[cfg(feature = "fid")]
const SUBSETS: [usize; 2] = [100, 50];

/// What Inception sees in outputs and in targets.
#[derive(Default)]
pub(crate) struct Likeness {
    #[cfg(feature = "fid")]
    inception: Option<Inception>,
    #[cfg(feature = "fid")]
    outputs: Features,
    /// Those of the targets are the same for all runs.
    #[cfg(feature = "fid")]
    targets: Features,
}

#[cfg(feature = "fid")]
impl Likeness {
    pub(crate) fn open(weights: Option<&Path>, device: &Device) -> Result<Self> {
        let inception = weights.map(|path| Inception::load(path, device)).transpose()?;
        Ok(Self { inception, ..Self::default() })
    }

    pub(crate) fn is_known(&self) -> bool {
        self.inception.is_some()
    }

    /// Looks at a pair; `count` is how many there are in all.
    pub(crate) fn add(&mut self, output: &Tensor<4>, target: &Tensor<4>, count: usize) {
        if let Some(inception) = &self.inception {
            self.outputs.add(inception.features(output.clone()));
            if self.targets.len() < count {
                self.targets.add(inception.features(target.clone()));
            }
        }
    }

    /// The scores of the outputs since the last call.
    pub(crate) fn take(&mut self) -> Vec<(&'static str, f64)> {
        let outputs = std::mem::take(&mut self.outputs);
        if outputs.is_empty() {
            return vec![];
        }
        let (mean, _) = kid(&outputs, &self.targets, SUBSETS[0], SUBSETS[1], 0);
        vec![("fid", fid(&outputs, &self.targets)), ("kid", mean)]
    }
}

#[cfg(not(feature = "fid"))]
impl Likeness {
    pub(crate) fn open(weights: Option<&Path>, _: &Device) -> Result<Self> {
        match weights {
            None => Ok(Self::default()),
            Some(_) => Err(pix2pix::Error::Config {
                field: "--inception",
                problem: "this program was built without FID; build it with `--features fid`".to_owned(),
            }),
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        false
    }

    pub(crate) fn add(&mut self, _: &Tensor<4>, _: &Tensor<4>, _: usize) {}

    pub(crate) fn take(&mut self) -> Vec<(&'static str, f64)> {
        vec![]
    }
}
