//! Checks and names of output files: an output never replaces an input, and no name is too long.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::files;

/// The longest name of a file in bytes, on the usual file systems.
const MAX_NAME: usize = 255;

/// Returns the path with its name cut to 255 bytes. A cut name ends with a checksum of the whole, so that names stay
/// different.
pub(crate) fn shortened(path: PathBuf) -> PathBuf {
    let Some(name) = path.file_name().filter(|name| name.as_encoded_bytes().len() > MAX_NAME) else {
        return path;
    };
    let extension = path.extension().map(|extension| {
        let mut dotted = OsString::from(".");
        dotted.push(extension);
        dotted.to_string_lossy().into_owned()
    });
    // An extension that fills the name is not one.
    let extension = extension.filter(|extension| extension.len() < MAX_NAME / 2).unwrap_or_default();
    let suffix = format!("-{:016x}{extension}", checksum(name.as_encoded_bytes()));
    let stem = name.to_string_lossy();
    let end = (0..=MAX_NAME - suffix.len()).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or(0);
    path.with_file_name(format!("{}{suffix}", &stem[..end]))
}

/// Returns the 64-bit FNV-1a checksum.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Refuses outputs that would replace an input, or that would lie among the inputs in their folder `from`.
///
/// Paths are compared after links are followed. Outputs in their own folder `to` may be inside `from`: it is not
/// listed then.
pub(crate) fn protect_inputs<'a>(
    outputs: impl IntoIterator<Item = PathBuf>,
    inputs: impl IntoIterator<Item = &'a Path>,
    from: &Path,
    to: &Path,
) -> Result<()> {
    let mut folders = RealFolders::default();
    let inputs: HashMap<PathBuf, &Path> = inputs
        .into_iter()
        .filter_map(|path| Some(canonical(path).transpose()?.map(|real| (real, path))))
        .collect::<Result<_>>()?;
    let from_real = if files::is_folder(from)? { canonical(from)? } else { None };
    let to_real = folders.real(to);
    // A folder of outputs inside that of the inputs is not listed, so outputs in it never become inputs.
    let own = to_real.filter(|to| from_real.as_ref().is_some_and(|from| to != from && to.starts_with(from)));
    for output in outputs {
        refuse_links(&output, to)?;
        let Some(real) = folders.real(&output) else { continue };
        if let Some(input) = inputs.get(&real) {
            bail!(
                "{}: this output would replace the input {}; name another place for it",
                output.display(),
                input.display()
            );
        }
        let is_among_inputs = from_real.as_ref().is_some_and(|from| real.starts_with(from));
        if is_among_inputs && !own.as_ref().is_some_and(|own| real.starts_with(own)) {
            bail!(
                "{}: this output would lie among the inputs in {}; name a folder elsewhere",
                output.display(),
                from.display()
            );
        }
    }
    Ok(())
}

/// Refuses an output that lies behind a link inside the folder of outputs `to`: the link may lead anywhere.
pub(crate) fn refuse_links(output: &Path, to: &Path) -> Result<()> {
    let Ok(below) = output.strip_prefix(to) else { return Ok(()) };
    let mut folder = to.to_owned();
    for part in below.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        match std::fs::symlink_metadata(&folder) {
            Ok(found) if found.is_symlink() => bail!(
                "{}: this is a link in the folder of outputs, through which nothing is written; replace it by a folder",
                folder.display()
            ),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => return Err(error).with_context(|| folder.display().to_string()),
        }
    }
    Ok(())
}

/// Returns the path with all links followed; `None` if nothing is there.
fn canonical(path: &Path) -> Result<Option<PathBuf>> {
    match path.canonicalize() {
        Ok(real) => Ok(Some(real)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

/// Real paths of files that may not exist yet, by the real paths of their folders.
#[derive(Default)]
struct RealFolders(HashMap<PathBuf, Option<PathBuf>>);

impl RealFolders {
    /// Returns the path with all links followed: in the part that exists, and the rest unchanged.
    fn real(&mut self, path: &Path) -> Option<PathBuf> {
        if let Ok(real) = path.canonicalize() {
            return Some(real);
        }
        let Some(name) = path.file_name() else {
            // It ends with `..`, after a folder that does not exist yet.
            return self.real(path.parent()?)?.parent().map(Path::to_owned);
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if let Some(known) = self.0.get(parent) {
            return known.as_ref().map(|parent| parent.join(name));
        }
        let real = self.real(parent);
        self.0.insert(parent.to_owned(), real.clone());
        real.map(|parent| parent.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let short = PathBuf::from("a/b.png");
        assert_eq!(shortened(short.clone()), short);
        for stem in ["n".repeat(260), "é".repeat(150)] {
            let [one, two] = ["1", "2"].map(|end| shortened(format!("a/{stem}{end}.png").into()));
            assert_ne!(one, two);
            for path in [one, two] {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!((254..=255).contains(&name.len()) && name.ends_with(".png"), "{name}");
                assert_eq!(path.parent(), Some(Path::new("a")));
            }
        }
        let name = shortened(format!("a.{}", "x".repeat(300)).into());
        assert_eq!(name.file_name().unwrap().len(), 255);
    }

    #[test]
    fn outputs_among_the_inputs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::create_dir_all(here.join("top/in/in")).unwrap();
        std::fs::create_dir_all(here.join("top/in/out")).unwrap();
        let input = here.join("top/in/a.png");
        std::fs::write(&input, b"").unwrap();
        let check = |output: &str, to: &str| {
            let inputs = [input.as_path()];
            protect_inputs([here.join(output)], inputs, &here.join("top/in"), &here.join(to))
                .map_err(|error| error.to_string())
        };
        assert!(check("top/in/a.png", "top").unwrap_err().contains("would replace the input"));
        assert!(check("top/in/x/../a.png", "top").is_err());
        assert!(check("top/in/new.png", "top").unwrap_err().contains("would lie among the inputs"));
        check("top/in/out/a.png", "top/in/out").unwrap();
        check("top/in/new/deep/a.png", "top/in/new").unwrap();
        check("elsewhere/a.png", "elsewhere").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(here.join("top/in"), here.join("link")).unwrap();
            assert!(check("link/a.png", "link").unwrap_err().contains("would replace the input"));
            std::fs::create_dir_all(here.join("out")).unwrap();
            std::os::unix::fs::symlink(here.join("elsewhere"), here.join("out/sub")).unwrap();
            assert!(check("out/sub/deep/a.png", "out").unwrap_err().contains("out/sub: this is a link"));
            check("out/other/a.png", "out").unwrap();
        }
    }
}
