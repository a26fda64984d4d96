//! The data set of a run, which a run folder records so that `--resume` needs no `--data`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::files;

/// The file in a run folder that names the data set.
const RECORD: &str = "data.json";
/// The folder in a run folder that holds the pairs that the demo drew.
const DEMO: &str = "data";

/// The data set of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Source {
    /// The folder of the data set; `None` for the pairs that the demo draws.
    pub(super) folder: Option<PathBuf>,
    /// The fraction of the pairs that is held out for validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) val_fraction: Option<f64>,
}

impl Source {
    /// Returns the data set that the flags name, or with `--resume` that of the run in `out`.
    pub(super) fn find(options: &Options, out: &Path) -> Result<Self> {
        let recorded = if options.resume { Self::recorded(out)? } else { None };
        let Some(folder) = &options.data else {
            return match recorded {
                Some(recorded) => {
                    if let Some(folder) = &recorded.folder
                        && !files::is_folder(folder)?
                    {
                        bail!(
                            "--data: {}, which this run was trained on, is not there any more; name the folder of the pairs",
                            folder.display()
                        );
                    }
                    Ok(Self { val_fraction: options.val_fraction.or(recorded.val_fraction), ..recorded })
                }
                None => Self::of_demo(options, out),
            };
        };
        // A run may be resumed from another folder.
        let folder = folder.canonicalize().with_context(|| format!("--data: {}", folder.display()))?;
        let of_run = recorded.filter(|recorded| recorded.folder.as_ref() == Some(&folder));
        let val_fraction = options.val_fraction.or(of_run.and_then(|recorded| recorded.val_fraction));
        Ok(Self { folder: Some(folder), val_fraction })
    }

    /// Returns the data set of a run that draws its pairs, if these replace nothing else in `out`.
    fn of_demo(options: &Options, out: &Path) -> Result<Self> {
        let drawn = Self::demo(out);
        if options.resume && files::look(&out.join("config.json"))?.is_some() && !files::is_folder(&drawn)? {
            bail!("--data: {} does not record it; name the folder of the pairs", out.display());
        }
        if files::is_filled(&drawn)? && Self::recorded(out)?.is_none() {
            bail!(
                "--out: {} is not of a run, and the pairs that the demo draws would replace files in it; name another \
                 folder, or with --data the folder of the pairs",
                drawn.display()
            );
        }
        Ok(Self { folder: None, val_fraction: None })
    }

    /// Returns the folder of the demo's pairs.
    pub(super) fn demo(out: &Path) -> PathBuf {
        out.join(DEMO)
    }

    /// Reads the record of a run, if there is one.
    pub(super) fn recorded(out: &Path) -> Result<Option<Self>> {
        let path = out.join(RECORD);
        let name = || path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(name)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(name),
        }
    }

    /// Records the data set in a run folder.
    pub(super) fn record(&self, out: &Path) -> Result<()> {
        if Self::recorded(out).is_ok_and(|recorded| recorded.as_ref() == Some(self)) {
            return Ok(());
        }
        let path = out.join(RECORD);
        let text = serde_json::to_string_pretty(self).with_context(|| path.display().to_string())?;
        files::replace(&path, format!("{text}\n").as_bytes())
    }
}
