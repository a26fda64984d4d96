//! Compares the configuration of a resumed run with the saved one: refuses fields that cannot change, lists the rest.

use std::path::Path;

use serde_json::Value;

use crate::config::Pix2PixConfig;
use crate::error::{CheckpointProblem, Error, Result};
use crate::report::readable;

/// The longest value that a message shows, in characters.
const MAX_SHOWN: usize = 60;

/// The settings, and parts of the configuration, that cannot change within a run.
const FIXED: [&str; 6] =
    ["generator", "discriminator", "loss", "data.direction", "data.labels", "training.seed"];

/// A setting with another value than in the run.
struct Change {
    name: String,
    saved: Value,
    given: Value,
}

impl Change {
    /// Describes the change: `training.clip_norm: 1.0 in the run, none given`.
    fn describe(&self) -> String {
        format!("{}: {} in the run, {} given", self.name, shown(&self.saved), shown(&self.given))
    }

    /// Returns why the change is refused; empty if the setting says it all; `None` if it is not refused.
    fn refusal(&self, is_inside_epoch: bool) -> Option<&'static str> {
        let is_part = |fixed: &&str| {
            self.name.strip_prefix(*fixed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match self.name.as_str() {
            "data.batch_size" if is_inside_epoch => Some(
                " (the position within the epoch is counted in batches; resume with the run's size until the epoch ends)",
            ),
            "training.ema_decay" if self.given.is_null() => Some(" (the EMA would be lost)"),
            _ => FIXED.iter().any(is_part).then_some(""),
        }
    }
}

/// Refuses settings that cannot change within a run, and lists the others that differ, in the form
/// `training.clip_norm: 1.0 in the run, none given`.
pub(super) fn check(
    config: &Pix2PixConfig,
    saved: &Pix2PixConfig,
    is_inside_epoch: bool,
    folder: &Path,
) -> Result<Vec<String>> {
    let changes = changes(config, saved);
    let refused: Vec<String> = changes
        .iter()
        .filter_map(|change| Some(format!("{}{}", change.describe(), change.refusal(is_inside_epoch)?)))
        .collect();
    if !refused.is_empty() {
        let problem = CheckpointProblem::Mismatch { changes: refused };
        return Err(Error::Checkpoint { path: folder.to_owned(), problem });
    }
    Ok(changes.iter().map(Change::describe).collect())
}

/// Lists the settings that differ.
fn changes(config: &Pix2PixConfig, saved: &Pix2PixConfig) -> Vec<Change> {
    let [config, saved] = [config, saved]
        .map(|config| serde_json::to_value(config).expect("a configuration is numbers and names"));
    let mut changes = vec![];
    compare("", &config, &saved, &mut changes);
    changes
}

/// Formats a value, cut to the length that a message shows.
fn shown(value: &Value) -> String {
    let text = readable(value);
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Adds the differences below the setting `name`.
fn compare(name: &str, now: &Value, before: &Value, changes: &mut Vec<Change>) {
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
        _ => changes.push(Change { name: name.to_owned(), saved: before.clone(), given: now.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(config: &Pix2PixConfig, saved: &Pix2PixConfig, is_inside_epoch: bool) -> Result<Vec<String>> {
        check(config, saved, is_inside_epoch, Path::new("run"))
    }

    #[test]
    fn a_setting_that_json_leaves_out_is_listed_when_it_is_set_and_when_it_is_removed() {
        let plain = Pix2PixConfig::paper();
        let nearest = serde_json::json!({ "data": { "target_resize_filter": "nearest" } });
        let nearest = plain.with_overrides(&nearest).unwrap();
        let field = "data.target_resize_filter";
        let set = format!("{field}: none in the run, nearest given");
        assert_eq!(listed(&nearest, &plain, true).unwrap(), [set]);
        let removed = format!("{field}: nearest in the run, none given");
        assert_eq!(listed(&plain, &nearest, true).unwrap(), [removed]);
        assert!(listed(&nearest, &nearest, true).unwrap().is_empty());
    }

    #[test]
    fn all_settings_that_cannot_change_are_named_with_both_values() {
        let saved = Pix2PixConfig::paper();
        let mut given = saved.clone();
        (given.training.seed, given.loss.l1_weight, given.generator.base_channels) = (5, 7.0, 8);
        let message = listed(&given, &saved, false).unwrap_err().to_string();
        for part in [
            "generator.base_channels: 64 in the run, 8 given",
            "loss.l1_weight: 100.0 in the run, 7.0 given",
            "training.seed: 0 in the run, 5 given",
            "train --from",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let mut batch = saved.clone();
        batch.data.batch_size = 4;
        assert_eq!(listed(&batch, &saved, false).unwrap(), ["data.batch_size: 1 in the run, 4 given"]);
        let message = listed(&batch, &saved, true).unwrap_err().to_string();
        assert!(message.contains("1 in the run, 4 given (the position within the epoch"), "{message}");
    }
}
