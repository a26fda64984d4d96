//! The trait of a source of batches. The training loop accepts any data set that implements it.

use burn::tensor::Device;

use super::config::Size;
use super::epoch::EpochCursor;
use super::pair::Batch;
use super::paired_folder::PairedFolder;
use crate::error::Result;

/// The batches of one pass over a [`BatchSource`].
pub type BatchIterator<'a> = Box<dyn ExactSizeIterator<Item = Result<Batch>> + 'a>;

/// A data set that [`Trainer::fit`](crate::Trainer::fit) and [`Trainer::evaluate`](crate::Trainer::evaluate) can read.
///
/// # Examples
/// ```
/// use pix2pix::data::{Batch, BatchIterator, BatchSource, EpochCursor};
/// use pix2pix::{Device, Tensor};
///
/// /// The same black pair, ten times.
/// struct Black;
///
/// impl BatchSource for Black {
///     fn pairs(&self) -> usize {
///         10
///     }
///
///     fn batches<'a>(&'a self, epoch: EpochCursor, device: &Device) -> BatchIterator<'a> {
///         Box::new(self.sequential(device).skip(epoch.first_batch))
///     }
///
///     fn sequential<'a>(&'a self, device: &Device) -> BatchIterator<'a> {
///         let images = Tensor::full([1, 3, 256, 256], -1.0, device);
///         Box::new((0..10).map(move |_| Ok(Batch { input: images.clone(), target: images.clone() })))
///     }
/// }
/// ```
pub trait BatchSource {
    /// Returns the number of pairs.
    fn pairs(&self) -> usize;

    /// Returns the batches of an epoch, starting at its [`first_batch`](EpochCursor::first_batch).
    ///
    /// Order and augmentation must depend only on the epoch's seed and number. Then a resumed run ends with the same
    /// weights as an uninterrupted one.
    fn batches<'a>(&'a self, epoch: EpochCursor, device: &Device) -> BatchIterator<'a>;

    /// Returns all batches in a fixed order, without augmentation.
    fn sequential<'a>(&'a self, device: &Device) -> BatchIterator<'a>;

    /// Returns the usual height and width of the images before they are resized, or `None` if that is not known.
    /// [`Trainer::fit`](crate::Trainer::fit) records it in [`DataConfig::image_size`](super::DataConfig::image_size).
    fn image_size(&self) -> Option<Size> {
        None
    }
}

impl BatchSource for PairedFolder {
    fn pairs(&self) -> usize {
        self.len()
    }

    fn batches<'a>(&'a self, epoch: EpochCursor, device: &Device) -> BatchIterator<'a> {
        Box::new(PairedFolder::batches(self, epoch, device))
    }

    fn sequential<'a>(&'a self, device: &Device) -> BatchIterator<'a> {
        Box::new(PairedFolder::sequential(self, device))
    }

    fn image_size(&self) -> Option<Size> {
        PairedFolder::image_size(self)
    }
}
