//! What the discriminator sees of a pair in training: DiffAugment (Zhao et al. 2020), then noise.

use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::config::DiffAugment;
use crate::discriminator::{Condition, Discriminator, DiscriminatorOutput};
use crate::layers::Mode;
use crate::rng;
use crate::transfer::upload;

/// The largest shift as a fraction of a side.
const MAX_SHIFT: f64 = 0.125;
/// The sides of the hole as a fraction of those of the image.
const HOLE: f64 = 0.5;
/// The bits of a random stream's number for the index of the pair in its batch, and for the purpose.
const PAIR_BITS: u32 = 20;
const PURPOSE_BITS: u32 = 3;

/// Spreads the seeds of the turns of a step, apart from those of steps and parts.
pub(super) const SPREAD: u64 = 0xd1b5_4a32_d192_ed03;

/// For what the discriminator sees a pair. Each purpose has random numbers of its own; feature matching uses the same for
/// the output and the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Its update, on a generated pair.
    Fake,
    /// Its update, on a real pair.
    Real,
    /// The generator's update.
    Generator,
}

/// The view of one step. It is a function of the seed, the step and the index of a pair in the batch, so that a batch in
/// parts has the view of the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) augment: DiffAugment,
    /// The standard deviation of the noise.
    pub(super) noise: f64,
    /// Whether the generator's update needs features.
    pub(super) keeps_features: bool,
    pub(super) seed: u64,
    pub(super) step: u64,
}

/// The random numbers of one pair, uniform in `[0, 1)`.
#[derive(Clone, Copy, Debug)]
struct Draws {
    color: [f32; 3],
    shift: [f64; 2],
    hole: [f64; 2],
}

impl View {
    /// Returns the view of a turn, an update of the discriminator, each with random numbers of its own; that of turn 0 is
    /// this one.
    pub(super) fn of_turn(self, turn: usize) -> Self {
        Self { seed: self.seed.wrapping_add((turn as u64).wrapping_mul(SPREAD)), ..self }
    }

    /// Returns the discriminator's output on a batch of inputs and images, of which the first is number `first` of the
    /// step.
    pub(super) fn judged(
        &self,
        discriminator: &Discriminator,
        purpose: Purpose,
        first: usize,
        [input, image]: [Tensor<4>; 2],
    ) -> DiscriminatorOutput {
        // An input that the discriminator does not see stays as it is: noise does not even have the image's size.
        let seen = (discriminator.config().condition != Condition::None).then(|| input.clone());
        let (seen, image) = self.of(purpose, first, seen, image);
        let input = seen.unwrap_or(input);
        if self.keeps_features && purpose == Purpose::Generator {
            discriminator.forward_features(input, image, Mode::PAPER)
        } else {
            discriminator.forward_scales(input, image, Mode::PAPER)
        }
    }

    /// Returns what the discriminator sees of a batch, of which the first pair is number `first` of the step: the input,
    /// `[N, C, H, W]`, if it sees one, and the image, `[N, C', H, W]`. The noise is in the image alone.
    fn of(
        &self,
        purpose: Purpose,
        first: usize,
        mut input: Option<Tensor<4>>,
        mut image: Tensor<4>,
    ) -> (Option<Tensor<4>>, Tensor<4>) {
        if self.augment.is_on() {
            let draws: Vec<Draws> =
                (first..first + image.dims()[0]).map(|pair| self.draws(purpose, pair)).collect();
            if self.augment.color {
                image = colored(image, &draws);
            }
            if self.augment.translation {
                input = input.map(|images| shifted(images, &draws));
                image = shifted(image, &draws);
            }
            if self.augment.cutout {
                let [_, _, height, width] = image.dims();
                let mask = like(&image, |device| holes([height, width], &draws, device));
                input = input.map(|images| images * mask.clone());
                image = image * mask;
            }
        }
        if self.noise > 0.0 {
            let noise = like(&image, |device| self.noise_of(purpose, first, image.dims(), device));
            image = image + noise;
        }
        (input, image)
    }

    /// Returns the random numbers of a pair, the same whichever augmentations are on.
    fn draws(&self, purpose: Purpose, pair: usize) -> Draws {
        let mut rng = self.stream(purpose as u64, pair);
        Draws {
            color: [0; 3].map(|_| rng.random()),
            shift: [0; 2].map(|_| rng.random()),
            hole: [0; 2].map(|_| rng.random()),
        }
    }

    fn noise_of(&self, purpose: Purpose, first: usize, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let [pairs, channels, height, width] = shape;
        let mut values = Vec::with_capacity(shape.iter().product());
        for pair in first..first + pairs {
            // Bit 2 distinguishes the noise from the augmentations.
            let mut rng = self.stream(purpose as u64 | 4, pair);
            let standard = std::iter::repeat_with(|| StandardNormal.sample(&mut rng));
            let noise = standard.map(|standard: f32| self.noise as f32 * standard);
            values.extend(noise.take(channels * height * width));
        }
        upload(values, shape, device)
    }

    fn stream(&self, purpose: u64, pair: usize) -> ChaCha8Rng {
        let index = (self.step << PAIR_BITS) | pair as u64;
        rng::stream(self.seed ^ rng::VIEW, (index << PURPOSE_BITS) | purpose)
    }
}

/// Returns a tensor from `create` on the device of `images`, which autodiff takes as a constant if it tracks these.
fn like<const D: usize>(images: &Tensor<4>, create: impl FnOnce(&Device) -> Tensor<D>) -> Tensor<D> {
    let device = images.device();
    let tensor = create(&device.clone().without_autodiff());
    if device.is_autodiff() { tensor.autodiff() } else { tensor }
}

/// Adds U(−0.5, 0.5) to each image, multiplies the difference of each pixel from its mean over the channels by U(0, 2),
/// and that of the image from its mean by U(0.5, 1.5).
fn colored(images: Tensor<4>, draws: &[Draws]) -> Tensor<4> {
    let factor = |of: fn([f32; 3]) -> f32| {
        let values: Vec<f32> = draws.iter().map(|draws| of(draws.color)).collect();
        like(&images, |device| upload(values, [draws.len(), 1, 1, 1], device))
    };
    let [brightness, saturation, contrast] =
        [factor(|color| color[0] - 0.5), factor(|color| color[1] * 2.0), factor(|color| color[2] + 0.5)];
    let images = images + brightness;
    let grey = images.clone().mean_dim(1);
    let images = (images - grey.clone()) * saturation + grey;
    let mean = images.clone().mean_dim(3).mean_dim(2).mean_dim(1);
    (images - mean.clone()) * contrast + mean
}

/// Shifts each image; zeros enter.
fn shifted(images: Tensor<4>, draws: &[Draws]) -> Tensor<4> {
    let [_, _, height, width] = images.dims();
    let shifted = images.split(1, 0).into_iter().zip(draws).map(|(image, draws)| {
        let [y, x] =
            [(height, draws.shift[0]), (width, draws.shift[1])].map(|(side, draw)| shift(side, draw));
        // Padding on both sides by the largest shift, then the part that has moved.
        let [most_y, most_x] = [height, width].map(max_shift);
        let padded = image.pad([(most_y, most_y), (most_x, most_x)], PadMode::Constant(0.0));
        let start = |most: usize, shift: isize| most.wrapping_add_signed(-shift);
        padded.narrow(2, start(most_y, y), height).narrow(3, start(most_x, x), width)
    });
    Tensor::cat(shifted.collect(), 0)
}

/// Returns the largest shift of a side in pixels.
fn max_shift(side: usize) -> usize {
    (side as f64 * MAX_SHIFT + 0.5) as usize
}

/// Returns the shift of a side in pixels, uniform from minus to plus the largest one.
fn shift(side: usize, draw: f64) -> isize {
    let most = max_shift(side) as isize;
    (draw * (2 * most + 1) as f64) as isize - most
}

/// Returns 0 in a hole of each image and 1 elsewhere, `[N, 1, H, W]`. A hole may leave the image in part.
fn holes([height, width]: [usize; 2], draws: &[Draws], device: &Device) -> Tensor<4> {
    let mut values = Vec::with_capacity(draws.len() * height * width);
    for draws in draws {
        let [rows, columns] =
            [(height, draws.hole[0]), (width, draws.hole[1])].map(|(side, draw)| hole(side, draw));
        let is_in = |y: usize, x: usize| rows.contains(&(y as isize)) && columns.contains(&(x as isize));
        let row = |y| (0..width).map(move |x| (y, x));
        values.extend((0..height).flat_map(row).map(|(y, x)| if is_in(y, x) { 0.0 } else { 1.0 }));
    }
    upload(values, [draws.len(), 1, height, width], device)
}

/// Returns the extent of a hole along a side, with a uniform centre.
fn hole(side: usize, draw: f64) -> std::ops::Range<isize> {
    let length = (side as f64 * HOLE + 0.5) as usize;
    let centres = side + 1 - length % 2;
    let start = (draw * centres as f64) as isize - (length / 2) as isize;
    start..start + length as isize
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;
    use crate::discriminator::DiscriminatorConfig;

    const OFF: DiffAugment = DiffAugment { color: false, translation: false, cutout: false };

    fn view(augment: DiffAugment, noise: f64) -> View {
        View { augment, noise, keeps_features: false, seed: 7, step: 3 }
    }

    /// Returns sin(0.7·i + 0.3) over the flat index.
    fn waves(shape: [usize; 4]) -> Tensor<4> {
        let values: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| (0.7 * i as f32 + 0.3).sin()).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device::cpu()).reshape(shape)
    }

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn seen(view: View, purpose: Purpose, first: usize, [input, image]: [Tensor<4>; 2]) -> [Tensor<4>; 2] {
        let (input, image) = view.of(purpose, first, Some(input), image);
        [input.unwrap(), image]
    }

    fn pair(pairs: usize) -> [Tensor<4>; 2] {
        [waves([pairs, 2, 16, 24]), waves([pairs, 3, 16, 24])]
    }

    /// Values of the authors' code in PyTorch, float64.
    #[test]
    fn colours_equal_the_authors() {
        let draws = Draws { color: [0.8, 0.3, 0.6], shift: [0.0; 2], hole: [0.0; 2] };
        let found = values(colored(waves([1, 3, 2, 2]), &[draws]));
        let expected = [
            0.471_730_25,
            0.916_820_9,
            1.063_383_3,
            0.842_486_85,
            0.304_130_15,
            -0.042_376_194,
            -0.236_285_39,
            -0.186_398_92,
            0.029_928_312,
            0.567_067_3,
            0.970_172_66,
            1.049_657_6,
        ];
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6),
            "{found:?}"
        );
    }

    #[test]
    fn shifts_and_holes_have_the_authors_ranges() {
        for side in [16, 24, 33] {
            let most = max_shift(side) as isize;
            let shifts: std::collections::BTreeSet<isize> =
                (0..1000).map(|i| shift(side, f64::from(i) / 1000.0)).collect();
            assert_eq!(shifts, (-most..=most).collect());
            let length = (side as f64 * 0.5 + 0.5) as isize;
            let holes: Vec<_> = (0..1000).map(|i| hole(side, f64::from(i) / 1000.0)).collect();
            assert!(holes.iter().all(|hole| hole.end - hole.start == length));
            assert_eq!(holes[0].start, -(length / 2));
            assert_eq!(holes[999].start, side as isize - length % 2 - length / 2);
        }
    }

    #[test]
    fn input_and_image_move_together_and_only_the_image_changes_its_colour() {
        let [input, image] = pair(3);
        let both = [input.clone(), image.clone().narrow(1, 0, 2)];
        for (translation, cutout) in [(true, false), (false, true), (true, true)] {
            let view = view(DiffAugment { translation, cutout, ..OFF }, 0.0);
            // The same images as input and as image stay the same.
            let [a, b] = seen(view, Purpose::Real, 0, [both[0].clone(), both[0].clone()]);
            let [a, b] = [a, b].map(values);
            assert!(a == b && a != values(both[0].clone()));
        }
        let view = view(DiffAugment { color: true, ..OFF }, 0.5);
        let [new_input, new_image] = seen(view, Purpose::Real, 0, [input.clone(), image.clone()]);
        assert!(values(new_input) == values(input));
        assert!(values(new_image) != values(image));
    }

    #[test]
    fn a_shifted_image_is_the_image_with_zeros() {
        let draws = Draws { color: [0.0; 3], shift: [0.999, 0.0], hole: [0.0; 2] };
        let image = waves([1, 1, 16, 24]);
        let found = values(shifted(image.clone(), &[draws]));
        let source = values(image);
        // Two rows down and three columns to the left.
        for (y, x) in (0..16).flat_map(|y| (0..24).map(move |x| (y, x))) {
            let expected = if y >= 2 && x + 3 < 24 { source[(y - 2) * 24 + x + 3] } else { 0.0 };
            assert_eq!(found[y * 24 + x], expected, "{y} {x}");
        }
    }

    #[test]
    fn a_view_is_a_function_of_seed_step_purpose_and_pair() {
        let all = DiffAugment { color: true, translation: true, cutout: true };
        let whole = seen(view(all, 0.1), Purpose::Real, 0, pair(3)).map(values);
        assert!(seen(view(all, 0.1), Purpose::Real, 0, pair(3)).map(values) == whole);
        let parts: Vec<_> = (0..3)
            .map(|i| seen(view(all, 0.1), Purpose::Real, i, pair(3).map(|images| images.narrow(0, i, 1))))
            .collect();
        for side in 0..2 {
            let parts: Vec<f32> = parts.iter().flat_map(|part| values(part[side].clone())).collect();
            assert!(parts == whole[side]);
        }
        let others = [
            seen(view(all, 0.1), Purpose::Fake, 0, pair(3)),
            seen(view(all, 0.1), Purpose::Real, 1, pair(3)),
            seen(View { step: 4, ..view(all, 0.1) }, Purpose::Real, 0, pair(3)),
            seen(View { seed: 8, ..view(all, 0.1) }, Purpose::Real, 0, pair(3)),
        ];
        assert!(others.into_iter().all(|other| other.map(values)[1] != whole[1]));
        let off = seen(view(OFF, 0.0), Purpose::Real, 0, pair(3)).map(values);
        assert!(off == pair(3).map(values));
    }

    #[test]
    fn an_input_that_the_discriminator_does_not_see_may_have_any_size() {
        let config = DiscriminatorConfig::new(5, 3).with_base_channels(2).with_layers(1);
        let config = config.with_condition(Condition::None);
        let discriminator = config.init_seeded(1, &device::cpu());
        let all = DiffAugment { color: true, translation: true, cutout: true };
        let [_, image] = pair(2);
        let noise = waves([2, 5, 3, 3]);
        let output = view(all, 0.1).judged(&discriminator, Purpose::Fake, 0, [noise, image]);
        assert_eq!(output.scales[0].logits.dims(), [2, 1, 6, 10]);
    }

    #[test]
    fn noise_has_the_given_deviation() {
        let [input, image] = pair(4);
        let [_, noisy] = seen(view(OFF, 0.2), Purpose::Fake, 0, [input, image.clone()]);
        let noise = values(noisy - image);
        let count = noise.len() as f64;
        let mean = noise.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let deviation = (noise.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / count).sqrt();
        assert!(mean.abs() < 0.01 && (deviation - 0.2).abs() < 0.01, "{mean} {deviation}");
    }

    #[test]
    fn gradients_flow_through_every_augmentation() {
        let all = DiffAugment { color: true, translation: true, cutout: true };
        let sum = |image: Tensor<4>| {
            let [input, _] = pair(1);
            let weights = waves([1, 3, 16, 24]);
            let is_tracked = image.device().is_autodiff();
            let [input, weights] = [input, weights].map(|t| if is_tracked { t.autodiff() } else { t });
            let [_, seen] = seen(view(all, 0.1), Purpose::Generator, 0, [input, image]);
            (seen * weights).sum()
        };
        let [_, image] = pair(1);
        let tracked = image.clone().autodiff().require_grad();
        let grads = sum(tracked.clone()).backward();
        let grad = values(tracked.grad(&grads).unwrap());
        let base = values(image);
        for index in [0, 200, 500, 777, 1151] {
            let at = |step: f32| {
                let mut values = base.clone();
                values[index] += step;
                let image = Tensor::<1>::from_floats(values.as_slice(), &device::cpu());
                sum(image.reshape([1, 3, 16, 24])).into_scalar::<f32>()
            };
            let difference = (at(0.5) - at(-0.5)) / 1.0;
            assert!((difference - grad[index]).abs() < 2e-3, "{index}: {difference} {}", grad[index]);
        }
    }
}
