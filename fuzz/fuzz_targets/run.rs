#![no_main]

#[path = "../../tests/support/untrusted.rs"]
#[allow(dead_code, reason = "each target uses one of its functions")]
mod untrusted;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| untrusted::run(bytes));
