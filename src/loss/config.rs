//! The configuration of the objective: which terms it has, and their weights.

use burn::tensor::Tensor;
use derive_setters::Setters;
use serde::{Deserialize, Serialize};

use super::feature_matching::FeatureMatching;
use super::gan_mode::GanMode;
use super::structured;
use super::sums::mean;
use crate::error::{Error, Result};
use crate::json::is_off;
use crate::names::named;

/// The distance between output and target in the term with weight λ. As text it is `l1` or `l2`, the same as in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PixelLoss {
    /// Mean absolute difference: the paper's choice, "as L1 encourages less blurring" (section 3.1).
    #[default]
    L1,
    /// Mean squared difference, for comparison.
    L2,
}

named!(PixelLoss, "pixel loss");

impl PixelLoss {
    /// Returns the distance between two batches of equal shape, `[1]`.
    pub(super) fn distance(self, output: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
        let difference = output - target;
        match self {
            Self::L1 => mean(difference.abs()),
            Self::L2 => mean(difference.square()),
        }
    }
}

/// The weights of the objective.
///
/// | field | default | meaning | range | paper / PyTorch |
/// |---|---|---|---|---|
/// | `gan` | vanilla | adversarial objective | | vanilla |
/// | `gan_weight` | 1 | weight of the adversarial term; 0 trains without a discriminator | ≥ 0 | 1 |
/// | `discriminator_weight` | 0.5 | weight of the discriminator's loss | > 0 | 0.5 (Lua: 1) |
/// | `pixel` | L1 | distance between output and target | | L1 |
/// | `l1_weight` | 100 | λ, the weight of that distance | ≥ 0 | 100 |
/// | `real_label` | 1 | target for real patches; below 1 is one-sided label smoothing | 0–1 | 1 |
/// | `gradient_weight` | 0 | weight of the distance of the differences of neighbours | ≥ 0 | – |
/// | `ssim_weight` | 0 | weight of 1 − SSIM | ≥ 0 | – |
/// | `pyramid_weight` | 0 | weight of the distance of the bands of a Laplacian pyramid | ≥ 0 | – |
/// | `frequency_weight` | 0 | weight of the focal frequency loss | ≥ 0 | – |
/// | `feature_weight` | 0 | weight of feature matching; 0 is off | ≥ 0 | 0 (pix2pixHD: 10) |
/// | `feature_matching` | aligned | how features are compared | | – (pix2pixHD: aligned) |
/// | `lecam_weight` | 0 | weight of LeCam regularisation of the discriminator; 0 is off | ≥ 0 | 0 |
/// | `lecam_decay` | 0.99 | decay of the averages of its logits | 0 ≤ d < 1 | – |
/// | `margin` | 0.1 | energy up to which D raises that of generated images, with `gan` energy | > 0 | – |
/// | `pulling_away` | 0 | weight of EBGAN's pulling-away term, with `gan` energy | ≥ 0 | – |
///
/// From `gradient_weight` to `frequency_weight` they are structured distances: each joins pixels that the distance
/// `pixel` treats one by one. They are added to it, and
/// [`GeneratorLoss::structured`](super::GeneratorLoss::structured) is their sum.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Setters)]
#[serde(default, deny_unknown_fields)]
#[setters(prefix = "with_")]
#[non_exhaustive]
pub struct Pix2PixLossConfig {
    /// The adversarial objective.
    pub gan: GanMode,
    /// The weight of the adversarial term; 0 trains without a discriminator.
    pub gan_weight: f64,
    /// The weight of the discriminator's loss, all its terms together. Halving it "slows down the rate at which D learns"
    /// (section 3.3) under plain gradient descent. Adam cancels the factor, apart from its ε; use
    /// `training.discriminator_rate` instead.
    pub discriminator_weight: f64,
    /// The distance between output and target. Logs and JSON name its loss `l1`, whichever distance is used.
    pub pixel: PixelLoss,
    /// λ, the weight of that distance.
    pub l1_weight: f64,
    /// The target for real patches under [`GanMode::Vanilla`], [`GanMode::Minimax`] and [`GanMode::LeastSquares`].
    pub real_label: f64,
    /// The weight of mean |Δ(output − target)|, where Δ is the difference of neighbours, down plus across: the signed
    /// form of the gradient difference loss (Mathieu et al. 2016). It sharpens edges of aligned pairs.
    #[serde(skip_serializing_if = "is_off")]
    pub gradient_weight: f64,
    /// The weight of 1 − SSIM, of images in `[0, 1]` as in [`ssim_unit`](crate::metrics::ssim_unit) (Zhao et al. 2017).
    #[serde(skip_serializing_if = "is_off")]
    pub ssim_weight: f64,
    /// The weight of the sum of the mean absolute differences of the bands of a Laplacian pyramid (Bojanowski et al.
    /// 2018). A band is an image minus its half-size copy enlarged again, with means of 2×2 pixels and nearest
    /// neighbours. The images are halved while both sides are even, at most five times; the smallest one is a band, too.
    #[serde(skip_serializing_if = "is_off")]
    pub pyramid_weight: f64,
    /// The weight of the focal frequency loss (Jiang et al. 2021, α = 1): the mean of |F|³/max |F| over the orthonormal
    /// Fourier transform F of output − target, where max |F| is that of the channel and has no gradient.
    #[serde(skip_serializing_if = "is_off")]
    pub frequency_weight: f64,
    /// The weight of the distance between the discriminator's features of the output and of the target, which is added
    /// to the other terms: by itself it does not train pix2pix well. A step then has one more forward pass of the
    /// discriminator, on the real pairs.
    #[serde(skip_serializing_if = "is_off")]
    pub feature_weight: f64,
    /// How these features are compared.
    #[serde(skip_serializing_if = "is_off")]
    pub feature_matching: FeatureMatching,
    /// The weight of LeCam regularisation (Tseng et al. 2021), which keeps the discriminator's logits on real pairs near
    /// the average of earlier logits on generated pairs, and the reverse, against overfitting to few pairs.
    #[serde(skip_serializing_if = "is_off")]
    pub lecam_weight: f64,
    /// The decay of these averages in each step.
    #[serde(skip_serializing_if = "is_default_decay")]
    pub lecam_decay: f64,
    /// The energy, a mean squared error of images in `[-1, 1]`, up to which D raises that of generated images under
    /// [`GanMode::Energy`]. It should be a few times the energy of real images.
    #[serde(skip_serializing_if = "is_default_margin")]
    pub margin: f64,
    /// The weight of the pulling-away term in the generator's loss under [`GanMode::Energy`], which makes the images of a
    /// batch differ; 0 is off, and 0.1 the EBGAN-PT of the publication (section 2.4).
    #[serde(skip_serializing_if = "is_off")]
    pub pulling_away: f64,
}

/// The default decay of the averages of LeCam regularisation, which is left out of JSON.
const LECAM_DECAY: f64 = 0.99;

fn is_default_decay(decay: &f64) -> bool {
    *decay == LECAM_DECAY
}

/// The default margin, which is left out of JSON.
const MARGIN: f64 = 0.1;

fn is_default_margin(margin: &f64) -> bool {
    *margin == MARGIN
}

impl Default for Pix2PixLossConfig {
    /// Returns the paper's objective, L1+cGAN.
    fn default() -> Self {
        Self {
            gan: GanMode::Vanilla,
            gan_weight: 1.0,
            discriminator_weight: 0.5,
            pixel: PixelLoss::L1,
            l1_weight: 100.0,
            real_label: 1.0,
            gradient_weight: 0.0,
            ssim_weight: 0.0,
            pyramid_weight: 0.0,
            frequency_weight: 0.0,
            feature_weight: 0.0,
            feature_matching: FeatureMatching::Aligned,
            lecam_weight: 0.0,
            lecam_decay: LECAM_DECAY,
            margin: MARGIN,
            pulling_away: 0.0,
        }
    }
}

impl Pix2PixLossConfig {
    /// Creates the configuration of the paper's objective, L1+cGAN.
    ///
    /// # Examples
    /// ```
    /// use pix2pix::{Pix2PixLossConfig, PixelLoss};
    ///
    /// let config = Pix2PixLossConfig::new().with_pixel(PixelLoss::L2);
    /// assert_eq!(config.l1_weight, 100.0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the term that needs the whole batch at once, so that it cannot be computed in parts: its field, why, and the
    /// value of the field that does without it.
    pub(crate) fn of_whole_batches(&self) -> Option<[String; 3]> {
        let term =
            |field: &str, needs: String, remedy: &str| Some([field.to_owned(), needs, remedy.to_owned()]);
        if self.feature_weight > 0.0 && self.feature_matching == FeatureMatching::Statistics {
            return term(
                "loss.feature_matching",
                "statistics needs the means over the whole batch".into(),
                "aligned",
            );
        }
        if self.pulling_away > 0.0 {
            return term(
                "loss.pulling_away",
                format!("{} compares all images of a batch", self.pulling_away),
                "0",
            );
        }
        None
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, its value and the rule.
    pub fn validate(&self) -> Result<()> {
        let structured = self.structured().map(|(field, weight, _)| (field, weight));
        let others = [
            ("loss.gan_weight", self.gan_weight),
            ("loss.l1_weight", self.l1_weight),
            ("loss.feature_weight", self.feature_weight),
            ("loss.lecam_weight", self.lecam_weight),
            ("loss.pulling_away", self.pulling_away),
        ];
        for (field, weight) in others.into_iter().chain(structured) {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Error::config(field, format!("{weight} is not a number of at least 0")));
            }
        }
        for (field, value) in
            [("loss.discriminator_weight", self.discriminator_weight), ("loss.margin", self.margin)]
        {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(field, format!("{value} is not a number above 0")));
            }
        }
        if self.pulling_away > 0.0 && (self.gan != GanMode::Energy || self.gan_weight == 0.0) {
            let problem = format!(
                "{} needs a discriminator that is an auto-encoder, as only that has codes; use 0, or \
                 `--system ebgan`",
                self.pulling_away
            );
            return Err(Error::config("loss.pulling_away", problem));
        }
        if self.gan_weight == 0.0 && self.l1_weight == 0.0 && structured.iter().all(|(_, w)| *w == 0.0) {
            return Err(Error::config(
                "loss.l1_weight",
                "0 leaves nothing to train, because loss.gan_weight is 0 as well; set one of them above 0",
            ));
        }
        if !(0.0..=1.0).contains(&self.real_label) {
            let problem = format!("{} is not a number from 0 to 1", self.real_label);
            return Err(Error::config("loss.real_label", problem));
        }
        if self.feature_weight > 0.0 && self.gan_weight == 0.0 {
            let problem = format!(
                "{} needs the features of a discriminator, and loss.gan_weight is 0; set it above 0, or this to 0",
                self.feature_weight
            );
            return Err(Error::config("loss.feature_weight", problem));
        }
        if self.lecam_weight > 0.0 && self.gan_weight == 0.0 {
            let problem = format!(
                "{} needs the logits of a discriminator, and loss.gan_weight is 0; set it above 0, or this to 0",
                self.lecam_weight
            );
            return Err(Error::config("loss.lecam_weight", problem));
        }
        if !(0.0..1.0).contains(&self.lecam_decay) {
            let problem = format!("{} is out of range; use at least 0 and less than 1", self.lecam_decay);
            return Err(Error::config("loss.lecam_decay", problem));
        }
        Ok(())
    }

    /// Returns the structured distances: field, weight and function.
    pub(super) fn structured(&self) -> [(&'static str, f64, structured::Distance); 4] {
        [
            ("loss.gradient_weight", self.gradient_weight, structured::gradient),
            ("loss.ssim_weight", self.ssim_weight, structured::dissimilarity),
            ("loss.pyramid_weight", self.pyramid_weight, structured::pyramid),
            ("loss.frequency_weight", self.frequency_weight, structured::frequency),
        ]
    }
}
