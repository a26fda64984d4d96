//! Checks the documents: every command that they show is valid, and every example that they name exists.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use crate::Program;

/// A command in a document, and its location.
struct Shown {
    location: String,
    words: Vec<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns all files below `folder` with this extension.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let paths = entries.map(walkdir::DirEntry::into_path);
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Returns every command in the documents and in module comments that begins with `start`.
fn shown(start: &str) -> Vec<Shown> {
    let root = repository();
    let mut paths = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    paths.extend(files(&root.join("docs"), "md"));
    for folder in ["cli/src", "examples", "src"] {
        paths.extend(files(&root.join(folder), "rs"));
    }
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        let lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches("//!").trim()).collect();
        // A backslash continues a command on the next line of a block.
        let blocks = lines.join("\n").replace("\\\n", " ");
        let blocks = blocks.lines().filter(|line| line.starts_with(start)).map(str::to_owned);
        // Code within a sentence may be broken anywhere.
        let prose =
            if path.extension().is_some_and(|kind| kind == "md") { lines.join(" ") } else { String::new() };
        let prose = prose.replace("```", "");
        let inline: Vec<String> = prose
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.starts_with(start))
            .map(str::to_owned)
            .collect();
        for command in blocks.chain(inline) {
            let words = command.split_whitespace().map(str::to_owned).collect();
            found.push(Shown { location: format!("{}: {command}", path.display()), words });
        }
    }
    found
}

#[test]
fn every_command_of_the_program_in_the_documents_is_valid() {
    let commands = shown("pix2pix ");
    assert!(commands.len() > 20, "only {} commands found", commands.len());
    for Shown { location, words } in commands {
        // A sentence may name a command without its flags.
        if words.len() == 2 && Program::command().find_subcommand(&words[1]).is_some() {
            continue;
        }
        if let Err(error) = Program::try_parse_from(&words) {
            panic!("{location}\n{error}");
        }
    }
}

#[test]
fn every_example_in_the_documents_exists() {
    let commands = shown("cargo run ");
    assert!(commands.len() > 5, "only {} commands found", commands.len());
    for Shown { location, words } in commands {
        let example = words.iter().position(|word| word == "--example").map(|at| &words[at + 1]);
        let name =
            example.unwrap_or_else(|| panic!("{location}: neither an example nor the installed program"));
        assert!(repository().join("examples").join(format!("{name}.rs")).is_file(), "{location}");
        assert!(!words.contains(&"--".to_owned()), "{location}: examples take no flags");
    }
}
