//! Reads the weights of LPIPS from one or several files, and checks their names and shapes.

use std::path::Path;

use super::backbone::LpipsNetwork;
use crate::error::{Error, Result, ShapeMismatch};
use crate::pytorch;
use crate::weights::Named;

/// A parameter that only SqueezeNet has.
const OF_SQUEEZE: &str = "features.3.squeeze.weight";

/// The beginning of the names of the heads.
const HEAD: &str = "lin";

/// Returns the name of the weights of a map of features.
pub(super) fn head(index: usize) -> String {
    format!("{HEAD}{index}.model.1.weight")
}

/// Reads all files, and returns the network and its parameters by torchvision's names and [`head`]. All parameters are
/// there and have the right shapes.
///
/// # Errors
/// [`Error::Argument`] without a file, and as [`Lpips::load`](super::Lpips::load).
pub(super) fn read(files: &[impl AsRef<Path>]) -> Result<(LpipsNetwork, Named)> {
    let mut all = Named::new();
    let mut of_heads = None;
    for file in files.iter().map(AsRef::as_ref) {
        for (name, parameter) in pytorch::read_some(file, known)? {
            if name.starts_with(HEAD) {
                of_heads = Some(file);
            }
            if all.contains_key(&name) {
                return Err(Error::corrupt(
                    file,
                    format!("`{name}` is in another file, too; name one of them"),
                ));
            }
            all.insert(name, parameter);
        }
    }
    let Some(first) = files.first().map(AsRef::as_ref) else {
        return Err(Error::argument(
            "files",
            "there is none; name the files of the network and of the heads",
        ));
    };
    let network = if all.contains_key(OF_SQUEEZE) { LpipsNetwork::Squeeze } else { LpipsNetwork::Alex };
    check(first, network.parameters(), &all)?;
    let heads = network.channels().into_iter().enumerate();
    let heads = heads.map(|(index, channels)| (head(index), vec![1, channels, 1, 1])).collect();
    check(of_heads.unwrap_or(first), heads, &all)?;
    Ok((network, all))
}

/// Returns torchvision's name of a parameter of the network, or the name of a head; `None` for other tensors.
fn known(name: &str) -> Option<String> {
    let name = pytorch::unwrapped(name);
    // The package's module holds every head twice, as `lin0` and as `lins.0`.
    if name.strip_prefix(HEAD).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit())) {
        return Some(name.to_owned());
    }
    match name.strip_prefix("net.slice") {
        Some(rest) => Some(format!("features.{}", rest.split_once('.')?.1)),
        None => name.starts_with("features.").then(|| name.to_owned()),
    }
}

/// Checks that the parameters are there and have these shapes.
fn check(file: &Path, parameters: Vec<(String, Vec<usize>)>, all: &Named) -> Result<()> {
    let (mut missing, mut mismatched) = (vec![], vec![]);
    for (name, network) in parameters {
        match all.get(&name) {
            None => missing.push(name),
            Some((file, _)) if *file != network => {
                mismatched.push(ShapeMismatch { name, network, file: file.clone() });
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() && mismatched.is_empty() {
        return Ok(());
    }
    Err(Error::Weights { path: file.to_owned(), missing, unexpected: vec![], mismatched })
}
