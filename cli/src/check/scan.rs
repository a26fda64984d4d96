//! Reads every pair once on all cores and keeps its signature.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use pix2pix::data::LeftOut;

use super::labels::Colours;
use super::signature::Signature;
use super::sources::Split;

/// A split after all its pairs were read.
pub(crate) struct Scanned {
    pub(crate) split: Split,
    /// The index of the pair in the split, and its signature.
    pub(crate) pairs: Vec<(usize, Signature)>,
    pub(crate) colours: [Colours; 2],
}

impl Scanned {
    pub(crate) fn signatures(&self) -> Vec<&Signature> {
        self.pairs.iter().map(|(_, signature)| signature).collect()
    }
}

/// Reads the pairs of a split. Pairs that cannot be read join those that are left out.
pub(crate) fn scan(mut split: Split) -> Scanned {
    let bar = ProgressBar::new(split.pairs.len() as u64);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(split.name);
    let next = AtomicUsize::new(0);
    let done = Mutex::new((Vec::new(), Vec::<LeftOut>::new(), <[Colours; 2]>::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(split.pairs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut own = <[Colours; 2]>::default();
                let (mut pairs, mut left_out) = (Vec::new(), Vec::new());
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(files) = split.pairs.get(index) else { break };
                    match files.read() {
                        Ok([a, b]) => pairs.push((index, Signature::of([&a, &b], &mut own))),
                        Err(file) => left_out.push(file),
                    }
                    bar.inc(1);
                }
                let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                done.0.extend(pairs);
                done.1.extend(left_out);
                done.2.iter_mut().zip(&own).for_each(|(all, own)| all.merge(own));
            });
        }
    });
    bar.finish_and_clear();
    let (mut pairs, mut left_out, colours) =
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    pairs.sort_by_key(|(index, _)| *index);
    left_out.sort_by(|a, b| a.path.cmp(&b.path));
    split.left_out.extend(left_out);
    Scanned { split, pairs, colours }
}
