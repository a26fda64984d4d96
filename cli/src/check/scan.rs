//! Reads every pair once on all cores and keeps its signature.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use pix2pix::Error;
use pix2pix::data::{LeftOut, PairedFolder, Reason};

use super::labels::Colours;
use super::signature::Signature;

/// A split after all its pairs were read.
pub(crate) struct Scanned {
    /// `train`, `val` or `test`.
    pub(crate) name: &'static str,
    pub(crate) folder: PairedFolder,
    /// The index of the pair in the folder, and its signature.
    pub(crate) pairs: Vec<(usize, Signature)>,
    /// The files that are not used, those included that could not be read.
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) colours: [Colours; 2],
}

impl Scanned {
    pub(crate) fn signatures(&self) -> Vec<&Signature> {
        self.pairs.iter().map(|(_, signature)| signature).collect()
    }

    /// Returns the file of the pair with signature `at`.
    pub(crate) fn path(&self, at: usize) -> &Path {
        self.folder.path(self.pairs[at].0)
    }
}

/// Reads the pairs of a split. Pairs that cannot be read join those that are left out.
pub(crate) fn scan(name: &'static str, folder: PairedFolder) -> Scanned {
    let bar = ProgressBar::new(folder.len() as u64);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name);
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::new(), Vec::<LeftOut>::new(), <[Colours; 2]>::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(folder.len());
    std::thread::scope(|scope| {
        let work = || {
            let mut own = <[Colours; 2]>::default();
            let (mut pairs, mut left_out) = (Vec::new(), Vec::new());
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= folder.len() {
                    break;
                }
                match folder.originals(index) {
                    Ok([a, b]) => pairs.push((index, Signature::of([&a, &b], &mut own))),
                    Err(error) => left_out.push(unusable(folder.path(index), &error)),
                }
                bar.inc(1);
            }
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            done.0.extend(pairs);
            done.1.extend(left_out);
            done.2.iter_mut().zip(&own).for_each(|(all, own)| all.merge(own));
        };
        // This thread reads what those that the system does not allow would read.
        for _ in 1..workers {
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    bar.finish_and_clear();
    let (mut pairs, mut unusable, colours) =
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    pairs.sort_by_key(|(index, _)| *index);
    unusable.sort_by(|a, b| a.path.cmp(&b.path));
    let left_out = folder.left_out().iter().cloned().chain(unusable).collect();
    Scanned { name, folder, pairs, left_out, colours }
}

/// Returns the file that an error names, with the problem; that of A if it names none.
fn unusable(a: &Path, error: &Error) -> LeftOut {
    let path = match error {
        Error::Image { path: Some(path), .. } | Error::Io { path, .. } => path.as_path(),
        _ => a,
    };
    let text = error.to_string();
    let problem = text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned();
    LeftOut::new(path, Reason::Unreadable(problem))
}
