//! Every compiled backend computes the same as the first one: forward pass, gradients, losses, ten training steps.
//!
//! With a single backend, the test compares its fast convolutions with its exact ones; `--features ndarray,wgpu`
//! compares three backends. With `PIX2PIX_EXPECT_BACKENDS="flex wgpu"` it fails if one of these is not compiled in or
//! has no device.

#[path = "../src/backends/parity.rs"]
mod parity;

use std::collections::BTreeMap;

use parity::Outcome;
use pix2pix::device;

/// Only rounding differs.
const FORWARD: f64 = 1e-5;
/// Sums over all pixels and layers.
const GRADIENTS: f64 = 1e-4;
const LOSSES: f64 = 1e-3;
/// For the change of learned parameters in three steps. Running statistics change hundreds of times as much, so they
/// are compared separately.
const MOVED: f64 = 1e-3;
/// For the change in ten steps: Adam divides small gradients by their own magnitude, so that their rounding counts as
/// much as that of large ones, and every step adds to it.
const MOVED_FAR: f64 = 1e-2;
const STATISTICS: f64 = 1e-3;

#[test]
fn every_compiled_backend_computes_the_same() {
    let expected = std::env::var("PIX2PIX_EXPECT_BACKENDS").unwrap_or_default();
    // Ten steps for the paper's network, three for its variants.
    let mut cases = vec![("the paper's", parity::config(64, 16, 0), 10)];
    cases.extend(parity::variants().into_iter().map(|(name, config)| (name, config, 3)));
    let mut references: BTreeMap<&str, Outcome> = BTreeMap::new();
    let mut ran = Vec::new();
    // The first backend again with exact convolutions: their rounding differs, as between backends.
    let exactly = device::compiled().first().map(|name| (*name, true));
    for (name, is_exact) in device::compiled().into_iter().map(|name| (name, false)).chain(exactly) {
        let device = match device::named(name) {
            Ok(device) => device,
            Err(error) => {
                eprintln!("{error}");
                continue;
            }
        };
        for (case, config, steps) in &cases {
            let outcome = Outcome::of(config, *steps, is_exact, &device).unwrap();
            assert!(outcome.losses.iter().all(|loss| loss.is_finite()), "{name}: {:?}", outcome.losses);
            let d = outcome.difference(references.get(case).unwrap_or(&outcome));
            for (what, found, limit) in [
                ("forward pass", d.forward, FORWARD),
                ("gradients", d.gradients, GRADIENTS),
                ("losses", d.losses, LOSSES),
                ("change of parameters", d.moved, if *steps < 10 { MOVED } else { MOVED_FAR }),
                ("change of running statistics", d.statistics, STATISTICS),
            ] {
                println!("{name}{}, {case}: {what} {found:.1e}", if is_exact { ", exact" } else { "" });
                assert!(found <= limit, "{name}, {case}: {what} differ by {found:e}");
            }
            references.entry(case).or_insert(outcome);
        }
        ran.push(name);
    }
    for name in expected.split_whitespace() {
        assert!(ran.contains(&name), "`{name}` is expected, but only {ran:?} ran");
    }
}
