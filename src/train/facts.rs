//! What the page says about a run besides its curves.

use std::path::Path;

use serde_json::Value;

use super::Trainer;
use crate::data::PairedFolder;

impl Trainer {
    pub(super) fn facts(&self, train: &PairedFolder) -> Vec<(String, String)> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = format!("{} {}, {threads} threads", std::env::consts::OS, std::env::consts::ARCH);
        let mut facts = vec![
            ("pix2pix".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("machine".to_owned(), machine),
            ("device".to_owned(), self.devices()),
            ("pairs".to_owned(), train.len().to_string()),
            ("generator parameters".to_owned(), self.generator().parameter_count().to_string()),
        ];
        if let Ok(Value::Object(parts)) = serde_json::to_value(&self.config) {
            facts.extend(parts.into_iter().map(|(name, value)| (name, plain(&value))));
        }
        facts
    }

    fn devices(&self) -> String {
        let names = std::iter::once(&self.device).chain(&self.others).map(|device| format!("{device:?}"));
        names.collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn title(run: &Path) -> String {
    run.file_name().map_or_else(|| "pix2pix".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A setting for people to read: `batch_size 1 · crop_size 64`.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", plain(value)));
            fields.collect::<Vec<_>>().join(" · ")
        }
        other => other.to_string(),
    }
}
