//! Writing to stdout and stderr without failing where they are closed or full.

use std::io::{self, Write};
use std::sync::OnceLock;

/// Why the first write to stdout failed.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to stdout. Unlike `println!` it does not panic where stdout is closed or full.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::write_stdout(format_args!($($text)*)) };
}

/// Writes a line to stderr. Unlike `eprintln!` it does not panic where stderr is closed or full.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::write_stderr(format_args!($($text)*)) };
}

pub(crate) use {note, say};

pub(crate) fn write_stdout(line: std::fmt::Arguments) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        let _ = FAILED.set(error);
    }
}

pub(crate) fn write_stderr(line: std::fmt::Arguments) {
    let _ = writeln!(io::stderr(), "{line}"); // nothing is left to report it to
}

/// The error of the first line that stdout did not take. A reader that has closed the pipe has read enough, which is
/// not an error.
pub(crate) fn failure() -> Option<&'static io::Error> {
    FAILED.get().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}

/// An error with its causes on one line. A cause that the message before it already quotes is not repeated.
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
    fn an_error_is_one_line_that_says_everything_once() {
        let error =
            anyhow::anyhow!("line 3\n  |\nno such field").context("a.toml: line 3\n  |\nno such field");
        assert_eq!(one_line(&error), "a.toml: line 3 | no such field");
        assert_eq!(one_line(&anyhow::anyhow!("disk full").context("run/a")), "run/a: disk full");
    }
}
