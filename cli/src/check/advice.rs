//! The command that `check` advises, ready to copy.

use std::path::Path;

use pix2pix::data::Direction;

use super::findings::{self, Finding};
use super::labels::Palette;
use super::scan::Scanned;

/// Returns the direction from the half that looks like labels or a drawing to the other; `None` if both look alike.
pub(crate) fn direction(splits: &[Scanned], palettes: &[Option<Palette>; 2]) -> Option<Direction> {
    match palettes {
        [Some(_), None] => return Some(Direction::AToB),
        [None, Some(_)] => return Some(Direction::BToA),
        _ => {}
    }
    // The half with fewer colours and more flat pixels is the simpler one.
    let simpler: Vec<f32> = splits
        .iter()
        .flat_map(|split| &split.pairs)
        .map(|(_, pair)| {
            let [a, b] = [0, 1].map(|side| pair.halves[side].features);
            (b[0] - a[0]) / 2.0 + (a[1] - b[1]) * 4.0
        })
        .collect();
    let mean = simpler.iter().sum::<f32>() / simpler.len().max(1) as f32;
    (mean.abs() > 0.5).then_some(if mean > 0.0 { Direction::AToB } else { Direction::BToA })
}

/// Returns the command.
pub(crate) fn command(
    data: &Path,
    direction: Direction,
    size: u32,
    splits: &[Scanned],
    findings: &[Finding],
    palettes: &[Option<Palette>; 2],
) -> String {
    let text = data.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let data = if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) };
    let mut command = format!("pix2pix train --data {data} --direction {direction} --size {size}");
    let side = usize::from(direction == Direction::BToA);
    let name = ["A looks", "B looks"][side];
    if findings.iter().any(|finding| finding.kind == "black-ids" && finding.advice.starts_with(name)) {
        let all: Vec<_> = splits.iter().flat_map(findings::pairs).collect();
        command += &format!(" --labels ids --classes {}", findings::classes(&all, side));
    } else if palettes[side].as_ref().is_some_and(|palette| !palette.is_drawing()) {
        command += " --labels palette.toml";
    }
    if !splits.iter().any(|split| split.name == "val") {
        command += " --val-fraction 0.1";
    }
    command
}
