//! What `check` finds in a data set, and the advice for each kind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pix2pix::data::LeftOut;
use serde::Serialize;

use super::labels::Palette;
use super::scan::Scanned;
use super::signature::{Half, Signature};
use super::{duplicates, shift, swapped};

/// One kind of problem or property, with the files that have it.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// A stable name, as docs/data.md lists them.
    pub(crate) kind: &'static str,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) advice: String,
}

/// Returns all findings of the splits. `load` is the size to which the training resizes.
pub(crate) fn find(splits: &[Scanned], palettes: &[Option<Palette>; 2], load: u32) -> Vec<Finding> {
    let mut found = left_out(splits);
    let all: Vec<(PathBuf, &Signature)> = splits.iter().flat_map(pairs).collect();
    unusual(&all, &mut found);
    files_that(&all, &mut found);
    for split in splits {
        alike(split, &mut found);
    }
    repeated(splits, &mut found);
    colours(splits, palettes, &all, &mut found);
    scale(&all, load, &mut found);
    found
}

pub(crate) fn pairs(split: &Scanned) -> impl Iterator<Item = (PathBuf, &Signature)> {
    split.pairs.iter().map(|(index, signature)| (split.folder.path(*index).to_owned(), signature))
}

fn push(found: &mut Vec<Finding>, kind: &'static str, files: Vec<PathBuf>, advice: impl Into<String>) {
    if !files.is_empty() {
        found.push(Finding { kind, files, advice: advice.into() });
    }
}

/// Returns a finding for each reason for which files are left out.
fn left_out(splits: &[Scanned]) -> Vec<Finding> {
    let mut reasons: BTreeMap<String, Vec<&LeftOut>> = BTreeMap::new();
    for file in splits.iter().flat_map(|split| &split.left_out) {
        reasons.entry(file.reason.label(2)).or_default().push(file);
    }
    let finding = |(label, files): (String, Vec<&LeftOut>)| {
        let example = files.first().map_or_else(String::new, |file| file.reason.to_string());
        let because = if example == label { String::new() } else { format!(" (the first: {example})") };
        let remedy = if files.iter().any(|file| file.is_fault()) {
            "repair, convert or remove them"
        } else {
            "nothing to do unless they belong to the data"
        };
        let files = files.into_iter().map(|file| file.path.clone()).collect();
        Finding { kind: "left-out", files, advice: format!("left out, {label}{because}: {remedy}") }
    };
    reasons.into_iter().map(finding).collect()
}

/// Finds pairs that differ from most in size, aspect, channels or bits.
fn unusual(all: &[(PathBuf, &Signature)], found: &mut Vec<Finding>) {
    let sizes = |pair: &Signature| pair.halves[0].size;
    let aspect = |pair: &Signature| {
        let [width, height] = pair.halves[0].size;
        (f64::from(width) / f64::from(height.max(1)) * 20.0).round() as i64
    };
    let both = |value: fn(&Half) -> u8| move |pair: &Signature| [0, 1].map(|side| value(&pair.halves[side]));
    let (usual, files) = minority(all, sizes);
    let advice = format!(
        "most halves have {}×{} pixels, these have not; training resizes all to one size. --preprocess crop keeps their scale",
        usual[0], usual[1]
    );
    push(found, "size", files, advice);
    let (_, files) = minority(all, aspect);
    push(
        found,
        "aspect",
        files,
        "another ratio of width to height than most, which resizing squashes; crop or remove them",
    );
    let (usual, files) = minority(all, both(|half| half.channels));
    let advice = format!(
        "most pairs have {} and {} channels, these have not; convert them if that is not meant",
        usual[0], usual[1]
    );
    push(found, "channels", files, advice);
    let (usual, files) = minority(all, both(|half| half.bits));
    let advice =
        format!("most pairs have {} and {} bits a sample, these have not; convert them", usual[0], usual[1]);
    push(found, "bits", files, advice);
    let highest = all.iter().flat_map(|(_, pair)| &pair.halves).filter_map(|half| half.deep_max).max();
    if let Some(highest) = highest.filter(|highest| *highest < 16_384) {
        let is_deep = |pair: &Signature| pair.halves.iter().any(|half| half.deep_max.is_some());
        let files = those(all, is_deep);
        push(
            found,
            "bits",
            files,
            format!(
                "16-bit files whose largest value is {highest}: they look nearly black; multiply them by {}",
                65_535 / highest.max(1)
            ),
        );
    }
}

/// Returns the most common value, and the files of pairs with another one.
fn minority<T: Ord + Clone + Default>(
    all: &[(PathBuf, &Signature)],
    value: impl Fn(&Signature) -> T,
) -> (T, Vec<PathBuf>) {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for (_, pair) in all {
        *counts.entry(value(pair)).or_default() += 1;
    }
    let usual =
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(usual, _)| usual).unwrap_or_default();
    let files = those(all, |pair| value(pair) != usual);
    (usual, files)
}

fn those(all: &[(PathBuf, &Signature)], is_one: impl Fn(&Signature) -> bool) -> Vec<PathBuf> {
    all.iter().filter(|(_, pair)| is_one(pair)).map(|(path, _)| path.clone()).collect()
}

/// Finds pairs by their own content.
fn files_that(all: &[(PathBuf, &Signature)], found: &mut Vec<Finding>) {
    let constant = |pair: &Signature| pair.halves.iter().any(|half| half.is_constant);
    push(
        found,
        "constant",
        those(all, constant),
        "a half has one colour only and teaches nothing; remove the pair",
    );
    let equal = |pair: &Signature| pair.halves[0].exact == pair.halves[1].exact && !constant(pair);
    push(found, "equal-halves", those(all, equal), "both halves are equal; make the pair again");
    let single = |pair: &Signature| pair.is_continuous && !equal(pair);
    let advice =
        "no seam in the middle: probably one image and not a pair; remove it, or put A and B side by side";
    push(found, "not-a-pair", those(all, single), advice);
    let offsets: Vec<_> = all.iter().map(|(_, pair)| pair.offset).collect();
    let shifted: Vec<_> = shift::find(&offsets).into_iter().map(|at| &all[at]).collect();
    let advice = shifted.first().map_or_else(String::new, |(_, pair)| {
        let [width, height] = pair.halves[0].size;
        let [x, y] = [pair.offset.at[0] * width as f32, pair.offset.at[1] * height as f32].map(f32::round);
        format!("B does not lie over A (the first: by {x} pixels to the right and {y} down); align or remove the pairs")
    });
    push(found, "shifted", shifted.into_iter().map(|(path, _)| path.clone()).collect(), advice);
}

/// Finds pairs of one split that are equal or swapped.
fn alike(split: &Scanned, found: &mut Vec<Finding>) {
    let signatures = split.signatures();
    let path = |at: usize| split.path(at).to_owned();
    let files = swapped::find(&signatures).into_iter().map(path).collect();
    push(
        found,
        "swapped",
        files,
        "A and B look exchanged compared with the other pairs; exchange the halves",
    );
    let files = duplicates::equal(&signatures).into_iter().flatten().map(path).collect();
    push(found, "duplicate", files, "pairs with equal pixels count several times; keep one of each");
}

/// Finds pairs of `val` and `test` that repeat pairs of `train`.
fn repeated(splits: &[Scanned], found: &mut Vec<Finding>) {
    let Some(train) = splits.iter().find(|split| split.name == "train") else { return };
    for other in splits.iter().filter(|split| split.name != "train") {
        let near = duplicates::near(&train.signatures(), &other.signatures());
        let path = |split: &Scanned, at: usize| split.path(at).to_owned();
        let files = near.iter().flat_map(|[a, b]| [path(other, *b), path(train, *a)]).collect();
        let advice = format!(
            "{} pairs of {} repeat pairs of train (each is followed by the pair it repeats), so scores are too good; remove them there",
            near.len(),
            other.name
        );
        push(found, "near-duplicate", files, advice);
    }
}

/// Finds label maps and what is wrong with their colours.
fn colours(
    splits: &[Scanned],
    palettes: &[Option<Palette>; 2],
    all: &[(PathBuf, &Signature)],
    found: &mut Vec<Finding>,
) {
    for (side, name) in ["A", "B"].into_iter().enumerate() {
        let some: Vec<PathBuf> = all.iter().take(1).map(|(path, _)| path.clone()).collect();
        let ids = |pair: &Signature| {
            let half = &pair.halves[side];
            half.grey_max.is_some_and(|max| max <= 40) && (2..=41).contains(&half.colours)
        };
        let files = those(all, ids);
        if files.len() * 2 > all.len() {
            let advice = format!(
                "{name} looks like class ids, which look black; train with --labels ids --classes {}",
                classes(all, side)
            );
            push(found, "black-ids", files, advice);
            continue;
        }
        let Some(palette) = &palettes[side] else { continue };
        if palette.is_drawing() {
            continue;
        }
        let count = palette.colours.len();
        let advice = format!(
            "{name} is a label map of {count} colours; save the palette below as palette.toml and train with --labels palette.toml"
        );
        push(found, "label-map", some, advice);
        if palette.has_noise {
            let files = those(all, |pair| pair.halves[side].colours > 4 * count);
            let advice = format!(
                "the colours of {name} scatter around those of the classes, as JPEG makes them; save label maps as PNG, or use --labels palette.toml"
            );
            push(found, "label-noise", files, advice);
        }
        let present = |name: &str| {
            let split = splits.iter().find(|split| split.name == name)?;
            Some(split.colours[side].present(&palette.colours))
        };
        if let (Some(train), Some(val)) = (present("train"), present("val")) {
            let new: Vec<String> = val
                .into_iter()
                .filter(|colour| !train.contains(colour))
                .map(|colour| format!("{colour:?}"))
                .collect();
            let files = splits.iter().filter(|split| split.name == "val").flat_map(pairs);
            let files: Vec<PathBuf> =
                if new.is_empty() { vec![] } else { files.map(|(path, _)| path).collect() };
            let advice = format!(
                "val has classes in {name} that train lacks: {}; add pairs with them to train",
                new.join(", ")
            );
            push(found, "new-classes", files, advice);
        }
    }
}

/// Returns the number of classes in the half `side` of pairs that hold class ids: the highest id plus 1.
pub(crate) fn classes(all: &[(PathBuf, &Signature)], side: usize) -> usize {
    all.iter().filter_map(|(_, pair)| pair.halves[side].grey_max).max().map_or(0, usize::from) + 1
}

/// Finds images that training would see at less than three quarters of their size.
fn scale(all: &[(PathBuf, &Signature)], load: u32, found: &mut Vec<Finding>) {
    let is_reduced = |pair: &Signature| pair.halves[0].size.into_iter().max().unwrap_or(0) * 3 > load * 4;
    let files = those(all, is_reduced);
    let largest = all.iter().flat_map(|(_, pair)| pair.halves[0].size).max().unwrap_or(0);
    let advice = format!(
        "training would resize these to {load}×{load} pixels (the longest side is {largest}), less than three quarters of their size; \
         raise --size or use --preprocess crop, and translate with --resize"
    );
    push(found, "scale", files, advice);
}
