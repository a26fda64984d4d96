//! The objective: a conditional GAN plus λ·L1 (Isola et al. 2017, section 3.1). Tensors in, tensors out.

use burn::config::Config;
use burn::tensor::activation::{log_sigmoid, relu};
use serde::{Deserialize, Serialize};

use crate::{Error, Tensor};

/// The adversarial objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GanMode {
    /// Cross-entropy, with the generator maximising log D (non-saturating): the paper's choice.
    #[default]
    Vanilla,
    /// Squared distance to 1 and 0 (LSGAN).
    LeastSquares,
    /// Margins at 1 and −1.
    Hinge,
}

/// The distance between output and target that λ weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelLoss {
    /// Mean absolute difference: the paper's choice, "as L1 encourages less blurring" (section 3.1).
    #[default]
    L1,
    /// Mean square difference, for comparison.
    L2,
}

/// The weights of the objective.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `gan` | vanilla | adversarial objective | | vanilla |
/// | `gan_weight` | 1 | weight of the adversarial term; 0 trains without a discriminator | 0– | 1 |
/// | `discriminator_weight` | 0.5 | weight of the discriminator's loss | > 0 | 0.5 (Lua: 1) |
/// | `pixel` | L1 | distance between output and target | | L1 |
/// | `l1_weight` | 100 | λ, weight of that distance | 0– | 100 |
/// | `real_label` | 1 | target for real patches; below 1 is one-sided label smoothing | 0–1 | 1 |
///
/// The paper's five objectives, with [`DiscriminatorConfig::condition`](crate::DiscriminatorConfig::condition):
///
/// | objective | `gan_weight` | `l1_weight` | `condition` |
/// |---|---|---|---|
/// | L1 | 0 | 100 | – |
/// | GAN | 1 | 0 | none |
/// | cGAN | 1 | 0 | input |
/// | L1+GAN | 1 | 100 | none |
/// | L1+cGAN | 1 | 100 | input |
#[derive(Config, Debug, PartialEq)]
pub struct Pix2PixLossConfig {
    /// Adversarial objective.
    #[config(default = "GanMode::Vanilla")]
    pub gan: GanMode,
    /// Weight of the adversarial term.
    #[config(default = 1.0)]
    pub gan_weight: f64,
    /// Weight of both terms of the discriminator's loss. Halving it "slows down the rate at which D learns" (section 3.3)
    /// under plain gradient descent; Adam takes it out again but for its ε, so that `training.discriminator_rate` is
    /// the knob for that.
    #[config(default = 0.5)]
    pub discriminator_weight: f64,
    /// Distance between output and target; losses keep the name of L1 whichever it is.
    #[config(default = "PixelLoss::L1")]
    pub pixel: PixelLoss,
    /// λ, weight of that distance.
    #[config(default = 100.0)]
    pub l1_weight: f64,
    /// Target for real patches under [`GanMode::Vanilla`] and [`GanMode::LeastSquares`].
    #[config(default = 1.0)]
    pub real_label: f64,
}

impl Pix2PixLossConfig {
    /// Builds the loss.
    pub fn init(&self) -> Pix2PixLoss {
        Pix2PixLoss { config: self.clone() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> crate::Result<()> {
        for (field, weight) in [("loss.gan_weight", self.gan_weight), ("loss.l1_weight", self.l1_weight)] {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Error::config(field, format!("{weight} must be 0 or more")));
            }
        }
        if !(self.discriminator_weight.is_finite() && self.discriminator_weight > 0.0) {
            let problem = format!("{} must be above 0", self.discriminator_weight);
            return Err(Error::config("loss.discriminator_weight", problem));
        }
        if self.gan_weight == 0.0 && self.l1_weight == 0.0 {
            return Err(Error::config("loss.l1_weight", "is 0 as is loss.gan_weight; one must be above 0"));
        }
        if !(0.0..=1.0).contains(&self.real_label) {
            let problem = format!("{} must lie between 0 and 1", self.real_label);
            return Err(Error::config("loss.real_label", problem));
        }
        Ok(())
    }
}

/// The pix2pix objective, as pure functions of logits and images.
#[derive(Clone, Debug)]
pub struct Pix2PixLoss {
    config: Pix2PixLossConfig,
}

/// The discriminator's loss; scalars on the device.
#[derive(Clone, Debug)]
pub struct DiscriminatorLoss {
    /// On real pairs, `[1]`.
    pub real: Tensor<1>,
    /// On generated pairs, `[1]`.
    pub fake: Tensor<1>,
    weight: f64,
}

impl DiscriminatorLoss {
    /// The weighted sum: half of it, "which slows down the rate at which D learns relative to G" (section 3.3), unless
    /// [`discriminator_weight`](Pix2PixLossConfig::discriminator_weight) says otherwise. `[1]`
    pub fn total(&self) -> Tensor<1> {
        (self.real.clone() + self.fake.clone()) * self.weight
    }
}

/// The generator's loss, weights applied; scalars on the device.
#[derive(Clone, Debug)]
pub struct GeneratorLoss {
    /// The adversarial term, `[1]`; absent when training without a discriminator.
    pub gan: Option<Tensor<1>>,
    /// λ·L1, or λ·L2, `[1]`.
    pub l1: Tensor<1>,
}

impl GeneratorLoss {
    /// The sum of both terms, `[1]`.
    pub fn total(&self) -> Tensor<1> {
        match &self.gan {
            Some(gan) => gan.clone() + self.l1.clone(),
            None => self.l1.clone(),
        }
    }
}

impl Pix2PixLoss {
    /// Whether there is an adversarial term, and so a discriminator to train.
    pub fn is_adversarial(&self) -> bool {
        self.config.gan_weight > 0.0
    }

    /// The discriminator's loss from its logits on real and on generated pairs, `[N, 1, H, W]` each.
    pub fn discriminator(&self, real: Tensor<4>, fake: Tensor<4>) -> DiscriminatorLoss {
        let label = self.config.real_label;
        let [real, fake] = match self.config.gan {
            GanMode::Vanilla => [binary_cross_entropy(real, label), binary_cross_entropy(fake, 0.0)],
            GanMode::LeastSquares => [mean((real - label).square()), mean(fake.square())],
            GanMode::Hinge => [mean(relu(-real + 1.0)), mean(relu(fake + 1.0))],
        };
        DiscriminatorLoss { real, fake, weight: self.config.discriminator_weight }
    }

    /// The share of patches that the discriminator takes for what they are, on real and on generated pairs, `[1]`
    /// each, from the same logits.
    pub(crate) fn accuracy(&self, real: Tensor<4>, fake: Tensor<4>) -> [Tensor<1>; 2] {
        let undecided = match self.config.gan {
            GanMode::Vanilla | GanMode::Hinge => 0.0,
            GanMode::LeastSquares => 0.5,
        };
        let right = [real.inner().greater_elem(undecided), fake.inner().lower_elem(undecided)];
        right.map(|right| mean(right.float()))
    }

    /// The generator's loss.
    ///
    /// # Shapes
    /// - `fake`: `[N, 1, H', W']`, the discriminator's logits on the output; `None` without a discriminator
    /// - `output`, `target`: `[N, C, H, W]`, in `[-1, 1]`
    pub fn generator(&self, fake: Option<Tensor<4>>, output: Tensor<4>, target: Tensor<4>) -> GeneratorLoss {
        let gan = fake.map(|fake| {
            let loss = match self.config.gan {
                GanMode::Vanilla => binary_cross_entropy(fake, 1.0),
                GanMode::LeastSquares => mean((fake - 1.0).square()),
                GanMode::Hinge => -mean(fake),
            };
            loss * self.config.gan_weight
        });
        let difference = output - target;
        let distance = match self.config.pixel {
            PixelLoss::L1 => mean(difference.abs()),
            PixelLoss::L2 => mean(difference.square()),
        };
        GeneratorLoss { gan, l1: distance * self.config.l1_weight }
    }
}

/// −t·log σ(x) − (1 − t)·log(1 − σ(x)), averaged; stable for any logit.
fn binary_cross_entropy(logits: Tensor<4>, target: f64) -> Tensor<1> {
    mean(logits.clone() * (1.0 - target) - log_sigmoid(logits))
}

/// Values from which on a backend may share a sum among threads, in an order that depends on them.
const MANY: usize = 1 << 22;

/// The mean of all values, `[1]`, the same to the bit however many threads there are: many are averaged row
/// by row and picture by picture.
fn mean(values: Tensor<4>) -> Tensor<1> {
    if values.shape().num_elements() < MANY { values.mean() } else { values.mean_dim(3).mean_dim(2).mean() }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device;

    fn logits(values: [f32; 2]) -> Tensor<4> {
        Tensor::from_data([[[values]]], &device::cpu())
    }

    fn close(value: Tensor<1>, expected: f32) {
        let value = value.into_scalar::<f32>();
        assert!((value - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{value} is not {expected}");
    }

    #[test]
    fn cross_entropy_is_exact_and_stable() {
        close(binary_cross_entropy(logits([0.0, 0.0]), 1.0), std::f32::consts::LN_2);
        // log(1 + e^-2) and log(1 + e^1), by hand
        close(binary_cross_entropy(logits([2.0, -1.0]), 1.0), (0.126_928 + 1.313_261_7) / 2.0);
        close(binary_cross_entropy(logits([2.0, -1.0]), 0.0), (2.126_928 + 0.313_261_7) / 2.0);
        close(binary_cross_entropy(logits([2.0, -1.0]), 0.9), (0.326_928 + 1.213_261_7) / 2.0);
        close(binary_cross_entropy(logits([1000.0, -1000.0]), 0.0), 500.0);
        close(binary_cross_entropy(logits([1000.0, -1000.0]), 1.0), 500.0);
    }

    #[test]
    fn means_of_many_values_do_not_depend_on_threads() {
        let [rows, columns] = [2100, 2000];
        // Large sums of both signs, which nearly cancel: every other order of adding shows.
        let wave = |i: f32| ((i * 0.37).sin() * 9.0).exp() * (i * 1e-5).cos();
        let values: Vec<f32> = (0..rows * columns).map(|i| wave(i as f32)).collect();
        let exact = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let values = Tensor::<1>::from_floats(values.as_slice(), &device::cpu());
        let values = values.reshape([1, 1, rows, columns]);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // Several times, as threads take their shares as they come.
            let bits = || pool.install(|| mean(values.clone()).into_scalar::<f32>().to_bits());
            (0..9).map(|_| bits()).collect::<Vec<_>>()
        };
        let alone = on(1);
        assert!((f64::from(f32::from_bits(alone[0])) / exact - 1.0).abs() < 1e-4);
        assert!([2, 4].map(on).iter().all(|bits| *bits == alone));
    }

    #[test]
    fn objectives_by_hand() {
        let loss = |gan| Pix2PixLossConfig::new().with_gan(gan).init();
        let d = loss(GanMode::LeastSquares).discriminator(logits([1.0, 3.0]), logits([2.0, 0.0]));
        close(d.real.clone(), 2.0);
        close(d.fake.clone(), 2.0);
        close(d.total(), 2.0);
        let d = loss(GanMode::Hinge).discriminator(logits([0.5, 3.0]), logits([-2.0, 1.0]));
        close(d.real, 0.25);
        close(d.fake, 1.0);
        let image = || logits([0.25, -0.25]);
        for (gan, expected) in
            [(GanMode::Vanilla, std::f32::consts::LN_2), (GanMode::LeastSquares, 1.0), (GanMode::Hinge, 0.0)]
        {
            let g = loss(gan).generator(Some(logits([0.0, 0.0])), image(), -image());
            close(g.gan.clone().unwrap(), expected);
            close(g.l1.clone(), 50.0);
            close(g.total(), expected + 50.0);
        }
    }

    #[test]
    fn l2_is_the_mean_square_and_its_gradient_grows_with_the_distance() {
        let loss = Pix2PixLossConfig::new().with_pixel(PixelLoss::L2).init();
        let output = logits([0.5, -0.25]).autodiff().require_grad();
        let g = loss.generator(None, output.clone(), logits([0.0, 0.5]).autodiff());
        close(g.l1.clone().inner(), 100.0 * (0.25 + 0.5625) / 2.0);
        let grads = g.total().backward();
        let grad = output.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        // d/dx of 100/2 · Σ (x − t)² is 100·(x − t), here 50 and −75.
        assert!((grad[0] - 50.0).abs() < 1e-4 && (grad[1] + 75.0).abs() < 1e-4, "{grad:?}");
    }

    #[test]
    fn the_discriminators_loss_is_halved_unless_told_otherwise() {
        let total = |config: Pix2PixLossConfig| {
            config.init().discriminator(logits([1.0, 3.0]), logits([2.0, 0.0])).total().into_scalar::<f32>()
        };
        let config = Pix2PixLossConfig::new();
        assert_eq!(total(config.clone().with_discriminator_weight(1.0)), 2.0 * total(config.clone()));
        let error = config.with_discriminator_weight(0.0).validate().unwrap_err().to_string();
        assert!(error.contains("loss.discriminator_weight: 0 must be above 0"), "{error}");
    }

    #[test]
    fn smoothing_moves_the_real_side_only() {
        let loss = |label| Pix2PixLossConfig::new().with_real_label(label).init();
        let (hard, soft) = (loss(1.0), loss(0.9));
        let d = |loss: &Pix2PixLoss| loss.discriminator(logits([3.0, 3.0]), logits([3.0, 3.0]));
        assert!(d(&soft).real.into_scalar::<f32>() > d(&hard).real.into_scalar::<f32>() + 0.1);
        assert_eq!(d(&soft).fake.into_scalar::<f32>(), d(&hard).fake.into_scalar::<f32>());
    }

    #[test]
    fn gradient_of_cross_entropy_is_sigmoid_minus_target() {
        let x = logits([2.0, -1.0]).autodiff().require_grad();
        let grads = binary_cross_entropy(x.clone(), 0.9).backward();
        let grad = x.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        for (grad, x) in grad.iter().zip([2.0f32, -1.0]) {
            let expected = (1.0 / (1.0 + (-x).exp()) - 0.9) / 2.0;
            assert!((grad - expected).abs() < 1e-6, "{grad} is not {expected}");
        }
    }
}
