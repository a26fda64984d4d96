//! Pairs of images: reading, augmentation and batches.

mod augment;
mod batch_source;
mod batches;
mod class_ids;
mod config;
mod content;
mod data_folder;
mod encode_pair;
mod epoch;
mod image_grid;
mod image_part;
mod labels;
mod layout;
mod listing;
mod padding;
mod pair;
mod pair_files;
mod paired_folder;
mod pairing;
mod preprocess;
mod scale;
mod seam;
mod splits;
mod warp;
mod write_arrays;
mod write_image;

pub use batch_source::{BatchIterator, BatchSource};
pub use batches::Batches;
pub use class_ids::class_ids;
pub use config::{DataConfig, Direction, Preprocess, Sampling, Size};
pub use data_folder::DataFolder;
pub use encode_pair::encode_pair;
pub use epoch::EpochCursor;
pub use image_grid::image_grid;
pub use labels::{LabelClass, LabelKind, Labels};
pub use layout::Layout;
pub use listing::{LeftOut, Listing, Reason};
pub use pair::{Batch, Pair};
pub use paired_folder::PairedFolder;
pub use scale::image_size;
pub use seam::looks_like_pair;
pub use write_arrays::write_arrays;
pub use write_image::write_image;

pub(crate) use padding::{pad, padded_size, unpad};

pub(crate) use crate::raster::IMAGE_CHANNELS;

pub use crate::raster::{
    ImageArray, ImageHeader, ImageLimits, LoadedArray, LoadedImage, MemoryBudget, MemoryPermit, Page, Pages,
    PlanarImage, ResizeFilter, SampleFormat, SampleType, Samples, load_array, load_image, page_count,
    read_image, read_image_with_profile, round_to_8_bits, storable, to_images,
};
