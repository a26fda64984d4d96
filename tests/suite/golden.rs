//! Compares forward passes, losses, gradients and ten training steps with those of PyTorch in `tests/golden`.
#![cfg(feature = "flex")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use pix2pix::data::{Batch, DataConfig};
use pix2pix::pytorch::{self, Import, StateDict};
use pix2pix::{
    Device, Discriminator, DiscriminatorConfig, DropoutLayout, DropoutMode, Generator, GeneratorConfig, Mode,
    Norm, Pix2PixLoss, Pix2PixLossConfig, Statistics, Tensor, Trainer, TrainingConfig, device,
};
use safetensors::SafeTensors;

// The tolerances are relative to the mean absolute value; for the full-size U-Net they are absolute.
const FORWARD: f32 = 1e-5;
const GRADIENT: f32 = 1e-4;
const TEN_STEPS: f32 = 1e-3;

const MODE: Mode = Mode { statistics: Statistics::Batch, dropout: DropoutMode::Off };

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("safetensors")
}

#[derive(serde::Deserialize)]
struct Case {
    generator: Option<GeneratorConfig>,
    #[serde(default)]
    discriminator: Option<DiscriminatorConfig>,
    #[serde(default)]
    loss: Option<Pix2PixLossConfig>,
}

struct Fixture {
    name: &'static str,
    case: Case,
    tensors: StateDict,
    folder: tempfile::TempDir,
}

impl Fixture {
    fn open(name: &'static str) -> Self {
        let bytes = std::fs::read(path(name)).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let case = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
        Self { name, case, tensors: pytorch::read(path(name)).unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// Writes the tensors whose names have a prefix to a file, without the prefix.
    fn file(&self, prefix: &str) -> PathBuf {
        let part = self.tensors.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
        let state: StateDict = part.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let file = self.folder.path().join(format!("{prefix}safetensors"));
        pytorch::save(&state, &file).unwrap();
        file
    }

    /// Returns how often the images are repeated in each direction, so that large patches fit.
    fn tiles(&self) -> usize {
        match self.name {
            "patch_4" => 2,
            "patch_5" => 3,
            _ => 1,
        }
    }

    /// Returns whether the objective has a discriminator.
    fn is_adversarial(&self) -> bool {
        self.case.loss.as_ref().is_some_and(|loss| loss.gan_weight > 0.0)
    }

    fn generator(&self, device: &Device) -> Generator {
        let config = self.case.generator.as_ref().unwrap();
        Import::open(self.file("state.")).unwrap().generator_as(config, device).unwrap()
    }

    fn discriminator(&self, device: &Device) -> Discriminator {
        let config = self.case.discriminator.as_ref().unwrap();
        if !self.is_adversarial() {
            return config.init(device);
        }
        Import::open(self.file("state_d.")).unwrap().discriminator_as(config, device).unwrap()
    }

    fn expected(&self, key: &str) -> &[f32] {
        &self.tensors[key].1
    }

    /// Compares a tensor with all expected values, or with a sample of every 29th value.
    fn check(&self, key: &str, found: Tensor<4>) {
        let found = values(found);
        let expected = self.expected(key);
        let step = if found.len() == expected.len() { 1 } else { 29 };
        let found: Vec<f32> = found.into_iter().step_by(step).collect();
        assert_eq!(found.len(), expected.len(), "{} {key}", self.name);
        close(&format!("{} {key}", self.name), &found, expected, FORWARD);
    }

    /// Compares tensors by name with their digests: the mean, the mean absolute value and six values of each.
    fn check_digest(&self, key: &str, prefix: &str, found: &BTreeMap<String, Vec<f32>>, tolerance: f32) {
        let names = self.tensors.keys().filter_map(|name| name.strip_prefix(prefix));
        let rows = self.expected(key).chunks_exact(8);
        assert_eq!(names.clone().count(), rows.len(), "{} {key}", self.name);
        for (name, row) in names.zip(rows) {
            if row.iter().any(|&value| value != 0.0) {
                let found = digest(&found[name]);
                let scale = row[1].abs();
                let worst = found.iter().zip(row).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
                assert!(worst <= tolerance, "{} {key} {name}: {worst:e}\n{found:?}\n{row:?}", self.name);
            }
        }
    }
}

/// Returns the digest of a tensor, as `make.py` computes it.
fn digest(values: &[f32]) -> Vec<f32> {
    let n = values.len();
    let count = n as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let size = values.iter().map(|&v| f64::from(v).abs()).sum::<f64>() / count;
    let m = n.min(6);
    let sample = |i: usize| if m == 1 { values[0] } else { values[i * (n - 1) / (m - 1)] };
    let mut row = vec![mean as f32, size as f32];
    row.extend((0..m).map(sample));
    row.resize(8, 0.0);
    row
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Panics if values differ by more than `tolerance` times their mean absolute value.
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    let scale = expected.iter().map(|value| value.abs()).sum::<f32>() / expected.len() as f32;
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(
        worst <= tolerance * scale.max(1e-3),
        "{what} differs by {worst:e}; the mean absolute value is {scale:e}"
    );
}

/// Returns the images that all cases use, `[2, channels, 32·times, 32·times]`.
fn image(name: &str, channels: usize, times: usize, device: &Device) -> Tensor<4> {
    let bytes = std::fs::read(path("pictures")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> = view.data().iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    let all = view.shape()[1];
    let image = Tensor::<1>::from_floats(values.as_slice(), device).reshape([2, all, 32, 32]);
    image.narrow(1, 0, channels).repeat(&[1, 1, times, times])
}

/// Returns the network with its parameters replaced by their gradients, so that these have names.
fn gradients<M: Module>(loss: Tensor<1>, network: &M) -> M {
    struct Swap(GradientsParams);
    impl ModuleMapper for Swap {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            let grad = self.0.remove::<D>(id).unwrap_or_else(|| value.clone().inner().zeros_like());
            Param::from_mapped_value(id, grad.autodiff(), mapper)
        }
    }
    // Running statistics have no gradient and become zeros. All clones share them, so the caller must not use the
    // network again.
    let grads = GradientsParams::from_grads(loss.backward(), network);
    network.clone().map(&mut Swap(grads))
}

fn by_name(state: StateDict) -> BTreeMap<String, Vec<f32>> {
    state.into_iter().map(|(key, (_, values))| (key, values)).collect()
}

/// Compares the logits, and the gradients of the discriminator, in the first step.
fn check_discriminator(
    fixture: &Fixture,
    discriminator: &Discriminator,
    loss: &Pix2PixLoss,
    [input, target, output]: [&Tensor<4>; 3],
) {
    let fake = discriminator.forward(input.clone(), output.clone().detach(), MODE);
    let real = discriminator.forward(input.clone(), target.clone(), MODE);
    fixture.check("logits_fake", fake.clone());
    fixture.check("logits_real", real.clone());
    let d = loss.discriminator(real, fake);
    let grads = gradients(d.total(), discriminator);
    let grads = by_name(pytorch::discriminator_state(&grads).unwrap());
    fixture.check_digest("grad_d", "state_d.", &grads, GRADIENT);
}

/// Compares the losses of a step.
fn check_losses(fixture: &Fixture, step: usize, losses: [(&str, Option<f32>); 4]) {
    for (key, found) in losses {
        assert_eq!(found.is_some(), fixture.tensors.contains_key(key), "{} {key}", fixture.name);
        let Some(found) = found else { continue };
        let what = format!("{} {key} {step}", fixture.name);
        close(&what, &[found], &fixture.expected(key)[step..=step], GRADIENT);
    }
}

/// Compares the changes of both networks since the `start` after some steps.
fn check_changes(
    fixture: &Fixture,
    steps: usize,
    [start_g, start_d]: [&BTreeMap<String, Vec<f32>>; 2],
    trainer: &Trainer,
) {
    let g = change(start_g, pytorch::generator_state(trainer.generator()).unwrap());
    fixture.check_digest(&format!("moved{steps}"), "state.", &g, TEN_STEPS);
    let d = change(start_d, pytorch::discriminator_state(trainer.discriminator()).unwrap());
    if fixture.is_adversarial() {
        fixture.check_digest(&format!("moved{steps}_d"), "state_d.", &d, TEN_STEPS);
    } else {
        let is_same = d.values().flatten().all(|&value| value == 0.0);
        assert!(is_same, "{}: an unused discriminator changes", fixture.name);
    }
}

/// Returns the change of every parameter since the `start`.
fn change(start: &BTreeMap<String, Vec<f32>>, now: StateDict) -> BTreeMap<String, Vec<f32>> {
    let difference = |(key, now): (String, Vec<f32>)| {
        let values: Vec<f32> = now.iter().zip(&start[&key]).map(|(now, then)| now - then).collect();
        (key, values)
    };
    by_name(now).into_iter().map(difference).collect()
}

/// Compares the first step in detail, and the losses and updates of ten steps, with those of PyTorch.
fn trains_like_pytorch(name: &'static str) {
    let fixture = Fixture::open(name);
    let generator_config = fixture.case.generator.clone().unwrap();
    let loss_config = fixture.case.loss.clone().unwrap();
    let device = device::cpu();
    let training = device.clone().autodiff();
    let times = fixture.tiles();
    let input = image("input", generator_config.input_channels, times, &training);
    let target = image("target", generator_config.output_channels, times, &training);

    // The first step without a trainer: outputs, logits, losses and gradients.
    let (generator, discriminator) = (fixture.generator(&training), fixture.discriminator(&training));
    let loss = loss_config.init();
    let output = generator.forward(input.clone(), MODE);
    if times == 1 {
        fixture.check("output", output.clone());
    }
    if fixture.is_adversarial() {
        check_discriminator(&fixture, &discriminator, &loss, [&input, &target, &output]);
    }

    // Ten steps of the trainer.
    let data = DataConfig::new()
        .with_input_channels(generator_config.input_channels)
        .with_target_channels(generator_config.output_channels)
        .with_crop_size(32 * times)
        .with_load_size(32 * times);
    let networks = (fixture.generator(&device), fixture.discriminator(&device));
    let recipe = TrainingConfig::new();
    let trainer = Trainer::from_networks(networks.0, networks.1, loss_config, data, recipe, &device);
    let mut trainer = trainer.unwrap();
    trainer.next_epoch();
    let start_g = by_name(pytorch::generator_state(trainer.generator()).unwrap());
    let start_d = by_name(pytorch::discriminator_state(trainer.discriminator()).unwrap());
    for step in 0..10 {
        let losses = trainer.step(Batch { input: input.clone(), target: target.clone() }).read().unwrap();
        let named = [
            ("loss.g_gan", losses.g_gan),
            ("loss.g_l1", losses.g_l1),
            ("loss.d_real", losses.d_real),
            ("loss.d_fake", losses.d_fake),
        ];
        check_losses(&fixture, step, named);
        if step == 0 {
            // The second half of the first step: the updated discriminator sees the output of the generator before its
            // update. A clone would share its running statistics; `detached` copies them.
            let updated = trainer.discriminator().detached().fork(&training).no_grad();
            let logits = fixture.is_adversarial();
            let logits = logits.then(|| updated.forward(input.clone(), output.clone(), MODE));
            let g = loss.generator(logits.map(Into::into), output.clone(), target.clone());
            let grads = by_name(pytorch::generator_state(&gradients(g.total(), &generator)).unwrap());
            fixture.check_digest("grad", "state.", &grads, GRADIENT);
        }
        if step == 0 && times == 1 && generator_config.norm != Norm::None {
            let output = trainer.generator().forward(input.clone(), Mode::RUNNING);
            fixture.check("output_running", output);
        }
        if step == 0 || step == 9 {
            check_changes(&fixture, step + 1, [&start_g, &start_d], &trainer);
        }
    }
}

#[test]
fn unet_with_batch_norm_trains_like_pytorch() {
    trains_like_pytorch("unet_batch");
}

#[test]
fn unet_with_instance_norm_trains_like_pytorch() {
    trains_like_pytorch("unet_instance");
}

#[test]
fn unet_with_affine_instance_norm_trains_like_pytorch() {
    trains_like_pytorch("unet_instance_affine");
}

#[test]
fn unet_without_norm_trains_like_pytorch() {
    trains_like_pytorch("unet_none");
}

#[test]
fn unet_with_nearest_resizing_trains_like_pytorch() {
    trains_like_pytorch("unet_nearest");
}

#[test]
fn unet_with_bilinear_resizing_trains_like_pytorch() {
    trains_like_pytorch("unet_bilinear");
}

#[test]
fn encoder_decoder_trains_like_pytorch() {
    trains_like_pytorch("encoder_decoder");
}

#[test]
fn resnet_with_batch_norm_trains_like_pytorch() {
    trains_like_pytorch("resnet_batch");
}

#[test]
fn resnet_with_instance_norm_trains_like_pytorch() {
    trains_like_pytorch("resnet_instance");
}

#[test]
fn unet_with_l1_alone_trains_like_pytorch() {
    trains_like_pytorch("unet_l1");
}

#[test]
fn discriminator_of_142_pixel_patches_trains_like_pytorch() {
    trains_like_pytorch("patch_4");
}

#[test]
fn discriminator_of_286_pixel_patches_trains_like_pytorch() {
    trains_like_pytorch("patch_5");
}

#[test]
#[cfg(feature = "pth")]
fn a_resnet_whose_dropout_shifts_its_names_computes_like_pytorch() {
    let fixture = Fixture::open("resnet_dropout");
    let file = path("resnet_dropout").with_extension("pth");
    let device = device::cpu();
    let generator = Import::open(file).unwrap().generator(&device).unwrap();
    let expected =
        fixture.case.generator.clone().map(|config| config.with_dropout_layout(DropoutLayout::Pytorch));
    assert_eq!(Some(generator.config()), expected.as_ref());
    fixture.check("output", generator.forward(image("input", 1, 1, &device), Mode::RUNNING));
}

/// Returns the number in `[-1, 1)` that `make.py --full` assigns to value `index` of parameter `number`.
fn uniform(number: u64, index: u64) -> f32 {
    let mut z = ((number << 32) | index).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    ((z >> 40) as f64 / f64::from(1 << 24) * 2.0 - 1.0) as f32
}

#[test]
fn the_full_size_unet_computes_like_pytorch() {
    struct Fill(u64, String);
    impl ModuleMapper for Fill {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.1 = name.to_owned();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if self.1.starts_with("running") {
                return param;
            }
            let number = self.0;
            self.0 += 1;
            let (id, value, mapper) = param.consume();
            let is_scale = D == 1 && self.1 == "weight";
            let base = if is_scale { 1.0 } else { 0.0 };
            let shape = value.dims();
            let count = shape.iter().product::<usize>() as u64;
            let values: Vec<f32> = (0..count).map(|i| base + 0.06 * uniform(number, i)).collect();
            let filled = Tensor::<1>::from_floats(values.as_slice(), &value.device()).reshape(shape);
            Param::from_mapped_value(id, filled, mapper)
        }
    }
    let fixture = Fixture::open("unet256");
    let config = fixture.case.generator.clone().unwrap();
    let device = device::cpu();
    let generator = config.init(&device).map(&mut Fill(0, String::new()));
    let input: Vec<f32> = (0..3 * 256 * 256).map(|i| uniform(1000, i)).collect();
    let input = Tensor::<1>::from_floats(input.as_slice(), &device).reshape([1, 3, 256, 256]);
    let output = values(generator.forward(input.clone(), MODE));
    let sampled = |output: &[f32]| (0..64).map(|i| output[i * (output.len() - 1) / 63]).collect::<Vec<f32>>();
    // Outputs are compared absolutely: 1e-5 is a thousandth of a grey level.
    let compare = |what, found: &[f32]| {
        let worst = found.iter().zip(fixture.expected(what)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= FORWARD, "unet256 {what}: differs by {worst:e}");
    };
    compare("pixels", &sampled(&output));
    // A forward pass in training updates the running statistics.
    let training = generator.fork(&device.clone().autodiff());
    training.forward(input.clone().autodiff(), MODE);
    let output_running = training.detached().forward(input, Mode::RUNNING);
    compare("pixels_running", &sampled(&values(output_running)));
    let mean = |channel: usize, row: usize, column: usize| {
        let pixel = |i: usize| output[(channel * 256 + row * 16 + i / 16) * 256 + column * 16 + i % 16];
        (0..256).map(pixel).sum::<f32>() / 256.0
    };
    let cells = (0..3 * 16 * 16).map(|i| mean(i / 256, i / 16 % 16, i % 16));
    compare("grid", &cells.collect::<Vec<f32>>());
}
