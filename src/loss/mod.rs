//! The objective: a conditional GAN plus λ·L1 (Isola et al. 2017, section 3.1), as pure functions of tensors.

mod config;
mod feature_matching;
mod gan_mode;
mod lecam;
mod pulling_away;
mod structured;
mod sums;

use burn::tensor::Tensor;

use crate::discriminator::DiscriminatorOutput;
use sums::{mean, over_scales};

pub use config::{Pix2PixLossConfig, PixelLoss};
pub use feature_matching::FeatureMatching;
pub use gan_mode::GanMode;

impl Pix2PixLossConfig {
    /// Creates the loss. It does not check the fields; [`validate`](Self::validate) does.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "flex")] {
    /// use pix2pix::{GanMode, Pix2PixLossConfig, Tensor, device};
    ///
    /// let device = device::cpu();
    /// let loss = Pix2PixLossConfig::new().with_gan(GanMode::LeastSquares).init();
    /// let image = || Tensor::<4>::zeros([1, 3, 64, 64], &device);
    /// let logits = Tensor::<4>::zeros([1, 1, 6, 6], &device);
    /// let total = loss.generator(Some(logits.into()), image(), image()).total();
    /// assert_eq!(total.into_scalar::<f32>(), 1.0);
    /// # }
    /// ```
    pub fn init(&self) -> Pix2PixLoss {
        Pix2PixLoss { config: self.clone() }
    }
}

/// The pix2pix objective, as pure functions of logits and images.
#[derive(Clone, Debug)]
pub struct Pix2PixLoss {
    config: Pix2PixLossConfig,
}

/// The terms of the discriminator's loss, as scalars on the device.
#[derive(Clone, Debug)]
pub struct DiscriminatorLoss {
    /// The loss on real pairs, the sum over the scales, `[1]`.
    pub real: Tensor<1>,
    /// The loss on generated pairs, the sum over the scales, `[1]`.
    pub fake: Tensor<1>,
    /// LeCam regularisation, `[1]`, if it is on.
    pub lecam: Option<Tensor<1>>,
    weight: f64,
}

impl DiscriminatorLoss {
    /// Returns the loss with a term of LeCam regularisation, from [`Pix2PixLoss::lecam`], if there is one.
    #[must_use]
    pub fn with_lecam(self, lecam: Option<Tensor<1>>) -> Self {
        Self { lecam, ..self }
    }

    /// Returns the sum of all terms times [`discriminator_weight`](Pix2PixLossConfig::discriminator_weight), `[1]`.
    pub fn total(&self) -> Tensor<1> {
        let sum = self.real.clone() + self.fake.clone();
        let sum = match &self.lecam {
            Some(lecam) => sum + lecam.clone(),
            None => sum,
        };
        weighted(sum, self.weight)
    }
}

/// The terms of the generator's loss, with their weights applied, as scalars on the device.
#[derive(Clone, Debug)]
pub struct GeneratorLoss {
    /// The adversarial term, the sum over the scales, `[1]`, with the pulling-away term if there is one; absent when
    /// training without a discriminator.
    pub gan: Option<Tensor<1>>,
    /// λ·L1, or λ·L2, `[1]`.
    pub l1: Tensor<1>,
    /// The sum of the structured distances, `[1]`; absent if all of their weights are 0.
    pub structured: Option<Tensor<1>>,
    /// Feature matching, `[1]`, if it is on.
    pub features: Option<Tensor<1>>,
}

impl GeneratorLoss {
    /// Returns the loss with a term of feature matching, from [`Pix2PixLoss::feature_matching`], if there is one.
    #[must_use]
    pub fn with_features(self, features: Option<Tensor<1>>) -> Self {
        Self { features, ..self }
    }

    /// Returns the sum of all terms, `[1]`.
    pub fn total(&self) -> Tensor<1> {
        let first = match &self.gan {
            Some(gan) => gan.clone() + self.l1.clone(),
            None => self.l1.clone(),
        };
        [&self.structured, &self.features].into_iter().flatten().fold(first, |sum, term| sum + term.clone())
    }

    /// Returns the sum of the terms that compare the output with the target, apart from feature matching, `[1]`.
    pub(crate) fn distance(&self) -> Tensor<1> {
        match &self.structured {
            Some(structured) => self.l1.clone() + structured.clone(),
            None => self.l1.clone(),
        }
    }
}

impl Pix2PixLoss {
    /// Returns whether the discriminator's losses are those of logits, whose usual sizes are known.
    pub(crate) fn has_logits(&self) -> bool {
        self.config.gan != GanMode::Energy
    }

    /// Adds the pulling-away term, with its weight, to the adversarial term of the generator's loss, unless its weight is 0
    /// (Zhao et al. 2016, section 2.4): the mean squared cosine between the codes of two images of the batch. A batch of
    /// one image has none.
    ///
    /// # Shapes
    /// - `codes`: `[N, C, h, w]`, the outputs of the discriminator's encoder for the generated images; `None` if the
    ///   discriminator is not an auto-encoder
    pub fn with_pulling_away(&self, loss: GeneratorLoss, codes: Option<Tensor<4>>) -> GeneratorLoss {
        let is_on = self.config.pulling_away > 0.0;
        let Some(codes) = codes.filter(|codes| is_on && codes.dims()[0] > 1) else { return loss };
        let term = weighted(pulling_away::mean_squared_cosine(codes), self.config.pulling_away);
        let gan = loss.gan.map_or(term.clone(), |gan| gan + term);
        GeneratorLoss { gan: Some(gan), ..loss }
    }

    /// Returns whether there is an adversarial term, so that a discriminator is trained.
    pub fn is_adversarial(&self) -> bool {
        self.config.gan_weight > 0.0
    }

    /// Returns whether there is a term of feature matching.
    pub fn matches_features(&self) -> bool {
        self.config.feature_weight > 0.0
    }

    /// Returns the discriminator's loss, the sum over its scales.
    ///
    /// # Shapes
    /// - `real_logits`, `fake_logits`: `[N, 1, H', W']` for each scale, the discriminator's logits on real and on
    ///   generated pairs
    ///
    /// # Panics
    /// If the two differ in shape or in the number of scales, or have more than one channel.
    pub fn discriminator(
        &self,
        real_logits: impl Into<DiscriminatorOutput>,
        fake_logits: impl Into<DiscriminatorOutput>,
    ) -> DiscriminatorLoss {
        let (real, fake) = (real_logits.into(), fake_logits.into());
        check_scales(["real_logits", "fake_logits"], [&real, &fake]);
        for (real, fake) in real.scales.iter().zip(&fake.scales) {
            check_logits("real_logits", &real.logits, real.logits.dims()[0]);
            check_same_shape(["real_logits", "fake_logits"], [&real.logits, &fake.logits]);
        }
        let terms = self.config.gan.terms(self.config.margin);
        DiscriminatorLoss {
            real: over_scales(real, |logits| (terms.real)(logits, self.config.real_label)),
            fake: over_scales(fake, |logits| (terms.fake)(logits, self.config.margin)),
            lecam: None,
            weight: self.config.discriminator_weight,
        }
    }

    /// Returns whether there is LeCam regularisation.
    pub fn has_lecam(&self) -> bool {
        self.config.lecam_weight > 0.0
    }

    /// Returns the weighted LeCam regularisation of the discriminator, summed over its scales, `[1]`:
    /// weight · (mean relu(l − f)² + mean relu(r − m)²) with the logits l on real and m on generated pairs.
    ///
    /// # Shapes
    /// - `real_logits`, `fake_logits`: as for [`discriminator`](Self::discriminator)
    /// - `averages`: r and f, the averages of earlier l and m, `[1]` each
    pub fn lecam(
        &self,
        real_logits: &DiscriminatorOutput,
        fake_logits: &DiscriminatorOutput,
        averages: [Tensor<1>; 2],
    ) -> Tensor<1> {
        let term = lecam::lecam(real_logits.clone(), fake_logits.clone(), averages);
        weighted(term, self.config.lecam_weight)
    }

    /// Returns the mean logits on real and on generated pairs, `[1]` each, as means over the scales, without gradients.
    pub(crate) fn mean_logits(
        &self,
        real: &DiscriminatorOutput,
        fake: &DiscriminatorOutput,
    ) -> [Tensor<1>; 2] {
        [real, fake].map(|output| {
            let sum = over_scales(output.clone(), |logits| mean(logits.inner()));
            weighted(sum, 1.0 / output.scales.len() as f64)
        })
    }

    /// Returns the fraction of patches that the discriminator classifies correctly, on real and on generated pairs,
    /// `[1]` each, as the mean over the scales, from the logits that [`discriminator`](Self::discriminator) takes.
    pub(crate) fn accuracy(&self, real: &DiscriminatorOutput, fake: &DiscriminatorOutput) -> [Tensor<1>; 2] {
        let threshold = self.config.gan.terms(self.config.margin).threshold;
        let fraction = |output: &DiscriminatorOutput, is_real: bool| {
            let sum = over_scales(output.clone(), |logits| {
                let logits = logits.inner();
                let correct =
                    if is_real { logits.greater_elem(threshold) } else { logits.lower_elem(threshold) };
                mean(correct.float())
            });
            weighted(sum, 1.0 / output.scales.len() as f64)
        };
        [fraction(real, true), fraction(fake, false)]
    }

    /// Returns the generator's loss, with the adversarial term summed over the scales, and without feature matching,
    /// which [`feature_matching`](Self::feature_matching) returns.
    ///
    /// # Shapes
    /// - `fake_logits`: `[N, 1, H', W']` for each scale, the discriminator's logits on the output; `None` only if
    ///   `gan_weight` is 0
    /// - `output`, `target`: `[N, C, H, W]`, in `[-1, 1]`
    ///
    /// # Panics
    /// If `output` and `target` differ in shape, if `fake_logits` has more than one channel or another N than `output`, or if
    /// it is `None` while `gan_weight` is above 0.
    pub fn generator(
        &self,
        fake_logits: Option<DiscriminatorOutput>,
        output: Tensor<4>,
        target: Tensor<4>,
    ) -> GeneratorLoss {
        check_same_shape(["output", "target"], [&output, &target]);
        for scale in fake_logits.iter().flat_map(|logits| &logits.scales) {
            check_logits("fake_logits", &scale.logits, output.dims()[0]);
        }
        let is_missing = self.is_adversarial() && fake_logits.is_none();
        assert!(
            !is_missing,
            "`fake_logits` (=None) are needed while `gan_weight` is {}",
            self.config.gan_weight
        );
        let terms = self.config.gan.terms(self.config.margin);
        let gan =
            fake_logits.map(|logits| weighted(over_scales(logits, terms.generator), self.config.gan_weight));
        let structured = self.config.structured().into_iter().filter(|(_, weight, _)| *weight > 0.0);
        let structured = structured.map(|(_, weight, distance)| weighted(distance(&output, &target), weight));
        let structured = structured.reduce(|sum, term| sum + term);
        let distance = self.config.pixel.distance(output, target);
        GeneratorLoss { gan, l1: weighted(distance, self.config.l1_weight), structured, features: None }
    }

    /// Returns the weighted distance between the features of real and of generated pairs, `[1]`. The features of the
    /// real pairs are constants; compute them without gradients.
    ///
    /// # Shapes
    /// - `real`, `fake`: outputs of [`Discriminator::forward_features`](crate::Discriminator::forward_features), of
    ///   equal shapes
    ///
    /// # Panics
    /// If they differ in shape or in the number of scales or of features, or have no features.
    pub fn feature_matching(&self, real: &DiscriminatorOutput, fake: &DiscriminatorOutput) -> Tensor<1> {
        check_scales(["real", "fake"], [real, fake]);
        let distances = real.scales.iter().zip(&fake.scales).map(|(real, fake)| {
            let counts = [real.features.len(), fake.features.len()];
            assert!(
                counts[0] == counts[1] && counts[0] > 0,
                "`real` and `fake` have {counts:?} features; both need those of `forward_features`"
            );
            real.features.iter().zip(&fake.features).for_each(|(real, fake)| {
                check_same_shape(["real", "fake"], [real, fake]);
            });
            self.config.feature_matching.distance(&real.features, &fake.features)
        });
        let sum = distances.reduce(|sum, distance| sum + distance).expect("there is a scale");
        weighted(sum, self.config.feature_weight / real.scales.len() as f64)
    }
}

/// Panics if two outputs have different numbers of scales, or none.
fn check_scales(names: [&str; 2], outputs: [&DiscriminatorOutput; 2]) {
    let ([a, b], [a_scales, b_scales]) = (names, outputs.map(|output| output.scales.len()));
    assert!(
        a_scales == b_scales && a_scales > 0,
        "`{a}` (={a_scales} scales) and `{b}` (={b_scales} scales) must have the same number of scales, at least 1"
    );
}

/// Returns a term times its weight. The multiplication by 1 would cost a GPU two launches.
fn weighted(term: Tensor<1>, weight: f64) -> Tensor<1> {
    if weight == 1.0 { term } else { term * weight }
}

/// Panics if two tensors differ in shape: burn would broadcast an axis of length 1 in silence.
fn check_same_shape(names: [&str; 2], tensors: [&Tensor<4>; 2]) {
    let ([a, b], [a_shape, b_shape]) = (names, tensors.map(Tensor::dims));
    assert!(a_shape == b_shape, "`{a}` (={a_shape:?}) and `{b}` (={b_shape:?}) must have the same shape");
}

/// Panics if a tensor is not a discriminator's output for `batch` pairs.
fn check_logits(name: &str, logits: &Tensor<4>, batch: usize) {
    let shape = logits.dims();
    assert!(shape[..2] == [batch, 1], "`{name}` (={shape:?}) must be logits of shape [{batch}, 1, H', W']");
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::device;
    use crate::discriminator::ScaleOutput;

    fn logits(values: [f32; 2]) -> Tensor<4> {
        Tensor::from_data([[[values]]], &device::cpu())
    }

    fn close(value: Tensor<1>, expected: f32) {
        let value = value.into_scalar::<f32>();
        assert!((value - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{value} is not {expected}");
    }

    #[test]
    fn objectives_equal_values_computed_by_hand() {
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
            let g = loss(gan).generator(Some(logits([0.0, 0.0]).into()), image(), -image());
            close(g.gan.clone().unwrap(), expected);
            close(g.l1.clone(), 50.0);
            close(g.total(), expected + 50.0);
        }
    }

    /// Returns sin(a·i + b) in row-major order, computed in float64.
    fn wave<const N: usize>(a: f64, b: f64) -> Tensor<4> {
        let values: [f32; N] = std::array::from_fn(|i| (a * i as f64 + b).sin() as f32);
        Tensor::<1>::from_floats(values, &device::cpu()).reshape([1, 1, 1, N])
    }

    #[test]
    fn the_generators_minimax_loss_saturates_where_the_discriminator_is_sure() {
        let loss = |gan| Pix2PixLossConfig::new().with_gan(gan).with_l1_weight(0.0).init();
        let value = |gan, logits: Tensor<4>| {
            loss(gan).generator(Some(logits.clone().into()), logits.clone(), logits).total()
        };
        close(value(GanMode::Minimax, wave::<6>(0.4, -0.8)), -0.815_571_67);
        close(value(GanMode::Vanilla, wave::<6>(0.4, -0.8)), 0.660_231_8);
        let d = loss(GanMode::Minimax).discriminator(wave::<6>(0.9, 0.3), wave::<6>(0.4, -0.8));
        close(d.real, 0.711_792);
        close(d.fake, 0.815_571_67);
        for (gan, expected) in [(GanMode::Minimax, -0.006_692_85), (GanMode::Vanilla, -0.993_307_2)] {
            let x = logits([-5.0, -5.0]).autodiff().require_grad();
            let grads = value(gan, x.clone()).backward();
            let slope = x.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap()[0] * 2.0;
            assert!((slope - expected).abs() < 1e-6, "{slope}");
        }
    }

    #[test]
    fn the_hinge_of_energies_is_of_each_and_not_of_their_mean() {
        let loss = |margin| Pix2PixLossConfig::new().with_gan(GanMode::Energy).with_margin(margin).init();
        // Section 6.1 of the golden numbers; a logit is a negated energy.
        let real = || -logits([0.007_105_943, 0.071_240_88]);
        let fake = || -logits([0.305_454_88, 2.059_009_3]);
        let d = loss(0.5).discriminator(real(), fake());
        close(d.real.clone() + d.fake.clone(), 0.136_445_97);
        close(d.fake, (0.5 - 0.305_454_88) / 2.0); // the mean energy is above the margin
        let g = loss(0.5).generator(Some(fake().into()), logits([0.0; 2]), logits([0.0; 2]));
        close(g.gan.unwrap(), 1.182_232_1);
        let map = -Tensor::<4>::from_data(
            [[[[0.008_933_296, 0.012_508_865], [0.005_271_46, 0.001_710_153]]]],
            &device::cpu(),
        );
        close(loss(0.02).discriminator(map.clone(), map).fake, 0.012_894_057);
        let [right, wrong] = loss(0.5).accuracy(&real().into(), &fake().into());
        close(right, 1.0);
        close(wrong, 1.0);
        // Above the margin, D has nothing to learn from a fake.
        let fake = fake().autodiff().require_grad();
        let grads = loss(0.5).discriminator(real().autodiff(), fake.clone()).fake.backward();
        let grad = fake.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(grad, [0.5, 0.0]);
    }

    /// Returns the message of the panic in `work`.
    fn panic_of(work: impl FnOnce()) -> String {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).expect_err("a panic");
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn shapes_that_burn_would_broadcast_panic_with_both_shapes() {
        let zeros = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device::cpu());
        let loss = Pix2PixLossConfig::new().init();
        for target in [[4, 1, 8, 8], [1, 3, 8, 8], [4, 3, 1, 8]] {
            let message = panic_of(|| drop(loss.generator(None, zeros([4, 3, 8, 8]), zeros(target))));
            let expected =
                format!("`output` (=[4, 3, 8, 8]) and `target` (={target:?}) must have the same shape");
            assert_eq!(message, expected);
        }
        let image = || zeros([4, 3, 8, 8]);
        let message = panic_of(|| drop(loss.generator(None, image(), image())));
        assert_eq!(message, "`fake_logits` (=None) are needed while `gan_weight` is 1");
        for fake in [[1, 1, 2, 2], [4, 3, 2, 2]] {
            let message = panic_of(|| drop(loss.generator(Some(zeros(fake).into()), image(), image())));
            assert_eq!(message, format!("`fake_logits` (={fake:?}) must be logits of shape [4, 1, H', W']"));
        }
        let message = panic_of(|| drop(loss.discriminator(zeros([4, 1, 2, 2]), zeros([1, 1, 2, 2]))));
        assert!(
            message.contains("`real_logits` (=[4, 1, 2, 2]) and `fake_logits` (=[1, 1, 2, 2])"),
            "{message}"
        );
    }

    #[test]
    fn the_losses_of_several_scales_are_added_and_their_accuracies_averaged() {
        let scales = |values: [[f32; 2]; 2]| {
            let scales =
                values.map(|values| ScaleOutput { features: vec![], logits: logits(values), codes: None });
            DiscriminatorOutput { scales: scales.into() }
        };
        let (real, fake) = (scales([[1.0, 3.0], [2.0, -1.0]]), scales([[2.0, 0.0], [-1.0, -2.0]]));
        let (near, far) = ([[1.0, 3.0], [2.0, 0.0]], [[2.0, -1.0], [-1.0, -2.0]]);
        for gan in [GanMode::Vanilla, GanMode::LeastSquares, GanMode::Hinge] {
            let loss = Pix2PixLossConfig::new().with_gan(gan).init();
            let both = loss.discriminator(real.clone(), fake.clone());
            let each = [near, far].map(|[real, fake]| loss.discriminator(logits(real), logits(fake)));
            close(both.real, each.iter().map(|d| d.real.clone().into_scalar::<f32>()).sum());
            close(both.fake, each.iter().map(|d| d.fake.clone().into_scalar::<f32>()).sum());
            let image = || logits([0.25, -0.25]);
            let gan = |fake| loss.generator(Some(fake), image(), image()).gan.unwrap();
            let each = [near, far].map(|[_, fake]| gan(logits(fake).into()).into_scalar::<f32>());
            close(gan(fake.clone()), each.iter().sum());
        }
        let loss = Pix2PixLossConfig::new().init();
        let track = |output: &DiscriminatorOutput| output.clone().autodiff();
        let [on_real, on_fake] = loss.accuracy(&track(&real), &track(&fake));
        close(on_real, 0.75);
        close(on_fake, 0.5);
        let message = panic_of(|| drop(loss.discriminator(real, logits([0.0, 0.0]))));
        assert!(message.contains("`real_logits` (=2 scales) and `fake_logits` (=1 scales)"), "{message}");
    }

    #[test]
    fn lecam_is_a_weighted_term_of_the_discriminators_loss_and_needs_one() {
        let config = Pix2PixLossConfig::new().with_lecam_weight(0.5);
        let loss = config.clone().init();
        let (real, fake) = (logits([1.0, 3.0]), logits([2.0, -1.0]));
        let averages = [0.5, -0.5].map(|average| Tensor::full([1], average, &device::cpu()));
        let plain = loss.discriminator(real.clone(), fake.clone());
        let term = loss.lecam(&real.into(), &fake.into(), averages);
        // ½ · ((1.5² + 3.5²) / 2 + (0² + 1.5²) / 2), by hand
        close(term.clone(), 4.1875);
        // The discriminator's loss is halved, with all its terms.
        close(
            plain.clone().with_lecam(Some(term)).total(),
            plain.total().into_scalar::<f32>() + 4.1875 / 2.0,
        );
        let message = config.clone().with_gan_weight(0.0).validate().unwrap_err().to_string();
        assert!(message.contains("loss.lecam_weight: 0.5 needs the logits of a discriminator"), "{message}");
        let message = config.with_lecam_decay(1.0).validate().unwrap_err().to_string();
        assert!(message.contains("loss.lecam_decay: 1 is out of range"), "{message}");
    }

    #[test]
    fn feature_matching_needs_a_discriminator() {
        let config = Pix2PixLossConfig::new().with_feature_weight(10.0);
        config.validate().unwrap();
        let message = config.clone().with_gan_weight(0.0).validate().unwrap_err().to_string();
        assert!(
            message.contains("loss.feature_weight: 10 needs the features of a discriminator"),
            "{message}"
        );
        let message = config.with_feature_weight(-1.0).validate().unwrap_err().to_string();
        assert!(message.contains("loss.feature_weight: -1 is not a number of at least 0"), "{message}");
    }

    #[test]
    fn l2_is_the_mean_square_and_its_gradient_grows_with_the_distance() {
        let loss = Pix2PixLossConfig::new().with_gan_weight(0.0).with_pixel(PixelLoss::L2).init();
        let output = logits([0.5, -0.25]).autodiff().require_grad();
        let g = loss.generator(None, output.clone(), logits([0.0, 0.5]).autodiff());
        close(g.l1.clone().inner(), 100.0 * (0.25 + 0.5625) / 2.0);
        let grads = g.total().backward();
        let grad = output.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        // d/dx of 100/2 · Σ (x − t)² is 100·(x − t), here 50 and −75.
        assert!((grad[0] - 50.0).abs() < 1e-4 && (grad[1] + 75.0).abs() < 1e-4, "{grad:?}");
    }

    #[test]
    fn the_discriminators_loss_is_halved_by_default() {
        let total = |config: Pix2PixLossConfig| {
            config.init().discriminator(logits([1.0, 3.0]), logits([2.0, 0.0])).total().into_scalar::<f32>()
        };
        let config = Pix2PixLossConfig::new();
        assert_eq!(total(config.clone().with_discriminator_weight(1.0)), 2.0 * total(config.clone()));
        let error = config.with_discriminator_weight(0.0).validate().unwrap_err().to_string();
        assert!(error.contains("loss.discriminator_weight: 0 is not a number above 0"), "{error}");
    }

    #[test]
    fn label_smoothing_changes_only_the_loss_on_real_pairs() {
        let loss = |label| Pix2PixLossConfig::new().with_real_label(label).init();
        let (hard, soft) = (loss(1.0), loss(0.9));
        let d = |loss: &Pix2PixLoss| loss.discriminator(logits([3.0, 3.0]), logits([3.0, 3.0]));
        assert!(d(&soft).real.into_scalar::<f32>() > d(&hard).real.into_scalar::<f32>() + 0.1);
        assert_eq!(d(&soft).fake.into_scalar::<f32>(), d(&hard).fake.into_scalar::<f32>());
    }

    #[test]
    fn gradient_of_cross_entropy_is_sigmoid_minus_target() {
        let x = logits([2.0, -1.0]).autodiff().require_grad();
        let grads = gan_mode::binary_cross_entropy(x.clone(), 0.9).backward();
        let grad = x.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        for (grad, x) in grad.iter().zip([2.0f32, -1.0]) {
            let expected = (1.0 / (1.0 + (-x).exp()) - 0.9) / 2.0;
            assert!((grad - expected).abs() < 1e-6, "{grad} is not {expected}");
        }
    }
}
