//! A network in burn's record format.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Tensor};
use burn_pack::Writer;

use crate::error::{Error, Result};
use crate::files::{self, MAX_RECORD};
use crate::transfer::read_data;

/// Returns a network's bytes, the same as burn's `into_record().into_bytes()`, which panics if a read fails; `folder` is
/// where they are to be written.
///
/// # Errors
/// [`Error::Device`] if the device fails to return a parameter.
pub(super) fn to_bytes<M: Module>(network: &M, folder: &Path) -> Result<Bytes> {
    let mut collector = Collect { path: vec![], tensors: Ok(vec![]) };
    network.visit(&mut collector);
    let writer = Writer::new(collector.tensors?);
    writer.into_bytes().map_err(|error| Error::io(folder, io::Error::other(error)))
}

/// Returns the network with the weights of a record file.
///
/// The whole file is read at once: burn's own reader would read each parameter when it is used, and panic if that fails.
///
/// # Errors
/// [`Error::Checkpoint`] if the file is damaged or does not fit the network; [`Error::Io`] if it cannot be read.
pub(super) fn load<M: Module>(network: M, path: &Path) -> Result<M> {
    let bytes = files::read(path, MAX_RECORD).map_err(|error| Error::io(path, error))?;
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes));
    let record = record.map_err(|error| Error::corrupt(path, error))?;
    let network = network.try_load_record(record).map_err(|error| Error::corrupt(path, error))?;
    let mut ids = Ids::default();
    network.visit(&mut ids);
    match ids.repeated {
        Some(id) => Err(Error::corrupt(path, format!("two parameters have the id {id}"))),
        None => Ok(network),
    }
}

/// Collects the ids of parameters, by which gradients and moments are found.
#[derive(Default)]
struct Ids {
    seen: BTreeSet<u64>,
    repeated: Option<u64>,
}

impl ModuleVisitor for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let id = param.id.val();
        if !self.seen.insert(id) {
            self.repeated = Some(id);
        }
    }
}

struct Collect {
    path: Vec<String>,
    /// The parameters, or the error of the first read that failed; later parameters are not read.
    tensors: Result<Vec<burn_pack::Tensor>>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(tensors) = &mut self.tensors else { return };
        match read_data(param.transform_for_save().val()) {
            Ok(data) => {
                let ((bytes, shape, dtype), id) = (data.into_parts(), param.id.val());
                tensors.push(burn_pack::Tensor::new(self.path.join("."), dtype, shape, Some(id), bytes));
            }
            Err(error) => self.tensors = Err(error),
        }
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
        let mut collector = Collect { path: vec![], tensors: Ok(vec![]) };
        network.visit(&mut collector);
        let mut first = None;
        let tensors = collector.tensors.unwrap().into_iter().map(|tensor| {
            let (name, dtype, shape, id, bytes) = tensor.into_parts().unwrap();
            let id = *first.get_or_insert(id.unwrap());
            burn_pack::Tensor::new(name, dtype, shape, Some(id), bytes)
        });
        let bytes = Writer::new(tensors.collect()).into_bytes().unwrap();
        let file = tempfile::NamedTempFile::with_suffix(".bpk").unwrap();
        std::fs::write(file.path(), &bytes[..]).unwrap();
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
        assert!(to_bytes(&discriminator, Path::new("run")).unwrap()[..] == expected[..]);
        for backbone in [config.generator.backbone, Backbone::Resnet { blocks: 1 }] {
            config.generator.backbone = backbone;
            let generator = config.generator.init_seeded(1, &device);
            let expected = generator.clone().into_record().into_bytes().unwrap();
            assert!(to_bytes(&generator, Path::new("run")).unwrap()[..] == expected[..], "{backbone:?}");
        }
    }
}
