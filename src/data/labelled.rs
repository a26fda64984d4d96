//! Reads a pair of a label map and an image.

use std::path::Path;

use super::class_ids::class_ids_in;
use super::config::Size;
use super::halves::{check_same_size, half_width};
use super::labels::Labels;
use crate::error::Result;
use crate::raster::{PlanarImage, read_image};

/// Reads images A and B of a pair, of which `side` (0 or 1) is a label map and becomes a channel for each class,
/// reduced to `size`; the other is converted to `channels` channels and keeps its size. Both paths are the same for a
/// side-by-side pair.
pub(super) fn read(
    paths: [&Path; 2],
    labels: &Labels,
    side: usize,
    channels: usize,
    size: Size,
) -> Result<[PlanarImage; 2]> {
    let path = paths[side];
    let image = read_image(path)?;
    let indices = labels.indices(path)?;
    let map = indices.as_ref().unwrap_or(&image);
    let planes = |left: usize, width: usize| {
        let part = labels.part(map, [0, left], [map.height() as usize, width]);
        part.map(|part| part.coverage(size.into())).map_err(|error| error.in_file(path))
    };
    let (planes, other) = if paths[0] == paths[1] {
        let half = half_width(path, &image)?;
        (planes(side * half, half)?, PlanarImage::from_columns(&image, channels, (1 - side) * half, half))
    } else {
        let other = read_image(paths[1 - side])?;
        let images = if side == 0 { [&image, &other] } else { [&other, &image] };
        check_same_size(paths, images)?;
        (planes(0, image.width() as usize)?, PlanarImage::from_image(&other, channels))
    };
    Ok(if side == 0 { [planes, other] } else { [other, planes] })
}

/// Returns the levels in image A (`side` 0) or B (1) of a pair if it looks like a map of class ids.
pub(super) fn class_ids(paths: [&Path; 2], side: usize) -> Result<Option<Vec<u16>>> {
    let image = read_image(paths[side])?;
    let size = [image.height() as usize, image.width() as usize];
    if paths[0] != paths[1] {
        return Ok(class_ids_in(&image, [0, 0], size));
    }
    let half = half_width(paths[side], &image)?;
    Ok(class_ids_in(&image, [0, side * half], [size[0], half]))
}
