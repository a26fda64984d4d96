//! Prepares images for training, for validation, and whole, as [`Preprocess`] says.

use super::augment::Augmentation;
use super::config::{DataConfig, Preprocess, Size};
use super::image_part::{ImagePart, Resized};
use crate::raster::{ImageHeader, ResizeFilter, resizing_bytes};

/// Prepares an image for training: scales it, and changes it as `augmentation` says, which both images of the pair share.
pub(super) fn for_training(
    image: &ImagePart,
    filter: ResizeFilter,
    config: &DataConfig,
    augmentation: &Augmentation,
) -> Resized {
    let from = scaled_size(image, config, config.load_size).unwrap_or(image.size().into());
    let crop_size = if config.preprocess == Preprocess::None { from } else { config.crop_size };
    check_crop(from, crop_size, config)?;
    let scaled = augmentation.scaled(from).into();
    if scaled == image.size() {
        return augmentation.apply(image, crop_size, filter);
    }
    augmentation.apply(&ImagePart::Values(image.resized(scaled, filter)?), crop_size, filter)
}

/// Prepares an image for validation: as for training, but at the scale of the crop size, and cropped in the middle.
pub(super) fn for_validation(image: &ImagePart, filter: ResizeFilter, config: &DataConfig) -> Resized {
    if config.preprocess != Preprocess::Crop {
        return whole(image, filter, config);
    }
    let (from, crop) = (Size::from(image.size()), config.crop_size);
    check_crop(from, crop, config)?;
    let start = [(from.height - crop.height) / 2, (from.width - crop.width) / 2];
    Ok(image.window(start.map(|start| start as isize), crop.into()))
}

/// Prepares a whole image at the scale of the crop size.
pub(super) fn whole(image: &ImagePart, filter: ResizeFilter, config: &DataConfig) -> Resized {
    match scaled_size(image, config, config.crop_size) {
        Some(target) => image.resized(target.into(), filter),
        None => Ok(image.whole()),
    }
}

/// Returns the bytes that preparing an image takes besides its decoded pixels.
pub(super) fn working_bytes(header: &ImageHeader, config: &DataConfig) -> u64 {
    let classes = if config.labels.is_some() { 4 * header.pixels() } else { 0 };
    let channels = config.input_channels.max(config.target_channels) as u64;
    classes
        + match config.preprocess {
            // Rotating an image upright exchanges width and height.
            Preprocess::Resize | Preprocess::ScaleWidth => {
                resizing_bytes([header.width, header.height], config.load_size)
            }
            Preprocess::Crop => 0,
            Preprocess::None => 4 * channels * header.pixels(),
        }
}

/// Returns the size to which [`Preprocess`] scales an image, or `None` for its own.
fn scaled_size(image: &ImagePart, config: &DataConfig, target: Size) -> Option<Size> {
    match config.preprocess {
        Preprocess::Resize => Some(target),
        Preprocess::ScaleWidth => Some(Size::from(image.size()).with_width(target.width)),
        Preprocess::Crop | Preprocess::None => None,
    }
}

/// Refuses an image that is smaller than the crop.
fn check_crop(from: Size, crop: Size, config: &DataConfig) -> std::result::Result<(), String> {
    if from.height >= crop.height && from.width >= crop.width {
        return Ok(());
    }
    let remedy = "use a smaller --size, `--preprocess resize`, or larger images";
    Err(match config.preprocess {
        Preprocess::ScaleWidth => format!(
            "scaled to a width of {}, it has {from} pixels, fewer than the crop of {crop}; {remedy}, or a larger \
             --load-size",
            from.width
        ),
        _ => format!("{from} pixels, fewer than the crop of {crop}; {remedy}"),
    })
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ImageBuffer, Luma};

    use super::super::epoch::EpochCursor;
    use super::*;
    use crate::raster::{PlanarImage, Region};

    /// Returns an image whose value grows by 2/100 with each column.
    fn image(height: usize, width: usize) -> DynamicImage {
        let level = |x: u32| Luma([(x as f32 * 655.35).round() as u16]);
        DynamicImage::ImageLuma16(ImageBuffer::from_fn(width as u32, height as u32, |x, _| level(x)))
    }

    fn augmentation(config: &DataConfig, index: usize) -> Augmentation {
        Augmentation::draw(config, EpochCursor::new(1, 0), index)
    }

    fn part(image: &DynamicImage) -> ImagePart<'_> {
        ImagePart::Pixels { image, region: Region::of(image), channels: 1 }
    }

    fn config(preprocess: Preprocess) -> DataConfig {
        DataConfig::new().with_preprocess(preprocess).with_load_size(18).with_crop_size(16).with_mirror(false)
    }

    /// Returns the shapes of a prepared image of 20×40: for training, for validation, whole.
    fn shapes(preprocess: Preprocess) -> [[usize; 2]; 3] {
        let config = config(preprocess).with_load_size(36);
        let image = image(20, 40);
        let image = part(&image);
        [
            for_training(&image, ResizeFilter::Bilinear, &config, &augmentation(&config, 0)).unwrap(),
            for_validation(&image, ResizeFilter::Bilinear, &config).unwrap(),
            whole(&image, ResizeFilter::Bilinear, &config).unwrap(),
        ]
        .map(|image| [image.shape()[1], image.shape()[2]])
    }

    #[test]
    fn each_way_of_preparing_has_its_sizes() {
        assert_eq!(shapes(Preprocess::Resize), [[16, 16], [16, 16], [16, 16]]);
        assert_eq!(shapes(Preprocess::ScaleWidth), [[16, 16], [8, 16], [8, 16]]);
        assert_eq!(shapes(Preprocess::Crop), [[16, 16], [16, 16], [20, 40]]);
        assert_eq!(shapes(Preprocess::None), [[20, 40], [20, 40], [20, 40]]);
    }

    #[test]
    fn crops_keep_the_scale_of_the_file() {
        let config = config(Preprocess::Crop);
        let image = image(20, 40);
        let image = part(&image);
        let crop = for_training(&image, ResizeFilter::Bilinear, &config, &augmentation(&config, 0)).unwrap();
        assert!(crop.values().windows(2).take(15).all(|two| (two[1] - two[0] - 0.02).abs() < 1e-4));
        let crops: Vec<PlanarImage> = (0..50)
            .map(|index| {
                for_training(&image, ResizeFilter::Bilinear, &config, &augmentation(&config, index)).unwrap()
            })
            .collect();
        assert!(crops.iter().any(|crop| crop.values()[0] < -0.94));
        assert!(crops.iter().any(|crop| crop.values()[0] > -0.6));
        assert!(
            (for_validation(&image, ResizeFilter::Bilinear, &config).unwrap().values()[0] + 0.76).abs()
                < 1e-4
        );
    }

    #[test]
    fn an_image_smaller_than_the_crop_is_refused_with_the_remedy() {
        let problem = |preprocess, height, width| {
            let config = config(preprocess);
            for_training(
                &part(&image(height, width)),
                ResizeFilter::Bilinear,
                &config,
                &augmentation(&config, 0),
            )
            .unwrap_err()
            .to_string()
        };
        let message = problem(Preprocess::Crop, 10, 40);
        assert!(
            message.starts_with("10x40 pixels, fewer than the crop of 16; use a smaller --size"),
            "{message}"
        );
        let message = problem(Preprocess::ScaleWidth, 20, 80);
        assert!(message.contains("scaled to a width of 18, it has 5x18 pixels"), "{message}");
        assert!(
            for_validation(&part(&image(10, 40)), ResizeFilter::Bilinear, &config(Preprocess::Crop)).is_err()
        );
    }
}
