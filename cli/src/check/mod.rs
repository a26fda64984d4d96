//! `pix2pix check`: looks at a data set before a training, and advises flags.
//!
//! ```text
//! pix2pix check datasets/facades
//! pix2pix check datasets/facades --json report.json --html report.html --strict
//! ```

mod advice;
mod duplicates;
mod findings;
mod labels;
mod page;
mod scan;
mod shift;
mod signature;
mod swapped;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use pix2pix::data::{DataConfig, DataFolder, Direction, ImageLimits, Layout};
use serde::Serialize;

use crate::common::{LayoutName, Way};
use crate::files;
use crate::limits::LimitOptions;
use crate::output::{note, say};
use findings::Finding;
use labels::{Colours, Palette};
use scan::Scanned;

/// Looks for problems in a data set and advises the flags to train with
///
/// Reads every pair once and lists what is left out, damaged, repeated, swapped or shifted, and what kind of images A
/// and B are. Ends with a command for training, ready to copy.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Folder with `train/` and, optionally, `val/` and `test/`, or with pairs directly
    #[arg(value_name = "DATA", help_heading = CHECK)]
    data: PathBuf,
    /// Which half is translated into the other [default: from the half that looks like labels or edges to the other]
    #[arg(long, value_enum, help_heading = CHECK)]
    direction: Option<Way>,
    /// Side in pixels of the square images of the training that is planned
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=16_384), help_heading = CHECK)]
    size: u32,
    /// Write the findings to this JSON file [default: none]
    #[arg(long, value_name = "FILE", help_heading = CHECK)]
    json: Option<PathBuf>,
    /// Write a page with images of the pairs to this HTML file [default: none]
    #[arg(long, value_name = "FILE", help_heading = CHECK)]
    html: Option<PathBuf>,
    /// End with status 1 if there are findings [default: 0]
    #[arg(long, help_heading = CHECK)]
    strict: bool,
    /// How a file holds both images [default: side-by-side, and folders of other images are refused]
    #[arg(long, value_enum, help_heading = CHECK)]
    layout: Option<LayoutName>,
    #[command(flatten)]
    limits: LimitOptions,
}

const CHECK: &str = "Check";
/// The largest number of files of a finding that the terminal shows.
const SHOWN: usize = 3;

/// What the command finds, as in the JSON file.
#[derive(Debug, Serialize)]
struct Report {
    pairs: usize,
    findings: Vec<Finding>,
    /// The palette of the input as TOML, if it is a label map.
    #[serde(skip_serializing_if = "Option::is_none")]
    palette: Option<String>,
    command: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let splits = scanned(&options.data, options.layout.map(Into::into), &options.limits.limits()?)?;
    let palettes = [0, 1].map(|side| {
        let mut colours = Colours::default();
        splits.iter().for_each(|split| colours.merge(&split.colours[side]));
        colours.palette()
    });
    let load = (options.size * 286).div_ceil(256);
    let findings = findings::find(&splits, &palettes, load);
    let guess = advice::direction(&splits, &palettes);
    let direction = options.direction.map(Direction::from).or(guess).unwrap_or(Direction::AToB);
    let command = advice::command(&options.data, direction, options.size, &splits, &findings, &palettes);
    let side = usize::from(direction == Direction::BToA);
    let palette = palettes[side].as_ref().filter(|palette| !palette.is_drawing()).map(Palette::toml);
    let pairs = splits.iter().map(|split| split.pairs.len()).sum();
    let report = Report { pairs, findings, palette, command };
    let counts: Vec<String> =
        splits.iter().map(|split| format!("{} in {}", split.pairs.len(), split.name)).collect();
    say!("{}: {pairs} pairs ({})", options.data.display(), counts.join(", "));
    print(options, &report);
    if let (Some(given), Some(guess)) = (options.direction.map(Direction::from), guess)
        && given != guess
    {
        note!("warning: --direction {given}: the images look like {guess}");
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report).with_context(|| path.display().to_string())?;
        files::replace(path, text.as_bytes())?;
    }
    if let Some(path) = &options.html {
        let page =
            page::render(&options.data, &report, &splits).with_context(|| path.display().to_string())?;
        files::replace(path, page.as_bytes())?;
    }
    if options.strict && !report.findings.is_empty() {
        bail!("{}: {} kinds of findings; see above", options.data.display(), report.findings.len());
    }
    Ok(())
}

/// Reads the pairs of all splits. A folder without splits is `train`.
fn scanned(data: &Path, layout: Option<Layout>, limits: &ImageLimits) -> Result<Vec<Scanned>> {
    let data = DataFolder::open(data)?.with_limits(limits.clone());
    let config = DataConfig::new().with_layout(layout);
    // All are opened before any is read, so that a mistake shows at once.
    let folders: Vec<_> = match data.splits().as_slice() {
        [] => vec![("train", data.whole(&config)?)],
        names => {
            let open = |name: &&'static str| Ok((*name, data.split(name, &config)?));
            names.iter().map(open).collect::<Result<_>>()?
        }
    };
    let mut splits: Vec<Scanned> =
        folders.into_iter().map(|(name, folder)| scan::scan(name, folder)).collect();
    if let Some(first) = splits.first_mut() {
        first.left_out.extend(data.outside()?);
    }
    Ok(splits)
}

/// Prints the table of findings, the palette and the command.
fn print(options: &Options, report: &Report) {
    if report.findings.is_empty() {
        say!("nothing found");
    }
    let width = report.findings.iter().map(|finding| finding.kind.len()).max().unwrap_or(0);
    for finding in &report.findings {
        say!("{:width$}  {:6}  {}", finding.kind, finding.files.len(), finding.advice);
        for file in finding.files.iter().take(SHOWN) {
            let file = file.strip_prefix(&options.data).unwrap_or(file);
            say!("{:width$}          {}", "", file.display());
        }
        if finding.files.len() > SHOWN {
            let rest = finding.files.len() - SHOWN;
            let place = if options.json.is_some() { "" } else { "; --json FILE lists all" };
            say!("{:width$}          and {rest} more{place}", "");
        }
    }
    if let Some(palette) = &report.palette {
        say!("\npalette.toml:\n\n{palette}");
    }
    say!("\n{}", report.command);
}
