//! The public interface against `tests/public_api.txt`, so that a change of it is seen in review.
//!
//! After a wanted change: `UPDATE_PUBLIC_API=1 cargo test --release --workspace --test public_api -- --ignored`.

#![cfg(all(unix, feature = "flex"))]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "reads the JSON of rustdoc 1.95, which other versions write in other formats"]
fn the_public_interface_is_the_recorded_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recorded = root.join("tests/public_api.txt");
    let interface = interface(root);
    if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
        std::fs::write(&recorded, &interface).unwrap();
    }
    let before = std::fs::read_to_string(&recorded).unwrap_or_default();
    let missing = before.lines().filter(|line| !interface.lines().any(|now| now == *line));
    let added = interface.lines().filter(|line| !before.lines().any(|then| then == *line));
    let changes: Vec<String> =
        missing.map(|line| format!("- {line}")).chain(added.map(|line| format!("+ {line}"))).collect();
    assert!(
        changes.is_empty(),
        "the public interface has changed; if that is meant, run it with UPDATE_PUBLIC_API=1:\n{}",
        changes.join("\n")
    );
}

/// One line for each public item, as rustdoc's JSON lists them.
fn interface(root: &Path) -> String {
    // The compiler's JSON output is for nightly toolchains; a stable rustdoc gives it when it is told so. Only
    // rustdoc is: build scripts that ask for the same variable would compile every dependency again.
    let wrapper = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc");
    std::fs::write(&wrapper, "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n").unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .env("RUSTDOC", &wrapper)
        .env("RUSTDOCFLAGS", "-Zunstable-options --output-format json")
        // The whole workspace, as in the tests' own build, so that dependencies are not compiled with other features.
        .args(["doc", "--release", "--workspace", "--no-deps", "--target-dir"])
        .arg(target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let api = public_api::Builder::from_rustdoc_json(target.join("doc/pix2pix.json"))
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .unwrap();
    // Implementations of burn's `Module` are its derive's, not ours.
    let is_ours = |line: &String| !line.contains("burn_core::module") && !line.contains("::__private");
    api.items().map(|item| item.to_string()).filter(is_ours).map(|line| line + "\n").collect()
}
