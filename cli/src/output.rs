//! Writes to stdout and stderr, which may be closed or full.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::OnceLock;

/// The error of the first failed write to stdout.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to stdout. Unlike `println!`, it does not panic if stdout is closed or full.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::write_stdout(format_args!($($text)*)) };
}

/// Writes a line to stderr. Unlike `eprintln!`, it does not panic if stderr is closed or full.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::write_stderr(format_args!($($text)*)) };
}

pub(crate) use {note, say};

pub(crate) fn write_stdout(line: std::fmt::Arguments) {
    if let Err(error) = writeln!(io::stdout(), "{}", printable(&line.to_string())) {
        let _ = FAILED.set(error);
    }
}

pub(crate) fn write_stderr(line: std::fmt::Arguments) {
    // There is no other place to report a failure.
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// Escapes control characters: names of files and tensors may hold some that command a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    let is_command = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_command(c) { c.escape_debug().collect::<String>() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Returns the error of the first failed write to stdout. A closed pipe does not count: its reader has read enough.
pub(crate) fn failure() -> Option<&'static io::Error> {
    FAILED.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}

/// Returns an error and its causes on one line. Omits causes that the message already contains.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}]0;title\u{7}.png\tb\nc"), "a\\u{1b}]0;title\\u{7}.png\tb\nc");
        assert_eq!(printable("façade\u{9b}31m"), "façade\\u{9b}31m");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_error_is_one_line_without_repetitions() {
        let error =
            anyhow::anyhow!("line 3\n  |\nno such field").context("a.toml: line 3\n  |\nno such field");
        assert_eq!(one_line(&error), "a.toml: line 3 | no such field");
        assert_eq!(one_line(&anyhow::anyhow!("disk full").context("run/a")), "run/a: disk full");
    }
}
