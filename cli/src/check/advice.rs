//! The command that `check` advises, ready to copy.

use std::path::Path;

use pix2pix::data::Direction;

use super::findings::Finding;
use super::labels::Palette;
use super::scan::Scanned;

/// The flags of `train` that the advised command may contain.
pub(crate) const FLAGS: [&str; 5] = ["--data", "--direction", "--size", "--labels", "--val-fraction"];

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
    let [flag_data, flag_direction, flag_size, flag_labels, flag_val] = FLAGS;
    let mut command =
        format!("pix2pix train {flag_data} {data} {flag_direction} {direction} {flag_size} {size}");
    let side = usize::from(direction == Direction::BToA);
    let name = ["A looks", "B looks"][side];
    if findings.iter().any(|finding| finding.kind == "black-ids" && finding.advice.starts_with(name)) {
        command += &format!(" {flag_labels} ids");
    } else if palettes[side].as_ref().is_some_and(|palette| !palette.is_drawing()) {
        command += &format!(" {flag_labels} palette.toml");
    }
    if !splits.iter().any(|split| split.split.name == "val") {
        command += &format!(" {flag_val} 0.1");
    }
    command
}
