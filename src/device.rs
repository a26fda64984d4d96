//! The one file that names a backend: everything else takes a `&Device`.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::{Backend, Dispatch};
#[cfg(feature = "wgpu")]
use burn::tensor::{DeviceKind, wgpu::WgpuInitError};

use crate::{Device, Error, Result};

static EXACT: AtomicBool = AtomicBool::new(false);

/// The names that [`named`] knows, whether compiled in or not.
pub const NAMES: [&str; 4] = ["flex", "ndarray", "wgpu", "cuda"];

/// The best device that is compiled in and present: a GPU if there is one that computes right, else the CPU.
///
/// # Panics
/// If the crate was built without any backend.
pub fn best() -> Device {
    #[cfg(feature = "cuda")]
    if let Ok(device) = cuda() {
        return device;
    }
    // A software adapter also answers to wgpu, but `flex` is faster than that on the same CPU.
    #[cfg(feature = "wgpu")]
    for kind in [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0)] {
        if let Ok(device) = wgpu(kind) {
            return device;
        }
    }
    cpu()
}

/// The best device that runs on the CPU.
///
/// # Panics
/// If the crate was built without any backend.
pub fn cpu() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(all(feature = "ndarray", not(feature = "flex")))]
    return ndarray();
    #[cfg(all(feature = "wgpu", not(any(feature = "flex", feature = "ndarray"))))]
    return Device::wgpu(DeviceKind::Cpu);
    #[allow(unreachable_code)]
    Device::default()
}

/// The device of a backend by its name: `flex`, `ndarray`, `wgpu` or `cuda`.
///
/// # Errors
/// [`Error::Device`] if the name is unknown, the backend is not compiled in, no such device is present, or [`check`]
/// refuses it.
///
/// # Examples
/// ```
/// # #[cfg(feature = "flex")] {
/// assert!(pix2pix::device::named("flex").is_ok());
/// # }
/// assert!(pix2pix::device::named("abacus").is_err());
/// ```
pub fn named(name: &str) -> Result<Device> {
    match name {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => wgpu(DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        "cuda" => cuda(),
        _ if NAMES.contains(&name) => Err(absent(
            name,
            format!(
                "not compiled in; rebuild with `--features {name}`, or use one of: {}",
                compiled().join(", ")
            ),
        )),
        _ => Err(absent(name, format!("unknown; the backends are {}", NAMES.join(", ")))),
    }
}

/// All devices of a backend by its name, to share a step among ([`Trainer::with_devices`](crate::Trainer::with_devices)); the CPU
/// backends have one.
///
/// # Errors
/// As [`named`].
pub fn all(name: &str) -> Result<Vec<Device>> {
    let first = named(name)?;
    let found = match name {
        #[cfg(feature = "wgpu")]
        "wgpu" => Device::enumerate(burn::tensor::DeviceType::Wgpu).into_vec(),
        #[cfg(feature = "cuda")]
        "cuda" => cudas(),
        _ => vec![],
    };
    Ok(if found.is_empty() { vec![first] } else { found })
}

/// Whether networks compute what they should on this device.
///
/// Every function that builds a network asks this first: those that return a [`Result`] give the error, the others
/// panic with it.
///
/// # Errors
/// [`Error::Device`] if burn's `fusion` is on for it. In burn 0.22.1 that gives wrong numbers without a word: where a
/// convolution to a single channel, such as a discriminator's last, is followed by operations of which one result is
/// kept for the backward pass, the fused kernel reads the convolution's output at the wrong places. Training diverges
/// within three steps. The crate does not turn `fusion` on, but features unify: another crate may.
pub fn check(device: &Device) -> Result<()> {
    let name = Dispatch::name(device.as_dispatch());
    if name.contains("fusion<") {
        let problem = "burn's feature `fusion` is on, with which convolutions to one channel give wrong numbers and \
                       training diverges; `cargo tree -e features -i burn-fusion` shows which crate turns it on \
                       (burn's own default features do); or use `flex`";
        return Err(absent(&name, problem.to_owned()));
    }
    Ok(())
}

/// The names of the backends that this build contains, the fastest CPU backend first.
pub fn compiled() -> Vec<&'static str> {
    let mut names = Vec::new();
    if cfg!(feature = "flex") {
        names.push("flex");
    }
    if cfg!(feature = "ndarray") {
        names.push("ndarray");
    }
    if cfg!(feature = "wgpu") {
        names.push("wgpu");
    }
    if cfg!(feature = "cuda") {
        names.push("cuda");
    }
    names
}

/// Whether convolutions on the CPU are always computed by their definition, for this whole process; at first they are
/// not.
///
/// Where it is faster, Winograd's algorithm computes them with fewer multiplications. Its rounding errors are a few
/// times larger, some 1e-6 of a value. Neither depends on the number of threads.
pub fn set_exact(exact: bool) {
    EXACT.store(exact, Ordering::Relaxed);
}

/// What [`set_exact`] said.
#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(crate) fn is_exact() -> bool {
    EXACT.load(Ordering::Relaxed)
}

/// Whether this device's tensors lie in ordinary memory, so that reading one out costs nothing.
pub(crate) fn is_host(device: &Device) -> bool {
    let _ = device;
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return true;
    }
    #[cfg(feature = "ndarray")]
    if *device == ndarray() {
        return true;
    }
    false
}

/// Does work for this device on one of rayon's threads, where those do the work anyway.
///
/// From outside, each of the hundreds of parallel loops of a pass would wake a thread and wait for it.
pub(crate) fn among_workers<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if is_host(device) { rayon::scope(|_| work()) } else { work() }
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // burn deprecates its own backend; the name must stand somewhere
fn ndarray() -> Device {
    Device::new(burn_ndarray::NdArrayDevice::Cpu)
}

#[cfg(feature = "wgpu")]
fn wgpu(kind: DeviceKind) -> Result<Device> {
    let device = match Device::wgpu_options().device_kind(kind.clone()).init() {
        Ok(device) => device,
        // It runs already: by an earlier call, or because the caller computed on it.
        Err(WgpuInitError::Registration { .. }) => Device::wgpu(kind),
        Err(error) => {
            let problem = format!("no usable adapter ({error}); install a graphics driver or use `flex`");
            return Err(absent("wgpu", problem));
        }
    };
    check(&device).map(|()| device)
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    let absent = || absent("cuda", "no NVIDIA GPU or no driver found; use another backend".into());
    let device = cudas().into_iter().next().ok_or_else(absent)?;
    check(&device).map(|()| device)
}

#[cfg(feature = "cuda")]
fn cudas() -> Vec<Device> {
    // Asking for a CUDA device without a driver panics inside the driver's loader.
    let found = std::panic::catch_unwind(|| Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec());
    found.unwrap_or_default()
}

fn absent(name: &str, problem: String) -> Error {
    Error::Device { name: name.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_is_not_compiled_in_says_how_to_get_it() {
        for name in NAMES.iter().filter(|name| !compiled().contains(name)) {
            let message = named(name).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("--features"), "{message}");
        }
        let message = named("tpu").unwrap_err().to_string();
        assert!(message.contains("`tpu`: unknown") && message.contains("ndarray"), "{message}");
    }
}
