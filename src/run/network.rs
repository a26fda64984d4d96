//! A network in burn's record format.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor};

use crate::error::{Error, Result};
use crate::files::{self, MAX_RECORD};
use crate::pack::{Packed, Part};
use crate::transfer::read_data;

/// Returns a network's file, the same as burn's `into_record().into_bytes()`, which panics if a read fails; `folder` is
/// where it is to be written.
///
/// # Errors
/// As [`Packed::new`].
pub(super) fn packed<M: Module>(network: &M, folder: &Path) -> Result<Packed> {
    Packed::new(collect(network), &[], folder)
}

/// Returns the network with the weights of a record file.
///
/// The whole file is read at once: burn's own reader would read each parameter when it is used, and panic if that fails.
///
/// # Errors
/// [`Error::Checkpoint`] if the file is damaged, does not fit the network, or holds NaN or infinite values;
/// [`Error::Io`] if it cannot be read.
pub(super) fn load<M: Module>(network: M, path: &Path) -> Result<M> {
    let bytes = files::read(path, MAX_RECORD).map_err(|error| Error::io(path, error))?;
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
    let record = record.map_err(|error| Error::corrupt(path, error))?;
    let network = network.try_load_record(record).map_err(|error| Error::corrupt(path, error))?;
    let mut ids = BTreeSet::new();
    for part in collect(&network) {
        // Gradients and moments are found by these ids.
        if !ids.insert(part.id) {
            return Err(Error::corrupt(path, format!("two parameters have the id {}", part.id)));
        }
        let data = read_data(part.values)?;
        if data.as_slice::<f32>().is_ok_and(|values| values.iter().any(|value| !value.is_finite())) {
            let problem = format!("`{}` holds NaN or infinite values: the training diverged", part.name);
            return Err(Error::corrupt(path, problem));
        }
    }
    Ok(network)
}

/// Returns the parameters of a network.
fn collect<M: Module>(network: &M) -> Vec<Part> {
    let mut collector = Collect { path: vec![], parts: vec![] };
    network.visit(&mut collector);
    collector.parts
}

struct Collect {
    path: Vec<String>,
    parts: Vec<Part>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.transform_for_save().val();
        let (name, shape, id) = (self.path.join("."), value.shape(), param.id.val());
        let values = value.reshape([shape.num_elements()]);
        self.parts.push(Part { name, shape, id, values });
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::config::Pix2PixConfig;
    use crate::device;
    use crate::generator::Backbone;

    #[test]
    fn parameters_with_the_same_id_are_refused() {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        config.discriminator.base_channels = 2;
        let network = config.discriminator.init_seeded(1, &device::cpu());
        let mut parts = collect(&network);
        let id = parts[0].id;
        parts.iter_mut().for_each(|part| part.id = id);
        let bytes = Packed::new(parts, &[], Path::new("run")).unwrap().to_vec();
        let file = tempfile::NamedTempFile::with_suffix(".bpk").unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let message = load(network, file.path()).unwrap_err().to_string();
        assert!(message.contains("two parameters have the id"), "{message}");
    }

    #[test]
    fn the_bytes_are_those_of_burns_record() {
        let mut config = Pix2PixConfig::paper().with_size(32).unwrap();
        (config.generator.base_channels, config.discriminator.base_channels) = (2, 2);
        let device = device::cpu().autodiff();
        let discriminator = config.discriminator.init_seeded(1, &device);
        let expected = discriminator.clone().into_record().into_bytes().unwrap();
        assert!(packed(&discriminator, Path::new("run")).unwrap().to_vec() == expected[..]);
        for backbone in [config.generator.backbone, Backbone::Resnet { blocks: 1 }] {
            config.generator.backbone = backbone;
            let generator = config.generator.init_seeded(1, &device);
            let expected = generator.clone().into_record().into_bytes().unwrap();
            assert!(packed(&generator, Path::new("run")).unwrap().to_vec() == expected[..], "{backbone:?}");
        }
    }

    #[test]
    fn a_record_with_nan_is_refused() {
        let config = Pix2PixConfig::paper().discriminator.with_base_channels(2).with_layers(0);
        let network = config.init_seeded(1, &device::cpu());
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = packed(&network, Path::new("run")).unwrap().to_vec();
        std::fs::write(file.path(), &bytes).unwrap();
        load(config.init(&device::cpu()), file.path()).unwrap();
        let end = bytes.len() - 4;
        std::fs::write(file.path(), [&bytes[..end], &f32::NAN.to_le_bytes()[..]].concat()).unwrap();
        let message = load(config.init(&device::cpu()), file.path()).unwrap_err().to_string();
        assert!(message.contains("holds NaN or infinite values"), "{message}");
    }
}
