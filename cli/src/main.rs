//! The program `pix2pix`: one module for each command.
//!
//! Exit status 0; 2 for wrong arguments; 1 for a failed run, with one line `error: …` on stderr that names the file or
//! flag, the value and the remedy.

#![warn(clippy::unwrap_used)]
// A closed pipe or a full disk behind stdout makes `println!` panic; `say!` and `note!` ignore it.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod backends;
mod check;
mod colorize;
mod common;
#[cfg(test)]
mod docs;
mod evaluate;
mod export;
mod files;
mod import;
mod imported;
mod likeness;
mod limits;
mod output;
mod outputs;
mod pairs;
mod sample;
mod stop;
mod study;
mod time;
mod train;
mod translate;

use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// The features of this program, and whether each is compiled in.
const FEATURES: [(&str, bool); 11] = [
    ("flex", cfg!(feature = "flex")),
    ("ndarray", cfg!(feature = "ndarray")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
    ("webgpu", cfg!(feature = "webgpu")),
    ("cuda", cfg!(feature = "cuda")),
    ("codecs", cfg!(feature = "codecs")),
    ("eval", cfg!(feature = "eval")),
    ("pth", cfg!(feature = "pth")),
    ("report", cfg!(feature = "report")),
];

/// The version and the compiled features, for example `0.1.0 (flex, pth)`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let compiled: Vec<&str> = FEATURES.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    format!("{} ({})", env!("CARGO_PKG_VERSION"), compiled.join(", "))
});

/// Trains networks on pairs of images (pix2pix), translates images with them and evaluates the results
#[derive(Debug, Parser)]
#[command(name = "pix2pix", version = VERSION.as_str())]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Options>),
    Translate(translate::Options),
    Sample(sample::Options),
    Evaluate(evaluate::Options),
    Import(import::Options),
    Export(export::Options),
    Pairs(pairs::Options),
    Check(check::Options),
    Colorize(colorize::Options),
    Study(study::Options),
    Backends(backends::Options),
    #[command(hide = true)]
    Time(time::Options),
}

impl Command {
    fn run(&self) -> anyhow::Result<()> {
        // Otherwise the first use would start the threads, and panic where the system allows no more.
        rayon::ThreadPoolBuilder::new().build_global().context(common::NO_THREADS)?;
        match self {
            Self::Train(options) => return train::run(options),
            Self::Study(options) => return study::run(options),
            Self::Colorize(options) => return colorize::run(options),
            Self::Translate(options) => translate::run(options),
            Self::Sample(options) => sample::run(options),
            Self::Evaluate(options) => evaluate::run(options),
            Self::Import(options) => import::run(options),
            Self::Export(options) => export::run(options),
            Self::Pairs(options) => pairs::run(options),
            Self::Check(options) => check::run(options),
            Self::Backends(options) => backends::run(options),
            Self::Time(options) => time::run(options),
        }?;
        // Training commands write their results to files. Other commands print results, which a full stdout loses.
        match output::failure() {
            Some(error) => Err(error).context("stdout"),
            None => Ok(()),
        }
    }
}

fn main() -> ExitCode {
    match Program::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note!("error: {}", output::one_line(&error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Program::command().debug_assert();
    }

    /// Returns the names in the `[features]` of a manifest.
    fn features(manifest: &str) -> Vec<String> {
        let manifest: toml::Table = toml::from_str(manifest).unwrap();
        manifest["features"]
            .as_table()
            .unwrap()
            .keys()
            .filter(|name| *name != "default" && !name.starts_with('_'))
            .cloned()
            .collect()
    }

    #[test]
    fn every_feature_of_the_library_is_forwarded_and_shown() {
        let library = features(include_str!("../../Cargo.toml"));
        assert_eq!(features(include_str!("../Cargo.toml")), library);
        let mut shown = FEATURES.map(|(name, _)| name.to_owned());
        shown.sort();
        assert_eq!(shown[..], library[..]);
    }

    #[test]
    fn every_flag_has_help_under_a_heading() {
        for command in Program::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                let name = format!("{} --{}", command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{name} has no help");
                assert!(argument.get_help_heading().is_some(), "{name} has no heading");
            }
        }
    }
}
