//! Translates a large image in tiles whose outputs equal that of the whole image.

use std::ops::Range;

use burn::tensor::{Device, Tensor};

use crate::error::Result;
use crate::generator::tiled::TiledGenerator;
use crate::generator::tiling::{LayerAt, Piece};
use crate::layers::{Moments, TilePosition, moments};
use crate::raster::{Canvas, Pixels};
use crate::transfer::{read_back, upload};

/// The margin of a tile, in pixels of the head's last map. Beyond the border of a tile, the head needs less than one of
/// them, and the tail one, or two with bilinear resizing.
const MARGIN: usize = 2;

/// An image padded by reflection, and the size of its tiles.
#[derive(Debug)]
pub(super) struct Tiled<'a> {
    pub(super) input: &'a Pixels<'a>,
    /// The top left corner of the padded image in coordinates of the image, at most 0.
    pub(super) start: [isize; 2],
    /// Height and width of the padded image.
    pub(super) size: [usize; 2],
    /// The largest side of a tile in pixels, margins included.
    pub(super) tile: usize,
    pub(super) device: &'a Device,
}

/// A tile. `core` is the area that it covers, `window` the area that it needs as input; both are rows and columns of
/// the padded image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tile {
    core: [Range<usize>; 2],
    window: [Range<usize>; 2],
}

impl Tiled<'_> {
    /// Translates the image onto `canvas`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::error::Error::Device) if the device fails.
    pub(super) fn translate(&self, mut generator: TiledGenerator, canvas: &mut Canvas) -> Result<()> {
        let tiles = tiles(self.size, self.tile, generator.unit());
        let (head, tail) = (generator.head_layers(), generator.tail_layers());
        for index in 0..head - 1 {
            generator.fold_norm(LayerAt::Head(index), |generator| {
                gather(&tiles, |tile| self.head(generator, tile, index + 1))
            })?;
        }
        let maps = generator.body(self.last_of_head(&generator, &tiles, head)?);
        for index in 0..tail - 1 {
            generator.fold_norm(LayerAt::Tail(index), |generator| {
                gather(&tiles, |tile| self.tail(generator, &maps, tile, index + 1))
            })?;
        }
        for tile in &tiles {
            let output = tile.core_of(self.tail(&generator, &maps, tile, tail));
            let [top, left] = [0, 1].map(|axis| self.start[axis] + tile.core[axis].start as isize);
            canvas.paint(&read_back(output)?, tile.core.clone().map(|range| range.len()), [top, left]);
        }
        Ok(())
    }

    /// Returns a tile's output of layer `layers` of the head.
    fn head(&self, generator: &TiledGenerator, tile: &Tile, layers: usize) -> Tensor<4> {
        generator.head(self.piece(tile), layers).pop().expect("the head has layers")
    }

    /// Returns the head's last map of the whole image.
    fn last_of_head(&self, generator: &TiledGenerator, tiles: &[Tile], layers: usize) -> Result<Tensor<4>> {
        let size = self.size.map(|size| size / generator.unit());
        let mut map: Option<(usize, Canvas)> = None;
        for tile in tiles {
            let piece = tile.core_of(self.head(generator, tile, layers));
            let [_, channels, height, width] = piece.dims();
            let (_, map) = map.get_or_insert_with(|| (channels, Canvas::array([channels, size[0], size[1]])));
            let start = tile.core.clone().map(|range| (range.start / generator.unit()) as isize);
            map.paint(&read_back(piece)?, [height, width], start);
        }
        let (channels, map) = map.expect("an image has tiles");
        Ok(upload(map.into_values(), [1, channels, size[0], size[1]], self.device))
    }

    /// Returns a tile's output of layer `layers` of the tail.
    fn tail(&self, generator: &TiledGenerator, maps: &[Tensor<4>], tile: &Tile, layers: usize) -> Tensor<4> {
        let skips = match generator.has_skips(layers) {
            true => generator.head(self.piece(tile), generator.head_layers() - 1),
            false => vec![],
        };
        let [rows, columns] =
            tile.window.clone().map(|range| range.start / generator.unit()..range.end / generator.unit());
        let place = TilePosition {
            start: [rows.start, columns.start],
            whole: self.size.map(|size| size / generator.unit()),
        };
        let maps = maps.iter().map(|map| {
            let channels = map.dims()[1];
            map.clone().slice([0..1, 0..channels, rows.clone(), columns.clone()])
        });
        generator.tail(Piece { maps: maps.collect(), skips, place }, layers)
    }

    /// Returns the pixels of a tile's window, `[1, C, H, W]`.
    fn piece(&self, tile: &Tile) -> Tensor<4> {
        let start = [0, 1].map(|axis| self.start[axis] + tile.window[axis].start as isize);
        tensor(self.input, start, tile.window.clone().map(|range| range.len()), self.device)
    }
}

/// Reads a part of an image as `[1, C, H, W]`.
pub(super) fn tensor(input: &Pixels, start: [isize; 2], size: [usize; 2], device: &Device) -> Tensor<4> {
    let values = input.window(start, size);
    let channels = values.len() / (size[0] * size[1]);
    upload(values, [1, channels, size[0], size[1]], device)
}

impl Tile {
    /// Cuts the core out of a map of the tile's window.
    fn core_of(&self, map: Tensor<4>) -> Tensor<4> {
        let [_, channels, height, _] = map.dims();
        let pixels = self.window[0].len() / height; // per value of the map
        let [rows, columns] = [0, 1].map(|axis| {
            let start = (self.core[axis].start - self.window[axis].start) / pixels;
            start..start + self.core[axis].len() / pixels
        });
        map.slice([0..1, 0..channels, rows, columns])
    }
}

/// Returns tiles whose cores cover a padded image without overlap, and whose windows have up to `tile` pixels a side.
/// All borders lie at multiples of `unit` pixels, which divides the size of the image.
fn tiles(size: [usize; 2], tile: usize, unit: usize) -> Vec<Tile> {
    let margin = MARGIN * unit;
    let side = (tile.saturating_sub(2 * margin) / unit).max(1) * unit;
    let ranges = |length: usize| {
        (0..length).step_by(side).map(move |start| {
            let core = start..(start + side).min(length);
            (core.start.saturating_sub(margin)..(core.end + margin).min(length), core)
        })
    };
    let [height, width] = size;
    let pairs = ranges(height).flat_map(|rows| ranges(width).map(move |columns| (rows.clone(), columns)));
    pairs.map(|(rows, columns)| Tile { core: [rows.1, columns.1], window: [rows.0, columns.0] }).collect()
}

/// Returns the mean and biased variance of a layer's output over all tiles.
///
/// # Errors
/// [`Error::Device`](crate::error::Error::Device) if the device fails.
fn gather(tiles: &[Tile], output: impl Fn(&Tile) -> Tensor<4>) -> Result<Moments> {
    let mut total: Option<ChannelMoments> = None;
    let mut device = None;
    for tile in tiles {
        let core = tile.core_of(output(tile));
        device = Some(core.device());
        let [_, _, height, width] = core.dims();
        let [mean, var] = moments(core);
        let values = |moment| Ok(read_back(moment)?.into_iter().map(f64::from).collect());
        let (mean, var) = (values(mean)?, values(var)?);
        let moments_of_tile = ChannelMoments { count: (height * width) as f64, mean, var };
        total = Some(match total {
            Some(total) => total.merge(&moments_of_tile),
            None => moments_of_tile,
        });
    }
    let (total, device) = total.zip(device).expect("an image has tiles");
    Ok([total.mean, total.var].map(|values| {
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        Tensor::from_floats(values.as_slice(), &device)
    }))
}

/// Mean and biased variance of `count` values of each channel.
#[derive(Debug)]
struct ChannelMoments {
    count: f64,
    mean: Vec<f64>,
    var: Vec<f64>,
}

impl ChannelMoments {
    /// Combines the moments of two sets of values (Chan, Golub and LeVeque 1979).
    fn merge(mut self, other: &Self) -> Self {
        let count = self.count + other.count;
        let (own, others) = (self.count / count, other.count / count);
        let both = self.mean.iter_mut().zip(&mut self.var).zip(other.mean.iter().zip(&other.var));
        for ((mean, var), (other_mean, other_var)) in both {
            let delta = other_mean - *mean;
            *mean += others * delta;
            *var = own * *var + others * other_var + own * others * delta * delta;
        }
        self.count = count;
        self
    }
}
