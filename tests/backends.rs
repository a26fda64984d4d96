//! Every compiled backend computes what the first one does: forward pass, gradients, losses, ten steps of training.
//!
//! With a single backend this only shows that the numbers are finite; `--features ndarray,wgpu` compares three.
//! `PIX2PIX_EXPECT_BACKENDS="flex wgpu"` makes it fail where one of these is not compiled in or has no device.

#[path = "../examples/support/parity.rs"]
mod parity;

use parity::Outcome;
use pix2pix::device;

/// Rounding alone.
const FORWARD: f64 = 1e-5;
/// Sums over all pixels and layers.
const GRADIENTS: f64 = 1e-4;
const LOSSES: f64 = 1e-3;
/// Adam divides small gradients by their own size, so their rounding counts as much as that of large ones: `flex` with
/// and without Winograd's algorithm is 3e-3 apart.
const MOVED: f64 = 1e-2;

#[test]
fn every_compiled_backend_computes_the_same() {
    let expected = std::env::var("PIX2PIX_EXPECT_BACKENDS").unwrap_or_default();
    let config = parity::config(64, 16, 0);
    let mut reference: Option<Outcome> = None;
    let mut ran = Vec::new();
    for name in device::compiled() {
        let device = match device::named(name) {
            Ok(device) => device,
            Err(error) => {
                eprintln!("{error}");
                continue;
            }
        };
        let outcome = Outcome::of(&config, 10, &device).unwrap();
        assert!(outcome.losses.iter().all(|loss| loss.is_finite()), "{name}: {:?}", outcome.losses);
        let d = outcome.difference(reference.as_ref().unwrap_or(&outcome));
        for (what, found, limit) in [
            ("forward pass", d.forward, FORWARD),
            ("gradients", d.gradients, GRADIENTS),
            ("losses", d.losses, LOSSES),
            ("movement of parameters", d.moved, MOVED),
        ] {
            println!("{name}: {what} {found:.1e}");
            assert!(found <= limit, "{name}: {what} differ by {found:e}");
        }
        reference.get_or_insert(outcome);
        ran.push(name);
    }
    for name in expected.split_whitespace() {
        assert!(ran.contains(&name), "`{name}` was to be compared, but only {ran:?} ran");
    }
}
