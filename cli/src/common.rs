//! What the example programs share: choosing a device, and ending with a message and a status.

use std::process::ExitCode;

use clap::Args;
use pix2pix::{Device, Result, device};

/// The options that every example has.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Backend: flex, ndarray, wgpu or cuda [default: the best that is compiled in and present]
    #[arg(long)]
    pub(crate) backend: Option<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

impl Common {
    #[allow(dead_code, reason = "`backends` goes through all of them")]
    pub(crate) fn device(&self) -> Result<Device> {
        match &self.backend {
            Some(name) => device::named(name),
            None => Ok(device::best()),
        }
    }
}

/// Status 0, or 1 with one line on stderr.
pub(crate) fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
