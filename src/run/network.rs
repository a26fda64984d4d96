//! A network in burn's record format.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::pack::{Packed, Part};

/// Returns a network's file, the same as burn's `into_record().into_bytes()`, which panics if a read fails; `folder` is
/// where it is to be written.
///
/// # Errors
/// As [`Packed::new`].
pub(super) fn packed<M: Module>(network: &M, folder: &Path) -> Result<Packed> {
    let mut collector = Collect { path: vec![], parts: vec![] };
    network.visit(&mut collector);
    Packed::new(collector.parts, &[], folder)
}

/// Returns the network with the weights of a record file.
///
/// # Errors
/// [`Error::Checkpoint`] if the file is damaged or does not fit the network.
pub(super) fn load<M: Module>(network: M, path: &Path) -> Result<M> {
    let record = ModuleRecord::load(path).map_err(|error| Error::corrupt(path, error))?;
    network.try_load_record(record).map_err(|error| Error::corrupt(path, error))
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
}
