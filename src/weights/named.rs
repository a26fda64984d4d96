//! Parameters by name, and the names of a module's parameters.

use std::collections::BTreeMap;

/// The shape and the values of a parameter.
pub(crate) type Parameter = (Vec<usize>, Vec<f32>);

/// Parameters by name, with their shapes.
pub(crate) type Named = BTreeMap<String, Parameter>;

/// The path to the current parameter, without the names of enum variants: a network uses only one variant.
#[derive(Default)]
pub(super) struct Names(Vec<Option<String>>);

impl Names {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_owned()));
    }

    pub(super) fn exit(&mut self) {
        self.0.pop();
    }

    pub(super) fn path(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}
