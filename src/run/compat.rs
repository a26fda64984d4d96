//! Compares the configuration of a resumed run with the saved one: refuses fields that cannot change, lists the rest.

use std::path::Path;

use serde_json::Value;

use crate::config::Pix2PixConfig;
use crate::error::{CheckpointProblem, Error, Result};
use crate::report::readable;

/// Refuses settings that cannot change within a run.
pub(super) fn check(
    config: &Pix2PixConfig,
    saved: &Pix2PixConfig,
    is_inside_epoch: bool,
    folder: &Path,
) -> Result<()> {
    let differing = [
        ("generator", config.generator != saved.generator),
        ("discriminator", config.discriminator != saved.discriminator),
        ("loss", config.loss != saved.loss),
        ("data.direction", config.data.direction != saved.data.direction),
        ("data.labels", config.data.labels != saved.data.labels),
        ("training.seed", config.training.seed != saved.training.seed),
        // The position in an epoch is counted in batches.
        ("data.batch_size", is_inside_epoch && config.data.batch_size != saved.data.batch_size),
        // The next save would drop the EMA.
        ("training.ema_decay", config.training.ema_decay.is_none() && saved.training.ema_decay.is_some()),
    ];
    match differing.iter().find(|(_, differs)| *differs) {
        Some((field, _)) => {
            let problem = CheckpointProblem::Mismatch { field };
            Err(Error::Checkpoint { path: folder.to_owned(), problem })
        }
        None => Ok(()),
    }
}

/// Lists the settings that differ, in the form `training.clip_norm is none, was 1.0`.
pub(super) fn changes(config: &Pix2PixConfig, saved: &Pix2PixConfig) -> Vec<String> {
    let [config, saved] = [config, saved]
        .map(|config| serde_json::to_value(config).expect("a configuration is numbers and names"));
    let mut changes = vec![];
    compare("", &config, &saved, &mut changes);
    changes
}

/// Adds the differences below the setting `name`.
fn compare(name: &str, now: &Value, before: &Value, changes: &mut Vec<String>) {
    match (now, before) {
        (Value::Object(fields), Value::Object(others)) => {
            // A setting that is off may be left out on either side.
            let left_out = others.keys().filter(|field| !fields.contains_key(*field));
            for field in fields.keys().chain(left_out) {
                let [now, before] = [fields, others].map(|fields| fields.get(field).unwrap_or(&Value::Null));
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                compare(&name, now, before, changes);
            }
        }
        _ if now == before => {}
        _ => changes.push(format!("{name} is {}, was {}", readable(now), readable(before))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_json_leaves_out_is_listed_when_it_is_set_and_when_it_is_removed() {
        let plain = Pix2PixConfig::paper();
        let nearest = serde_json::json!({ "data": { "target_resize_filter": "nearest" } });
        let nearest = plain.with_overrides(&nearest).unwrap();
        assert_eq!(changes(&nearest, &plain), ["data.target_resize_filter is nearest, was none"]);
        assert_eq!(changes(&plain, &nearest), ["data.target_resize_filter is none, was nearest"]);
        assert!(changes(&nearest, &nearest).is_empty());
    }
}
