//! Label maps: images whose pixels stand for classes, and their conversion to a channel for each class.

use std::collections::BTreeMap;
use std::path::Path;

use image::{DynamicImage, GenericImageView, Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names;
use crate::raster::{
    ClassMap, ImageHeader, ImageLimits, LoadedImage, Palette, PlanarImage, load_image, read_indices,
};

/// What the pixels of a label image hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelKind {
    /// The colour of a class. Each pixel gets the class of the nearest colour, so noise of JPEG does no harm.
    #[default]
    Colors,
    /// The id of a class: a grey level of 8 or 16 bits, or an index into the palette of a PNG file.
    Ids,
}

names::named!(LabelKind, "labels.kind");

/// A class of a label map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct LabelClass {
    /// The name of the class.
    pub name: String,
    /// Its id in label images of the kind [`Ids`](LabelKind::Ids).
    pub id: u16,
    /// Its colour in label images of the kind [`Colors`](LabelKind::Colors), and in samples.
    pub color: [u8; 3],
}

impl LabelClass {
    /// Creates a class.
    pub fn new(name: impl Into<String>, id: u16, color: [u8; 3]) -> Self {
        Self { name: name.into(), id, color }
    }
}

/// The classes of label images. With it in [`DataConfig::labels`](super::DataConfig::labels), the input of a network is
/// a channel for each class instead of an image of colours.
///
/// A channel holds the fraction of each pixel's area that the class covers, from −1 (nothing) to 1 (all of it). Each
/// pixel of the file is classified first, at the file's full resolution, and the fractions are counted afterwards, so
/// resizing mixes neither colours nor ids into those of a third class.
///
/// | field | default | meaning | range |
/// |---|---|---|---|
/// | `kind` | colors | what the pixels hold | |
/// | `classes` | | a class for each channel | 1–4096, with names, ids and colours that differ |
///
/// # Examples
/// ```
/// use pix2pix::data::{LabelClass, LabelKind, Labels};
///
/// let wall = LabelClass::new("wall", 0, [0, 0, 170]);
/// let window = LabelClass::new("window", 1, [0, 85, 255]);
/// let labels = Labels::new(LabelKind::Colors, vec![wall, window])?;
/// let config = pix2pix::Pix2PixConfig::paper().with_labels(labels);
/// assert_eq!(config.generator.input_channels, 2);
/// config.validate()?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Labels {
    /// What the pixels hold.
    #[serde(default)]
    pub kind: LabelKind,
    /// The classes, one for each channel of the input.
    pub classes: Vec<LabelClass>,
}

/// The most classes, as many as a network may have input channels.
const MAX_CLASSES: usize = 4096;

impl Labels {
    /// Creates label maps of these classes.
    ///
    /// # Errors
    /// [`Error::Config`] if there are 0 classes or more than 4096, or if two have the same name, id or colour.
    pub fn new(kind: LabelKind, classes: Vec<LabelClass>) -> Result<Self> {
        let labels = Self { kind, classes };
        labels.validate()?;
        Ok(labels)
    }

    /// Creates label maps that hold the ids 0 to `count` − 1. The classes are named by their ids and have the colours
    /// of the PASCAL VOC data set, whose first is black.
    ///
    /// # Errors
    /// [`Error::Config`] if `count` is 0 or above 4096.
    pub fn ids(count: usize) -> Result<Self> {
        let ids = (0..=u16::MAX).take(count.min(MAX_CLASSES + 1));
        Self::new(
            LabelKind::Ids,
            ids.map(|id| LabelClass::new(id.to_string(), id, Self::color(id))).collect(),
        )
    }

    /// Returns the colour of a class without one: that of the PASCAL VOC data set, in which each group of three bits of
    /// the id gives a bit of red, green and blue. The colours of two ids differ.
    pub fn color(id: u16) -> [u8; 3] {
        // The highest bit of 16 is the fourth of red in the sixth group.
        let bit = |channel: u32, group: u32| ((u32::from(id) >> (3 * group + channel)) & 1) << (7 - group);
        [0, 1, 2].map(|channel| (0..6).map(|group| bit(channel, group)).sum::<u32>() as u8)
    }

    /// Checks the classes.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`new`](Self::new).
    pub fn validate(&self) -> Result<()> {
        let error = |problem: String| Err(Error::config("data.labels", problem));
        match self.classes.len() {
            0 => return error("the list of classes is empty; give at least one a name and a colour".into()),
            count if count > MAX_CLASSES => {
                return error(format!("{count} classes are more than {MAX_CLASSES}; merge some of them"));
            }
            _ => {}
        }
        let (mut names, mut ids, mut colors) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for LabelClass { name, id, color } in &self.classes {
            if names.insert(name, ()).is_some() {
                return error(format!("two classes have the name `{name}`; rename one"));
            }
            if let Some(other) = ids.insert(id, name) {
                return error(format!("the classes `{other}` and `{name}` have the id {id}; change one"));
            }
            if let Some(other) = colors.insert(color, name) {
                let [r, g, b] = color;
                return error(format!(
                    "the classes `{other}` and `{name}` have the colour #{r:02x}{g:02x}{b:02x}; change one"
                ));
            }
        }
        Ok(())
    }

    /// Reads a label image as [`read_image`](super::read_image) does, but with numbers that are stored in a PNG file
    /// unchanged, if the pixels hold ids: the indices of a palette instead of its colours, and grey levels of fewer
    /// than 8 bits without stretching.
    ///
    /// # Errors
    /// As [`read_image`](super::read_image).
    pub fn read_image(&self, path: impl AsRef<Path>) -> Result<DynamicImage> {
        Ok(self.load_image(path, &ImageLimits::default(), |_| 0)?.image)
    }

    /// Reads a label image as [`read_image`](Self::read_image) does, within `limits`, as
    /// [`load_image`](super::load_image) does.
    ///
    /// # Errors
    /// As [`load_image`](super::load_image).
    pub fn load_image(
        &self,
        path: impl AsRef<Path>,
        limits: &ImageLimits,
        working: impl Fn(&ImageHeader) -> u64,
    ) -> Result<LoadedImage> {
        let path = path.as_ref();
        let mut loaded = load_image(path, limits, |header| working(header) + header.pixels())?;
        if let Some(indices) = self.indices(path)? {
            loaded.image = indices;
        }
        Ok(loaded)
    }

    /// Reads the numbers that a file stores, if the pixels hold ids and decoding as an image changes them.
    pub(super) fn indices(&self, path: &Path) -> Result<Option<DynamicImage>> {
        match self.kind {
            LabelKind::Ids => read_indices(path),
            LabelKind::Colors => Ok(None),
        }
    }

    /// Converts a label image to a channel for each class, with the fraction of each pixel that the class covers.
    ///
    /// # Shapes
    /// - `size`: height and width
    /// - returns `[classes, H, W]` in `[-1, 1]`
    ///
    /// # Errors
    /// - [`Error::Image`] if the image or `size` has no pixels, or if a pixel holds a number that is not the id of a
    ///   class
    ///
    /// # Examples
    /// ```
    /// use pix2pix::data::Labels;
    /// use pix2pix::image::{DynamicImage, GrayImage};
    ///
    /// let ids = GrayImage::from_raw(4, 1, vec![0, 1, 1, 1]).unwrap();
    /// let planes = Labels::ids(2)?.planes(&DynamicImage::ImageLuma8(ids), [1, 2])?;
    /// assert_eq!(planes.values(), [0.0, -1.0, 0.0, 1.0]); // half of the left pixel is 0, the other half is 1
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn planes(&self, image: &DynamicImage, size: impl Into<[usize; 2]>) -> Result<PlanarImage> {
        let [height, width] = size.into();
        if [height, width, image.height() as usize, image.width() as usize].contains(&0) {
            return Err(Error::in_memory_image("it has no pixels"));
        }
        Ok(self.class_map(image)?.coverage([height, width]))
    }

    /// Returns the class of each pixel.
    ///
    /// # Errors
    /// [`Error::Image`] if a pixel holds a number that is not the id of a class.
    pub(crate) fn class_map(&self, image: &DynamicImage) -> Result<ClassMap> {
        self.part(image, [0, 0], [image.height() as usize, image.width() as usize])
    }

    /// Returns the class of each pixel in the part of an image at `[top, left]`.
    pub(super) fn part(
        &self,
        image: &DynamicImage,
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> Result<ClassMap> {
        let pixels = (top..top + height).flat_map(|y| (left..left + width).map(move |x| [x, y]));
        let classes = match self.kind {
            LabelKind::Colors => self.by_color(image, pixels),
            LabelKind::Ids => self.by_id(image, pixels)?,
        };
        Ok(ClassMap::new(classes, [height, width], self.classes.len()))
    }

    fn by_color(&self, image: &DynamicImage, pixels: impl Iterator<Item = [usize; 2]>) -> Vec<u16> {
        /// The number of colours whose class is remembered: noise repeats them.
        const CACHE: usize = 1 << 12;
        let palette = Palette::new(self.classes.iter().map(|class| vec![class.color]));
        let mut cache: Vec<Option<([u8; 3], u16)>> = vec![None; CACHE];
        let mut class = |color: [u8; 3]| {
            let [r, g, b] = color.map(usize::from);
            let known = &mut cache[(r * 577 + g * 31 + b) % CACHE];
            match known {
                Some((found, class)) if *found == color => *class,
                _ => {
                    let class = palette.nearest(color).unwrap_or(0) as u16;
                    *known = Some((color, class));
                    class
                }
            }
        };
        let color = |[x, y]: [usize; 2]| {
            let [r, g, b, _] = image.get_pixel(x as u32, y as u32).0;
            [r, g, b]
        };
        pixels.map(|at| class(color(at))).collect()
    }

    fn by_id(&self, image: &DynamicImage, pixels: impl Iterator<Item = [usize; 2]>) -> Result<Vec<u16>> {
        let highest = self.classes.iter().map(|class| class.id).max().unwrap_or(0);
        let mut classes: Vec<Option<u16>> = vec![None; usize::from(highest) + 1];
        for (index, class) in (0..).zip(&self.classes) {
            classes[usize::from(class.id)] = Some(index);
        }
        let samples = Samples::of(image)?;
        let class = |at| {
            let id = samples.at(at)?;
            let class = classes.get(usize::from(id)).copied().flatten();
            class.ok_or_else(|| Error::in_memory_image(self.unknown(id, highest, at)))
        };
        pixels.map(class).collect()
    }

    /// Describes a pixel with an unknown id, and the remedy.
    fn unknown(&self, id: u16, highest: u16, [x, y]: [usize; 2]) -> String {
        let count = self.classes.len();
        let ids = match usize::from(highest) + 1 == count {
            true => format!("0 to {highest}"),
            false => {
                self.classes.iter().take(20).map(|class| class.id.to_string()).collect::<Vec<_>>().join(", ")
            }
        };
        format!(
            "the pixel at column {x}, row {y} holds the id {id}, which is not that of one of the {count} classes \
             ({ids}); give this class to the palette, raise --classes, or change the pixel"
        )
    }

    /// Returns an image of the class that covers most of each pixel, in the colours of the classes.
    ///
    /// # Panics
    /// If the number of channels is not that of the classes.
    pub fn to_image(&self, planes: &PlanarImage) -> RgbImage {
        let [channels, height, width] = planes.shape();
        let (area, count) = (height * width, self.classes.len());
        assert_eq!(channels, count, "`planes` has {channels} channels; there are {count} classes");
        let values = planes.values();
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let pixel = y as usize * width + x as usize;
            let value = |class: &usize| values[class * area + pixel];
            // Of several equal ones, the first.
            let largest = (0..count).rev().max_by(|a, b| value(a).total_cmp(&value(b)));
            Rgb(self.classes[largest.unwrap_or(0)].color)
        })
    }
}

/// The numbers in an image whose pixels hold ids.
pub(super) struct Samples<'a> {
    samples: Stored<'a>,
    width: usize,
    /// Channels in memory, and whether the first three of them are colours.
    channels: usize,
    is_colour: bool,
}

enum Stored<'a> {
    Byte(&'a [u8]),
    Word(&'a [u16]),
}

impl<'a> Samples<'a> {
    pub(super) fn of(image: &'a DynamicImage) -> Result<Self> {
        use DynamicImage as D;
        let samples = match image {
            D::ImageLuma8(buffer) => Stored::Byte(buffer),
            D::ImageLumaA8(buffer) => Stored::Byte(buffer),
            D::ImageRgb8(buffer) => Stored::Byte(buffer),
            D::ImageRgba8(buffer) => Stored::Byte(buffer),
            D::ImageLuma16(buffer) => Stored::Word(buffer),
            D::ImageLumaA16(buffer) => Stored::Word(buffer),
            D::ImageRgb16(buffer) => Stored::Word(buffer),
            D::ImageRgba16(buffer) => Stored::Word(buffer),
            _ => {
                let problem = "its numbers are not integers of 8 or 16 bits, as ids are; save it as grey PNG";
                return Err(Error::in_memory_image(problem));
            }
        };
        let color = image.color();
        let channels = usize::from(color.channel_count());
        Ok(Self { samples, width: image.width() as usize, channels, is_colour: color.has_color() })
    }

    /// Returns the grey level of a pixel.
    ///
    /// # Errors
    /// [`Error::Image`] if the pixel has a colour.
    pub(super) fn at(&self, [x, y]: [usize; 2]) -> Result<u16> {
        let offset = (y * self.width + x) * self.channels;
        let sample = |channel: usize| match self.samples {
            Stored::Byte(samples) => u16::from(samples[offset + channel]),
            Stored::Word(samples) => samples[offset + channel],
        };
        if self.is_colour {
            let [r, g, b] = [0, 1, 2].map(sample);
            if r != g || g != b {
                return Err(Error::in_memory_image(format!(
                    "the pixel at column {x}, row {y} has the colour ({r}, {g}, {b}), which is not an id; save ids as \
                     grey PNG, or list the colours of the classes in a palette"
                )));
            }
        }
        Ok(sample(0))
    }
}
