//! Adam (Kingma & Ba 2015) over a whole network, in place on the CPU.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Bytes, Device, Shape, Tensor, TensorData};
use burn_pack::{Reader, Scalar};

use super::clip::{self, Scale};
use crate::config::TrainingConfig;
use crate::error::{Error, Result};
use crate::files::{self, MAX_RECORD};
use crate::kernels::AdamRule;
#[cfg(feature = "_cube")]
use crate::kernels::update_parameter;
use crate::pack::{Packed, Part};

/// Added to the denominator against division by zero: PyTorch's value, while burn's default is 1e-5.
const EPSILON: f32 = 1e-8;

/// The optimiser of one network.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    beta_1: f32,
    beta_2: f32,
    clip_norm: Option<f64>,
    moments: BTreeMap<u64, Moments>,
}

/// Adam's moments of one parameter, flattened.
#[derive(Clone, Debug)]
struct Moments {
    time: u64,
    shape: Vec<usize>,
    first: Tensor<1>,
    second: Tensor<1>,
}

impl Adam {
    /// Creates an optimiser without moments.
    pub(crate) fn new(config: &TrainingConfig) -> Self {
        Self {
            beta_1: config.beta_1 as f32,
            beta_2: config.beta_2 as f32,
            clip_norm: config.clip_norm,
            moments: BTreeMap::new(),
        }
    }

    /// Updates every parameter of `module` that has a gradient. The gradients are clipped by their norm over the whole
    /// network. Does not wait for a GPU.
    pub(crate) fn step<M: Module>(&mut self, learning_rate: f64, module: M, grads: GradientsParams) -> M {
        let scale = self.clip_norm.map_or(Scale::ONE, |limit| clip::scale(&module, &grads, limit));
        self.scaled_step(learning_rate, module, grads, scale)
    }

    /// Updates every parameter of `module` that has a gradient, with gradients multiplied by `scale`.
    fn scaled_step<M: Module>(
        &mut self,
        learning_rate: f64,
        module: M,
        grads: GradientsParams,
        scale: Scale,
    ) -> M {
        module.map(&mut Step { adam: self, grads, learning_rate: learning_rate as f32, scale })
    }

    /// Returns the file of the moments in burn's record format, parameters in the order of their ids; `folder` is where
    /// it is to be written.
    ///
    /// # Errors
    /// As [`Packed::new`].
    pub(crate) fn packed(&self, folder: &Path) -> Result<Packed> {
        let mut parts = Vec::new();
        let mut scalars = Vec::new();
        for (id, moments) in &self.moments {
            for (name, tensor) in [("moment_1", &moments.first), ("moment_2", &moments.second)] {
                let name = format!("{id}.momentum.{name}");
                let (shape, values) = (Shape::from(moments.shape.clone()), tensor.clone());
                parts.push(Part { name, shape, id: *id, values });
            }
            scalars.push((format!("{id}.momentum.time"), Scalar::from(moments.time)));
            scalars.push((format!("{id}.__rank"), Scalar::from(moments.shape.len() as u64)));
        }
        Packed::new(parts, &scalars, folder)
    }

    /// Reads the moments of `network` from a file written from [`packed`](Self::packed).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Checkpoint`] if it is damaged, or its moments are not those of
    /// all learned parameters of the network. Without `was_updated`, it may also hold none.
    pub(crate) fn load<M: Module>(
        mut self,
        path: &Path,
        network: &M,
        was_updated: bool,
        device: &Device,
    ) -> Result<Self> {
        let corrupt = |problem: &dyn std::fmt::Display| Error::corrupt(path, problem.to_string());
        // At once: a reader of the file would read each moment when it is used, and panic if that fails.
        let bytes = files::read(path, MAX_RECORD).map_err(|error| Error::io(path, error))?;
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|error| corrupt(&error))?;
        let scalars = reader.scalars().clone();
        let mut found: BTreeMap<u64, BTreeMap<String, TensorData>> = BTreeMap::new();
        for tensor in reader.into_tensors().map_err(|error| corrupt(&error))? {
            let (name, dtype, shape, id, bytes) = tensor.into_parts().map_err(|error| corrupt(&error))?;
            let id = id.ok_or_else(|| corrupt(&format!("`{name}` does not name its parameter")))?;
            // A copy, because each tensor would otherwise keep the whole file in memory.
            let bytes = Bytes::from_bytes_vec(bytes.to_vec());
            let field = name.rsplit('.').next().unwrap_or_default().to_owned();
            found.entry(id).or_default().insert(field, TensorData::from_bytes(bytes, shape, dtype));
        }
        for (id, mut fields) in found {
            let time = scalars.get(&format!("{id}.momentum.time")).and_then(|time| u64::try_from(*time).ok());
            let [first, second] = ["moment_1", "moment_2"].map(|name| fields.remove(name));
            let (Some(time), Some(first), Some(second)) = (time, first, second) else {
                return Err(corrupt(&format!("parameter {id} is incomplete")));
            };
            let shape = first.shape().as_slice().to_vec();
            let flat = |data: TensorData| {
                let (bytes, shape, dtype) = data.into_parts();
                let count = shape.num_elements();
                Tensor::from_data(TensorData::from_bytes(bytes, [count], dtype).convert::<f32>(), device)
            };
            self.moments.insert(id, Moments { time, shape, first: flat(first), second: flat(second) });
        }
        if was_updated || !self.moments.is_empty() {
            self.check_moments(network).map_err(|problem| corrupt(&problem))?;
        }
        Ok(self)
    }

    /// Returns the rule of update number `time`, counted from 1.
    fn rule(&self, time: u64, learning_rate: f32, scale: f32) -> AdamRule {
        let corrected = |beta: f32| 1.0 - f64::from(beta).powi(time.min(i32::MAX as u64) as i32);
        let root = corrected(self.beta_2).sqrt();
        AdamRule {
            beta_1: self.beta_1,
            beta_2: self.beta_2,
            step_size: (f64::from(learning_rate) * root / corrected(self.beta_1)) as f32,
            epsilon: (f64::from(EPSILON) * root) as f32,
            gradient_scale: scale,
        }
    }

    /// Compares the moments with the learned parameters of `network`, by id and shape.
    fn check_moments<M: Module>(&self, network: &M) -> std::result::Result<(), String> {
        let mut learned = Learned::default();
        network.visit(&mut learned);
        for (id, shape) in &learned.shapes {
            match self.moments.get(id) {
                None => return Err(format!("the moments of parameter {id} are missing")),
                Some(moments) if moments.shape != *shape => {
                    return Err(format!(
                        "the moments of parameter {id} have the shape {:?}, the parameter {shape:?}",
                        moments.shape
                    ));
                }
                Some(_) => {}
            }
        }
        match self.moments.keys().find(|id| !learned.shapes.contains_key(id)) {
            Some(id) => Err(format!("it holds moments of {id}, which is not a parameter of the network")),
            None => Ok(()),
        }
    }
}

/// Collects the shapes of a network's learned parameters by id; running statistics are not learned.
#[derive(Default)]
struct Learned {
    field: String,
    shapes: BTreeMap<u64, Vec<usize>>,
}

impl ModuleVisitor for Learned {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.field = name.to_owned();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.field.starts_with("running_") {
            self.shapes.insert(param.id.val(), param.lazy_shape().as_slice().to_vec());
        }
    }
}

/// Updates a network parameter by parameter.
struct Step<'a> {
    adam: &'a mut Adam,
    grads: GradientsParams,
    learning_rate: f32,
    scale: Scale,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(grad) = self.grads.remove::<D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let shape = tensor.dims();
        let count: usize = shape.iter().product();
        let moments = self.adam.moments.remove(&id.val()).unwrap_or_else(|| {
            let zeros = || Tensor::zeros([count], &grad.device());
            Moments { time: 0, shape: shape.to_vec(), first: zeros(), second: zeros() }
        });
        let flat = |tensor: Tensor<D>| tensor.inner().reshape([count]);
        let grad = match &self.scale.tensor {
            Some(scale) => flat(grad) * scale.clone(),
            None => flat(grad),
        };
        let rule = self.adam.rule(moments.time + 1, self.learning_rate, self.scale.number);
        let (value, moments) = apply(rule, flat(tensor), grad, moments);
        self.adam.moments.insert(id.val(), moments);
        let value = value.reshape(shape).autodiff().require_grad();
        Param::from_mapped_value(id, value, mapper)
    }
}

/// Returns one parameter and its moments after an update.
fn apply(rule: AdamRule, value: Tensor<1>, grad: Tensor<1>, moments: Moments) -> (Tensor<1>, Moments) {
    #[cfg(feature = "_host")]
    if crate::device::is_host(&grad.device()) {
        return apply_on_host(rule, value, grad, moments);
    }
    #[cfg(feature = "_cube")]
    if crate::device::is_cube(&grad.device()) {
        let Moments { time, shape, first, second } = moments;
        let [value, first, second] = update_parameter([value, first, second, grad], rule);
        return (value, Moments { time: time + 1, shape, first, second });
    }
    let AdamRule { beta_1, beta_2, step_size, epsilon, gradient_scale } = rule;
    let grad = grad * gradient_scale;
    let first = moments.first * beta_1 + grad.clone() * (1.0 - beta_1);
    let second = moments.second * beta_2 + grad.square() * (1.0 - beta_2);
    let change = first.clone() / (second.clone().sqrt() + epsilon) * step_size;
    (value - change, Moments { time: moments.time + 1, first, second, ..moments })
}

/// Updates in one pass over memory, in place: a tensor without other owners gives its buffer away.
#[cfg(feature = "_host")]
fn apply_on_host(
    rule: AdamRule,
    value: Tensor<1>,
    grad: Tensor<1>,
    moments: Moments,
) -> (Tensor<1>, Moments) {
    let device = grad.device();
    let mut data = [value, moments.first, moments.second].map(Tensor::into_data);
    let grad = grad.into_data();
    {
        let [value, first, second] = data.each_mut().map(|data| data.as_mut_slice::<f32>());
        // The networks that the crate builds hold f32, and so do the moments.
        let (Ok(value), Ok(first), Ok(second), Ok(grad)) = (value, first, second, grad.as_slice::<f32>())
        else {
            panic!("parameters, gradients and moments are f32");
        };
        rule.update(value, first, second, grad);
    }
    let [value, first, second] = data.map(|data| Tensor::from_data(data, &device));
    (value, Moments { time: moments.time + 1, first, second, ..moments })
}

#[cfg(test)]
impl Adam {
    /// Returns the gradients of the first step as they were applied, parameter by parameter.
    pub(crate) fn first_gradients(&self) -> Vec<f32> {
        let first =
            |moments: &Moments| crate::transfer::read_back(moments.first.clone()).expect("on the CPU");
        self.moments.values().flat_map(first).map(|value| value / (1.0 - self.beta_1)).collect()
    }
}

#[cfg(all(test, feature = "flex"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::module::ParamId;
    use burn::optim::AdamConfig;

    use super::*;

    #[derive(Module, Debug)]
    struct Weights {
        values: Param<Tensor<1>>,
    }

    #[test]
    fn moments_of_other_parameters_are_refused_when_loaded() {
        let device = crate::device::cpu().autodiff();
        let weights = |id, count: usize| {
            let values = Tensor::<1>::ones([count], &device).require_grad();
            Weights { values: Param::initialized(ParamId::from(id), values) }
        };
        let network = weights(7, 3);
        let loss = (network.values.val() * 2.0).sum();
        let grads = GradientsParams::from_grads(loss.backward(), &network);
        let new = || Adam::new(&TrainingConfig::new());
        let mut adam = new();
        let network = adam.step(0.01, network, grads);

        let file = tempfile::NamedTempFile::new().unwrap();
        let load = |adam: &Adam, network: &Weights, was_updated| {
            std::fs::write(file.path(), adam.packed(file.path()).unwrap().to_vec()).unwrap();
            new()
                .load(file.path(), network, was_updated, &crate::device::cpu())
                .map_err(|error| error.to_string())
        };
        assert_eq!(load(&adam, &network, true).unwrap().moments[&7].time, 1);
        assert!(load(&new(), &network, false).unwrap().moments.is_empty());
        for (adam, network, problem) in [
            (&new(), &network, "the moments of parameter 7 are missing"),
            (&adam, &weights(8, 3), "the moments of parameter 8 are missing"),
            (&adam, &weights(7, 4), "the moments of parameter 7 have the shape [3], the parameter [4]"),
        ] {
            let message = load(adam, network, true).unwrap_err();
            assert!(message.contains(problem) && message.contains("damaged"), "{message}");
        }
        // One parameter more than the network has.
        adam.moments.insert(9, adam.moments[&7].clone());
        let message = load(&adam, &network, true).unwrap_err();
        assert!(message.contains("moments of 9, which is not a parameter"), "{message}");
    }

    #[test]
    fn a_scale_on_the_device_is_that_of_the_host() {
        let device = crate::device::cpu();
        let update = |scale| {
            let values = Tensor::<1>::ones([3], &device.clone().autodiff()).require_grad();
            let network = Weights { values: Param::from_tensor(values) };
            let loss = (network.values.val().square() * 1e-8).sum();
            let grads = GradientsParams::from_grads(loss.backward(), &network);
            let network = Adam::new(&TrainingConfig::new()).scaled_step(0.01, network, grads, scale);
            network.values.val().into_data().try_into_vec::<f32>().unwrap()
        };
        // The gradients are about as large as epsilon, so that the update depends on the scale.
        let [host, on_device, unscaled] = [
            Scale { number: 0.25, tensor: None },
            Scale { number: 1.0, tensor: Some(Tensor::from_floats([0.25], &device)) },
            Scale::ONE,
        ]
        .map(update);
        assert_eq!(host, on_device);
        assert!(unscaled[0] < host[0] - 1e-3, "{unscaled:?} {host:?}");
    }

    #[test]
    fn ten_updates_equal_those_of_burns_adam() {
        let device = crate::device::cpu().autodiff();
        let wave = |phase: f32| {
            let values: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.37 + phase).sin()).collect();
            Tensor::<1>::from_floats(values.as_slice(), &device)
        };
        let weights = || Weights { values: Param::from_tensor(wave(0.0)) };
        let gradients = |weights: &Weights, step: u8| {
            let loss = (weights.values.val() * wave(f32::from(step))).sum();
            GradientsParams::from_grads(loss.backward(), weights)
        };
        let config = TrainingConfig::new();
        let (mut ours, mut adam) = (weights(), Adam::new(&config));
        let (beta_1, beta_2) = (config.beta_1 as f32, config.beta_2 as f32);
        let theirs = AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(EPSILON);
        let (mut burns, mut theirs) = (weights(), theirs.init());
        for step in 0..10 {
            let grads = gradients(&ours, step);
            ours = adam.step(0.01, ours, grads);
            let grads = gradients(&burns, step);
            burns = theirs.step(0.01, burns, grads);
        }
        let values = |weights: Weights| weights.values.val().into_data().try_into_vec::<f32>().unwrap();
        let worst = values(ours).iter().zip(values(burns)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{worst:e}");
    }
}
