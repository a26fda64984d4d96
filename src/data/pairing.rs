//! Finds the pairs in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::config::DataConfig;
use super::layout::Layout;
use super::listing::{LeftOut, Listing, Reason, normalized};
use super::pair_files::{PairFiles, Place};
use super::seam::{NotPairs, evidence_against, not_pairs};
use super::splits::{Source, folders, shown};
use crate::error::{Error, Result};
use crate::raster::{ImageLimits, Page, Pages, page_count, stored_size};

/// Shapes of images are equal if the logarithms of width to height differ by less.
const SAME_SHAPE: f64 = 0.03;
/// An image whose shape differs by more from that of the others is looked at.
const OTHER_SHAPE: f64 = 0.2;

/// The largest number of folders that a message names.
const MAX_SHOWN: usize = 8;

/// Lists the pairs of a source, and the files in it that are not used. If both folders of A and B are directly in
/// `folder`, these include all other files in it.
///
/// # Errors
/// - [`Error::Io`] if a folder cannot be read
/// - [`Error::Pairs`] if there are none, if most images of two folders have no partner, or if most files with both
///   images are not side-by-side pairs, unless the layout is given
pub(super) fn pairs(
    folder: &Path,
    source: &Source,
    config: &DataConfig,
    limits: &ImageLimits,
) -> Result<(Vec<PairFiles>, Vec<LeftOut>)> {
    let (pairs, left_out) = match source {
        Source::Sides { a, b } => separate(folder, a, b)?,
        Source::Files(folder) => joined(folder, config.layout, limits)?,
    };
    if pairs.is_empty() {
        let problem = no_pairs(folder, &left_out)?;
        return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched: vec![] });
    }
    Ok((with_pages(pairs, config.pages)?, left_out))
}

/// Sets the pages of the pairs: of files with many, each page is a pair of its own, or its channels are those of one.
fn with_pages(pairs: Vec<PairFiles>, pages: Pages) -> Result<Vec<PairFiles>> {
    let of_file = |pair: PairFiles| {
        Ok(match pages {
            Pages::First => vec![pair],
            Pages::Channels => vec![PairFiles { page: Page::All, ..pair }],
            Pages::All => {
                let [count, other] = [page_count(pair.path(0))?, page_count(pair.path(1))?];
                if count != other {
                    let problem = format!(
                        "it has {other} pages, but its partner {} has {count}; both must have the same number",
                        pair.path(0).display()
                    );
                    return Err(Error::image(pair.path(1), problem));
                }
                (0..count).map(|page| PairFiles { page: Page::Number(page), ..pair.clone() }).collect()
            }
        })
    };
    let pairs: Vec<Vec<PairFiles>> = pairs.into_par_iter().map(of_file).collect::<Result<_>>()?;
    Ok(pairs.into_iter().flatten().collect())
}

/// Lists files that hold both images. Single files that are not pairs are left out.
fn joined(
    folder: &Path,
    layout: Option<Layout>,
    limits: &ImageLimits,
) -> Result<(Vec<PairFiles>, Vec<LeftOut>)> {
    let Listing { images, mut left_out, .. } = Listing::open(folder)?;
    if layout.is_none() {
        let paths: Vec<&Path> = images.iter().map(PathBuf::as_path).collect();
        if let Some(judgement) = not_pairs(&paths, limits) {
            return Err(refused(folder, &paths, &judgement));
        }
    }
    let sizes: Vec<_> = images.par_iter().map(|path| stored_size(path)).collect();
    let usual = usual_shape(sizes.iter().flatten());
    let problem = |path: &Path, size: &Option<[u32; 2]>| {
        let size = (*size).filter(|_| layout != Some(Layout::Single))?;
        let (name, length) = match layout {
            Some(Layout::Stacked) => ("height", size[1]),
            _ => ("width", size[0]),
        };
        if !length.is_multiple_of(2) {
            return Some(format!("{name} {length} is odd; a pair has two halves of equal {name}"));
        }
        let is_unusual = usual.is_some_and(|usual| (shape(&size) - usual).abs() > OTHER_SHAPE);
        let is_single = layout.is_none() && is_unusual && evidence_against(path, limits).is_some();
        is_single.then(|| "its shape is not that of the others, and it has no seam in the middle".to_owned())
    };
    let problems: Vec<_> = images.par_iter().zip(&sizes).map(|(path, size)| problem(path, size)).collect();
    // If most have a problem, the layout is another one; reading the pairs reports it.
    let is_single = 2 * problems.iter().flatten().count() < images.len();
    let mut pairs = Vec::with_capacity(images.len());
    for (path, problem) in images.into_iter().zip(problems) {
        match problem.filter(|_| is_single) {
            Some(problem) => left_out.push(LeftOut::new(path, Reason::NotAPair(problem))),
            None => pairs.push(match layout {
                Some(Layout::Stacked) => Place::Stacked(path).into(),
                Some(Layout::Single) => Place::Single(path).into(),
                Some(Layout::SideBySide) | None => Place::SideBySide(path).into(),
            }),
        }
    }
    Ok((pairs, left_out))
}

/// Returns the error of a folder whose images are not side-by-side pairs.
fn refused(folder: &Path, paths: &[&Path], judgement: &NotPairs) -> Error {
    let inside = |index: &usize| {
        let path = paths[*index];
        path.strip_prefix(folder).unwrap_or(path).display().to_string()
    };
    let advice = match judgement.better {
        Some(_) => "A seems to be above B: use the layout `stacked` (--layout stacked)",
        None => {
            "put both images of a pair side by side in one file, or in folders `A` and `B` under equal names"
        }
    };
    let problem = format!(
        "most images here are not side-by-side pairs: they have no seam in the middle, or are higher than wide. {advice}; \
         if they are pairs, use the layout `side-by-side` (--layout side-by-side)"
    );
    let unmatched = judgement.files.iter().map(inside).collect();
    Error::Pairs { path: folder.to_owned(), problem, unmatched }
}

/// Returns the logarithm of width to height.
fn shape([width, height]: &[u32; 2]) -> f64 {
    (f64::from(*width) / f64::from((*height).max(1))).ln()
}

/// Returns the shape that at least nine of ten images have.
fn usual_shape<'a>(sizes: impl Iterator<Item = &'a [u32; 2]>) -> Option<f64> {
    let mut shapes: Vec<f64> = sizes.map(shape).collect();
    shapes.sort_by(f64::total_cmp);
    let usual = *shapes.get(shapes.len() / 2)?;
    let same = shapes.iter().filter(|shape| (**shape - usual).abs() < SAME_SHAPE).count();
    (10 * same >= 9 * shapes.len()).then_some(usual)
}

/// Lists the images of two folders by their paths in them without extension, and pairs those of equal paths. Images
/// without a partner are left out, unless most are.
fn separate(folder: &Path, a: &Path, b: &Path) -> Result<(Vec<PairFiles>, Vec<LeftOut>)> {
    let (mut of_a, mut of_b, mut left_out) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for (side, found) in [(a, &mut of_a), (b, &mut of_b)] {
        let listing = Listing::open(side)?;
        left_out.extend(listing.left_out);
        for path in listing.images {
            let name = normalized(&path.strip_prefix(side).unwrap_or(&path).with_extension(""));
            found.entry(name).or_insert_with(Vec::new).push(path);
        }
    }
    let mut pairs = Vec::new();
    let names: Vec<String> = of_a.keys().cloned().collect();
    for name in names {
        if let ([a], Some([b])) = (of_a[&name].as_slice(), of_b.get(&name).map(Vec::as_slice)) {
            pairs.push(Place::Separate { a: a.clone(), b: b.clone() }.into());
            of_a.remove(&name);
            of_b.remove(&name);
        }
    }
    let rest: Vec<PathBuf> = of_a.into_values().chain(of_b.into_values()).flatten().collect();
    if rest.len() > pairs.len() {
        let unmatched =
            rest.iter().map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string());
        let unmatched = unmatched.collect();
        let others = LeftOut::summary(&left_out).map_or_else(String::new, |summary| format!(" ({summary})"));
        let problem = format!(
            "every image in A needs one of the same name in B, but {} have no partner and {} pairs have one{others}; add \
             the partners or remove the files",
            rest.len(),
            pairs.len()
        );
        return Err(Error::Pairs { path: folder.to_owned(), problem, unmatched });
    }
    left_out.extend(rest.into_iter().map(|path| LeftOut::new(path, Reason::NoPartner)));
    if [a, b].iter().all(|side| side.parent() == Some(folder)) {
        let outside = Listing::open_except(folder, &[a, b])?;
        left_out.extend(outside.images.into_iter().map(|path| LeftOut::new(path, Reason::OutsidePairs)));
        left_out.extend(outside.left_out);
    }
    Ok((pairs, left_out))
}

/// Describes the problem of a folder without pairs, and the remedy.
fn no_pairs(folder: &Path, left_out: &[LeftOut]) -> Result<String> {
    let found = LeftOut::summary(left_out).map_or_else(String::new, |summary| format!(" ({summary})"));
    let folders = folders(folder)?;
    let seen = match folders.iter().map(|(_, path)| shown(path)).take(MAX_SHOWN).collect::<Vec<_>>() {
        names if names.is_empty() => String::new(),
        names => format!("; its folders are {}", names.join(", ")),
    };
    Ok(format!(
        "no pairs here{found}{seen}; put side-by-side images (png, jpg, webp, bmp, gif, tif) in it, or folders A and B with \
         images of equal names"
    ))
}
