//! The limit on the size of images, as a flag.

use clap::Args;
use pix2pix::Result;
use pix2pix::data::ImageLimits;

#[derive(Args, Debug)]
pub(crate) struct LimitOptions {
    /// Largest image that is read, in millions of pixels
    #[arg(
        long,
        default_value_t = ImageLimits::default().max_megapixels(),
        value_parser = clap::value_parser!(u32).range(1..=4096),
        help_heading = "Limits"
    )]
    max_megapixels: u32,
}

impl LimitOptions {
    /// Returns the limits. All images of the process share one budget of memory.
    pub(crate) fn limits(&self) -> Result<ImageLimits> {
        ImageLimits::default().with_max_megapixels(self.max_megapixels)
    }
}
