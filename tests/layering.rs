//! The rules that keep the crate readable: imports point down only, and the library never prints.

use std::path::{Path, PathBuf};

/// The modules by height; a file may import from its own line and from those before it.
const LAYERS: [&[&str]; 8] = [
    &["error", "device", "random", "files", "read_back"],
    &["kernels", "weights"],
    &["layers"],
    &["generator", "discriminator", "loss", "metrics", "data", "report"],
    &["config"],
    &["train", "translate", "pytorch"],
    &["lib"],
    &[],
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn height(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module))
        .unwrap_or_else(|| panic!("`{module}` has no layer"))
}

/// Where a name of the crate's root comes from.
fn module_of(name: &str) -> &str {
    match name {
        "Error" | "Result" | "CheckpointProblem" => "error",
        "Device" | "Tensor" => "error", // burn's own
        "Generator" | "GeneratorConfig" | "Backbone" => "generator",
        "Discriminator" | "DiscriminatorConfig" => "discriminator",
        "Mode" | "Dropout" | "Norm" | "Statistics" | "UpsampleKind" => "layers",
        "Pix2PixLoss" | "Pix2PixLossConfig" | "GanMode" | "PixelLoss" => "loss",
        "DropoutLayout" => "generator",
        "Translator" => "translate",
        "Pix2PixConfig" | "TrainingConfig" | "Schedule" => "config",
        module => module,
    }
}

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let module = path.strip_prefix(&root).unwrap().components().next().unwrap();
        let module = module.as_os_str().to_string_lossy().replace(".rs", "");
        if module == "lib" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().split("#[cfg(all(test").next().unwrap();
        for statement in code.split("use crate::").skip(1) {
            let statement = statement.split(';').next().unwrap();
            let names = statement.trim_start_matches('{').split(',').map(|name| {
                name.trim().split("::").next().unwrap().trim_matches(|c: char| "{} \n".contains(c)).to_owned()
            });
            let names: Vec<String> =
                if statement.starts_with('{') { names.collect() } else { names.take(1).collect() };
            for name in names.iter().filter(|name| !name.is_empty()) {
                let imported = module_of(name);
                assert!(
                    height(imported) <= height(&module),
                    "{} imports `{name}` from the higher module `{imported}`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_library_is_silent_and_chooses_nothing() {
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for forbidden in ["println!", "eprintln!", "dbg!", "env::var"] {
                assert!(!line.contains(forbidden), "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn one_idea_per_file() {
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("mod tests {").next().unwrap();
        assert!(text.starts_with("//!") || path.ends_with("lib.rs"), "{} says what it is", path.display());
        assert!(code.lines().count() <= 330, "{} has {} lines", path.display(), code.lines().count());
    }
}
