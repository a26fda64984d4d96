//! Which sizes of images suit the networks, and which are near a size that does not.

use crate::data::Size;
use crate::discriminator::DiscriminatorConfig;
use crate::error::{Error, Result};
use crate::generator::{Backbone, GeneratorConfig, MAX_DEPTH};

/// The least depth of a U-Net for images with a side that is not a power of two.
const MIN_DEPTH: u32 = 5;

/// The field of errors about sizes.
const FIELD: &str = "data.crop_size";

/// Returns the largest depth of a U-Net for images of `size` pixels.
///
/// # Errors
/// [`Error::Config`] with the nearest sizes that suit a U-Net of a good depth, if that depth is not good.
pub(super) fn deepest(size: Size) -> Result<usize> {
    let sides = [size.height, size.width];
    if sides.into_iter().all(is_good) {
        return Ok((shared_halvings(size) as usize).min(MAX_DEPTH));
    }
    let problem = format!(
        "{size} would make the U-Net too shallow, as each side must be a power of two or a multiple of {}; use {} \
         (`--size`), or set the depth apart (`--depth`)",
        1 << MIN_DEPTH,
        nearest(size, good_below, good_above)
    );
    Err(Error::config(FIELD, problem))
}

/// Returns the depth of a DCGAN for images of `size` pixels.
///
/// # Errors
/// [`Error::Config`] if they are not a square whose side is a power of two.
pub(super) fn depth_of_square(size: Size) -> Result<usize> {
    let side = size.width;
    if size.height == side && side.is_power_of_two() && side >= 8 {
        return Ok(side.ilog2() as usize);
    }
    let problem = format!(
        "{size} is not a square whose side is a power of two of at least 8, as DCGAN makes; use 64 (`--size`)"
    );
    Err(Error::config(FIELD, problem))
}

fn is_good(side: usize) -> bool {
    side > 0 && (side.trailing_zeros() >= MIN_DEPTH || (side.is_power_of_two() && side >= 4))
}

/// Returns how often both sides can be halved.
fn shared_halvings(size: Size) -> u32 {
    size.height.trailing_zeros().min(size.width.trailing_zeros())
}

/// Returns the largest good side that is not above `side`, or the smallest there is.
fn good_below(side: usize) -> usize {
    let multiple = 1 << MIN_DEPTH;
    if side >= multiple { side / multiple * multiple } else { 1 << side.max(4).ilog2() }
}

/// Returns the smallest good side that is not below `side`.
fn good_above(side: usize) -> usize {
    let multiple = 1 << MIN_DEPTH;
    if side <= multiple { side.max(5).next_power_of_two() } else { next_multiple(side, multiple) }
}

fn next_multiple(side: usize, multiple: usize) -> usize {
    side.checked_next_multiple_of(multiple).unwrap_or(side / multiple * multiple)
}

/// Writes the sizes next to one that does not suit, without repeating one.
fn nearest(size: Size, below: impl Fn(usize) -> usize, above: impl Fn(usize) -> usize) -> String {
    let sides = <[usize; 2]>::from(size);
    let [below, above] = [Size::from(sides.map(below)), Size::from(sides.map(above))];
    if below == above || below.height.min(below.width) == 0 {
        above.to_string()
    } else {
        format!("{below} or {above}")
    }
}

/// Checks that a generator takes images of `size`.
///
/// # Errors
/// [`Error::Config`] with the nearest sizes that it takes, and the depth that takes this size.
pub(super) fn check(generator: &GeneratorConfig, size: Size) -> Result<()> {
    let (multiple, min) = (generator.size_multiple(), generator.min_size());
    if !(size.height.is_multiple_of(multiple) && size.width.is_multiple_of(multiple)) {
        let sizes = nearest(size, |side| side / multiple * multiple, |side| next_multiple(side, multiple));
        let depth = match (generator.backbone, shared_halvings(size)) {
            (Backbone::Unet { .. } | Backbone::EncoderDecoder { .. }, depth @ 2..) => {
                format!(", or a depth of at most {depth} (`--depth`)")
            }
            _ => String::new(),
        };
        let problem = format!(
            "{size} is not divisible by {multiple}, which the generator needs; use {sizes} (`--size`){depth}"
        );
        return Err(Error::config(FIELD, problem));
    }
    if size.height.min(size.width) < min {
        let problem = format!("{size} is too small for the generator; use at least {min} (`--size`)");
        return Err(Error::config(FIELD, problem));
    }
    Ok(())
}

/// Checks that a discriminator has a patch in images of `size`.
///
/// # Errors
/// [`Error::Config`] with the largest patches that such images have.
pub(super) fn check_patches(discriminator: &DiscriminatorConfig, size: Size) -> Result<()> {
    let fits = |layers: usize| {
        let config = discriminator.clone().with_layers(layers);
        config.patch_map_size(size.into()).is_some().then(|| config.receptive_field())
    };
    if fits(discriminator.layers).is_some() {
        return Ok(());
    }
    let smaller = (0..discriminator.layers).rev().find_map(|layers| Some((layers, fits(layers)?)));
    let fewer = if discriminator.scales > 1 { ", fewer scales (`--scales`)" } else { "" };
    let smaller = smaller.map_or_else(String::new, |(layers, patch)| {
        format!(", or {layers} layers, patches of {patch} pixels (`--patch {patch}`)")
    });
    let problem = format!(
        "{} layers, patches of {} pixels, leave no patch of an image of {size} pixels; use larger images \
         (`--size`){fewer}{smaller}",
        discriminator.layers,
        discriminator.receptive_field()
    );
    Err(Error::config("discriminator.layers", problem))
}
