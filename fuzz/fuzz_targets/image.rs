#![no_main]

#[path = "../../tests/support/untrusted.rs"]
#[allow(dead_code, reason = "each target uses one of its functions")]
mod untrusted;

use std::sync::Once;

static QUIET: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The crate catches a decoder's panic and returns an error; libFuzzer's hook would end the process first.
    QUIET.call_once(|| drop(std::panic::take_hook()));
    untrusted::image(bytes)
});
