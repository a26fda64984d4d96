//! The facts on the report page: version, machine, device, size and configuration.

use std::path::Path;

use serde_json::Value;

/// Returns the facts of a run, pairs of a name and a value: `settings` is the configuration as JSON.
pub(crate) fn facts(devices: String, parameters: usize, settings: Value) -> Vec<(String, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = format!("{} {}, {threads} threads", std::env::consts::OS, std::env::consts::ARCH);
    let mut facts = vec![
        ("pix2pix".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("machine".to_owned(), machine),
        ("device".to_owned(), devices),
        ("generator parameters".to_owned(), parameters.to_string()),
    ];
    if let Value::Object(parts) = settings {
        facts.extend(parts.into_iter().map(|(name, value)| (name, readable(&value))));
    }
    facts
}

/// Returns the title of a run's page: the name of its folder.
pub(crate) fn title(run: &Path) -> String {
    run.file_name().map_or_else(|| "pix2pix".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Formats a setting as readable text: `batch_size 1 · crop_size 64`.
pub(crate) fn readable(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {}", readable(value)));
            fields.collect::<Vec<_>>().join(" · ")
        }
        other => other.to_string(),
    }
}
