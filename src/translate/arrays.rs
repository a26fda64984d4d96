//! Translates arrays of any type and number of channels, page by page.

use std::path::Path;

use super::Translator;
use crate::data::write_arrays;
use crate::error::{Error, Result};
use crate::raster::{ImageArray, Page, Pages, PlanarImage, SampleFormat, load_array, page_count};

/// The bytes of a value and of its output in memory, relative to those of a sample.
const BYTES_PER_SAMPLE_BYTE: u64 = 16;

impl Translator {
    /// Sets the pages of TIFF files that are translated (default: as in training).
    #[must_use]
    pub fn with_pages(mut self, pages: Pages) -> Self {
        self.config.data.pages = pages;
        self
    }

    /// Returns whether files are read and written as arrays: if the network was trained on samples of arrays, or if pages
    /// other than the first are to be translated.
    #[must_use]
    pub fn takes_arrays(&self) -> bool {
        let data = &self.config.data;
        data.input_samples.is_some() || data.target_samples.is_some() || data.pages != Pages::First
    }

    /// Translates an array. The output has the type and the range of the training's targets; of a network that was trained
    /// on images, it has those of the input.
    ///
    /// # Errors
    /// - [`Error::Image`] if the array has other channels than the network, or if a sample is NaN or infinite
    /// - [`Error::Config`] if the network takes label maps
    /// - [`Error::Device`] if the device fails
    ///
    /// # Examples
    /// ```no_run
    /// use pix2pix::data::{ImageLimits, Page, load_array, write_arrays};
    /// use pix2pix::{Translator, device};
    ///
    /// let translator = Translator::load("runs/microscope", &device::best())?;
    /// let input = load_array("cells.tif", Page::Number(0), &ImageLimits::new(), |_| 0)?.array;
    /// write_arrays(&[translator.translate_samples(&input)?], "stained.tif")?;
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn translate_samples(&self, array: &ImageArray) -> Result<ImageArray> {
        let data = &self.config.data;
        if data.labels.is_some() {
            let problem = "the network takes label maps; use `translate`";
            return Err(Error::config("data.labels", problem));
        }
        let own = SampleFormat::full(array.samples.sample_type());
        let input = array.to_planar(data.input_samples.unwrap_or(own)).map_err(Error::in_memory_image)?;
        let input = self.with_channels(input)?;
        let [channels, height, width] = input.shape();
        let size = data.training_size([height, width].into()).into();
        let output_channels = self.generator.config().output_channels;
        let output = if self.resizes && size != [height, width] {
            let [filter, target_filter] = data.resize_filters();
            let small = input.resized(size, filter).map_err(Error::in_memory_image)?;
            let values = self.translate_array(small.values(), [channels, size[0], size[1]])?;
            PlanarImage::new(values, [output_channels, size[0], size[1]])
                .resized([height, width], target_filter)
                .map_err(Error::in_memory_image)?
        } else {
            let values = self.translate_array(input.values(), input.shape())?;
            PlanarImage::new(values, [output_channels, height, width])
        };
        Ok(ImageArray::from_planar(&output, data.target_samples.unwrap_or(own)))
    }

    /// Translates the pages of a file, and writes the outputs to another, as [`write_arrays`] does.
    ///
    /// # Errors
    /// As [`load_array`](crate::data::load_array), [`translate_samples`](Self::translate_samples) and [`write_arrays`].
    pub(super) fn translate_pages(&self, input: &Path, output: &Path) -> Result<()> {
        let pages: Vec<Page> = match self.config.data.pages {
            Pages::First => vec![Page::Number(0)],
            Pages::Channels => vec![Page::All],
            Pages::All => (0..page_count(input)?).map(Page::Number).collect(),
        };
        let translated = |page: Page| {
            let loaded = load_array(input, page, &self.limits, |bytes| BYTES_PER_SAMPLE_BYTE * bytes)?;
            self.translate_samples(&loaded.array).map_err(|error| error.in_file(input))
        };
        write_arrays(&pages.into_iter().map(translated).collect::<Result<Vec<_>>>()?, output)
    }

    /// Repeats grey for a network that takes colour, and refuses other numbers of channels than the network's.
    fn with_channels(&self, image: PlanarImage) -> Result<PlanarImage> {
        let ([channels, height, width], expected) = (image.shape(), self.generator.config().input_channels);
        if channels == expected {
            return Ok(image);
        }
        if channels == 1 && expected == 3 && self.config.data.input_samples.is_none() {
            return Ok(PlanarImage::new(image.values().repeat(3), [3, height, width]));
        }
        let problem = format!("it has {channels} channels, and the network takes {expected}");
        Err(Error::in_memory_image(problem))
    }
}
