//! Prepares images for training, for validation, and whole, as [`Preprocess`] says.

use super::augment::Augmentation;
use super::config::{DataConfig, Preprocess, Size};
use crate::raster::{PlanarImage, ResizeFilter};

type Prepared = std::result::Result<PlanarImage, Box<dyn std::error::Error + Send + Sync>>;

/// Prepares an image for training: scales it, and changes it as `augmentation` says, which both images of the pair share.
pub(super) fn for_training(
    image: PlanarImage,
    filter: ResizeFilter,
    config: &DataConfig,
    augmentation: &Augmentation,
) -> Prepared {
    let from = target(&image, config, config.load_size);
    let crop_size = if config.preprocess == Preprocess::None { from } else { config.crop_size };
    check_crop(from, crop_size, config)?;
    let image = image.resized(augmentation.scaled(from).into(), filter)?;
    augmentation.apply(&image, crop_size, filter)
}

/// Prepares an image for validation: as for training, but at the scale of the crop size, and cropped in the middle.
pub(super) fn for_validation(image: PlanarImage, filter: ResizeFilter, config: &DataConfig) -> Prepared {
    let image = whole(image, filter, config)?;
    if config.preprocess != Preprocess::Crop {
        return Ok(image);
    }
    let (from, crop) = (size(&image), config.crop_size);
    check_crop(from, crop, config)?;
    let start = [(from.height - crop.height) / 2, (from.width - crop.width) / 2];
    Ok(image.window(start.map(|start| start as isize), crop.into()))
}

/// Prepares a whole image at the scale of the crop size.
pub(super) fn whole(image: PlanarImage, filter: ResizeFilter, config: &DataConfig) -> Prepared {
    let target = target(&image, config, config.crop_size);
    image.resized(target.into(), filter)
}

/// Returns the size of an image that is scaled to `size` as [`Preprocess`] says.
fn target(image: &PlanarImage, config: &DataConfig, target: Size) -> Size {
    match config.preprocess {
        Preprocess::Resize => target,
        Preprocess::ScaleWidth => size(image).with_width(target.width),
        Preprocess::Crop | Preprocess::None => size(image),
    }
}

fn size(image: &PlanarImage) -> Size {
    let [_, height, width] = image.shape();
    Size { height, width }
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
    use super::super::epoch::EpochCursor;
    use super::*;

    const FILTER: ResizeFilter = ResizeFilter::Bilinear;

    /// Returns an image whose value is its column.
    fn image(height: usize, width: usize) -> PlanarImage {
        PlanarImage::new(
            (0..height * width).map(|i| (i % width) as f32 / 100.0).collect(),
            [1, height, width],
        )
    }

    fn augmentation(config: &DataConfig, index: usize) -> Augmentation {
        Augmentation::draw(config, EpochCursor::new(1, 0), index)
    }

    fn config(preprocess: Preprocess) -> DataConfig {
        DataConfig::new().with_preprocess(preprocess).with_load_size(18).with_crop_size(16).with_mirror(false)
    }

    /// Returns the shapes of a prepared image of 20×40: for training, for validation, whole.
    fn shapes(preprocess: Preprocess) -> [[usize; 2]; 3] {
        let config = config(preprocess).with_load_size(36);
        [
            for_training(image(20, 40), FILTER, &config, &augmentation(&config, 0)).unwrap(),
            for_validation(image(20, 40), FILTER, &config).unwrap(),
            whole(image(20, 40), FILTER, &config).unwrap(),
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
        let crop = for_training(image(20, 40), FILTER, &config, &augmentation(&config, 0)).unwrap();
        assert!(crop.values().windows(2).take(15).all(|two| (two[1] - two[0] - 0.01).abs() < 1e-6));
        let crops: Vec<PlanarImage> = (0..50)
            .map(|index| for_training(image(20, 40), FILTER, &config, &augmentation(&config, index)).unwrap())
            .collect();
        assert!(crops.iter().any(|crop| crop.values()[0] < 0.03));
        assert!(crops.iter().any(|crop| crop.values()[0] > 0.2));
        assert_eq!(for_validation(image(20, 40), FILTER, &config).unwrap().values()[0], 0.12);
    }

    #[test]
    fn an_image_smaller_than_the_crop_is_refused_with_the_remedy() {
        let problem = |preprocess, height, width| {
            let config = config(preprocess);
            for_training(image(height, width), FILTER, &config, &augmentation(&config, 0))
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
        assert!(for_validation(image(10, 40), FILTER, &config(Preprocess::Crop)).is_err());
    }
}
