//! Chooses and checks devices by the names of their backends. Except for the CPU kernels, no other file names a
//! backend: everything else takes a `&Device`.

use std::path::Path;
use std::sync::LazyLock;

use burn::backend::{Backend, Dispatch};
use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::{DeviceKind, wgpu::WgpuInitError};

use crate::error::{Error, Result};

/// The names that [`named`] accepts, compiled in or not.
pub const NAMES: [&str; 4] = ["flex", "ndarray", "wgpu", "cuda"];

/// Returns the best device that is compiled in and present: a GPU that passes [`check`], else the CPU.
///
/// # Panics
/// If the crate was built without any backend.
///
/// # Examples
/// ```no_run
/// use pix2pix::{Pix2PixConfig, Trainer, device};
///
/// let trainer = Trainer::new(Pix2PixConfig::paper(), &device::best())?;
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn best() -> Device {
    #[cfg(feature = "cuda")]
    if let Ok(device) = cuda() {
        return device;
    }
    // wgpu also finds software adapters, but `flex` is faster on the same CPU.
    #[cfg(feature = "wgpu")]
    for kind in [DeviceKind::DiscreteGpu(0), DeviceKind::IntegratedGpu(0), DeviceKind::VirtualGpu(0)] {
        if let Ok(device) = wgpu(kind) {
            return device;
        }
    }
    cpu()
}

/// Returns the best device that runs on the CPU.
///
/// # Panics
/// If the crate was built without any backend.
///
/// # Examples
/// ```
/// # #[cfg(feature = "flex")] {
/// use pix2pix::device;
///
/// assert_eq!(device::cpu(), device::named("flex")?);
/// # }
/// # Ok::<(), pix2pix::Error>(())
/// ```
pub fn cpu() -> Device {
    #[cfg(feature = "flex")]
    return Device::flex();
    #[cfg(all(feature = "ndarray", not(feature = "flex")))]
    return ndarray();
    #[cfg(all(feature = "wgpu", not(feature = "_host")))]
    return Device::wgpu(DeviceKind::Cpu);
    #[allow(unreachable_code)]
    Device::default()
}

/// Returns the device of a backend by its name: `flex`, `ndarray`, `wgpu` or `cuda`.
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

/// Returns all devices of a backend by its name, for [`Trainer::with_devices`](crate::Trainer::with_devices). A CPU
/// backend has one device.
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

/// Checks that networks compute correctly on this device.
///
/// Every function that builds a network calls this function first. Functions that return a [`Result`] return its error;
/// the others panic with it.
///
/// # Errors
/// [`Error::Device`] if burn's feature `fusion` is on for the device. In burn 0.22.1 it computes wrong numbers without
/// an error: after a convolution to a single channel, such as the last one of a discriminator, a fused kernel that
/// keeps a result for the backward pass reads the convolution's output at wrong offsets. Training diverges within three
/// steps. This crate does not enable `fusion`, but Cargo unifies features, so another crate may.
///
/// Also for a CPU on Linux if `/sys/devices/system/cpu` cannot be read: the crate `gemm` then runs `lscpu`, whatever
/// program has that name in `PATH`, and panics if it prints something unexpected.
pub fn check(device: &Device) -> Result<()> {
    let name = Dispatch::name(device.as_dispatch());
    if name.contains("fusion<") {
        let problem = "burn's feature `fusion` is on, which computes wrong numbers after convolutions to one channel, \
                       so training diverges; `cargo tree -e features -i burn-fusion` shows which crate enables it \
                       (the default features of burn do); or use `flex`";
        return Err(absent(&name, problem.to_owned()));
    }
    if is_host(device)
        && let Some(error) = &*CACHE_PROBLEM
    {
        let problem = format!(
            "the CPU's caches cannot be read from {CPUS} ({error}), so the matrix library `gemm` would run any program \
             named lscpu that it finds in PATH; mount /sys, for instance read-only (`mount -t sysfs -o ro sysfs /sys`), \
             or use a GPU"
        );
        return Err(absent(&crate::device::name(device), problem));
    }
    Ok(())
}

/// The folder from which `gemm` reads the sizes of the CPU's caches.
const CPUS: &str = "/sys/devices/system/cpu";

/// Why `gemm` cannot read the sizes of the caches, if it cannot.
static CACHE_PROBLEM: LazyLock<Option<std::io::Error>> = LazyLock::new(|| {
    // It looks there on Linux alone.
    if cfg!(target_os = "linux") { read_caches(Path::new(CPUS)).err() } else { None }
});

/// Reads what `gemm` reads of the first CPU before its first product: with any error, it runs `lscpu` instead.
fn read_caches(cpus: &Path) -> std::io::Result<()> {
    std::fs::read_dir(cpus)?.try_for_each(|cpu| cpu.map(drop))?;
    let caches = cpus.join("cpu0/cache");
    if !caches.is_dir() {
        return Ok(()); // a machine that does not tell: `gemm` takes usual sizes
    }
    for cache in std::fs::read_dir(caches)? {
        let cache = cache?.path();
        let is_cache = cache.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"index"));
        if is_cache && cache.is_dir() {
            std::fs::read_dir(cache)?.try_for_each(|file| std::fs::read_to_string(file?.path()).map(drop))?;
        }
    }
    Ok(())
}

/// Returns the names of the backends in this build, the fastest CPU backend first.
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

/// Returns the name of a device's backend: one of [`NAMES`], or burn's name for another backend.
pub(crate) fn name(device: &Device) -> String {
    let full = Dispatch::name(device.as_dispatch());
    NAMES.into_iter().find(|name| full.contains(name)).map_or(full, str::to_owned)
}

/// Returns whether the tensors of this device lie in ordinary memory, so that reading one costs nothing.
pub(crate) fn is_host(device: &Device) -> bool {
    let _ = device; // not used without a CPU backend
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

/// Returns whether the kernels for GPUs serve this device, a real GPU or a software adapter.
#[cfg(feature = "_kernels")]
pub(crate) fn is_cube(device: &Device) -> bool {
    let _ = device; // not used without a GPU backend
    #[cfg(feature = "_cube")]
    return Dispatch::name(device.as_dispatch()).contains("cube");
    #[cfg(not(feature = "_cube"))]
    false
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // burn deprecates its own ndarray backend
fn ndarray() -> Device {
    Device::new(burn_ndarray::NdArrayDevice::Cpu)
}

#[cfg(feature = "wgpu")]
fn wgpu(kind: DeviceKind) -> Result<Device> {
    let device = match Device::wgpu_options().device_kind(kind.clone()).init() {
        Ok(device) => device,
        // The device is already running: an earlier call or the caller started it.
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
    // Without a driver, burn's CUDA loader panics. That means that there is no device.
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
    fn caches_that_gemm_cannot_read_are_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        assert!(read_caches(&here.join("absent")).is_err());
        assert!(read_caches(here).is_ok());
        let cache = here.join("cpu0/cache/index0");
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::write(cache.join("size"), "48K\n").unwrap();
        assert!(read_caches(here).is_ok());
        std::fs::write(cache.join("level"), [0xff]).unwrap(); // not UTF-8, as gemm wants it
        assert!(read_caches(here).is_err());
        if cfg!(target_os = "linux") {
            assert!(read_caches(Path::new(CPUS)).is_ok());
        }
    }

    #[test]
    fn the_error_of_a_backend_that_is_not_compiled_in_names_its_feature() {
        for name in NAMES.iter().filter(|name| !compiled().contains(name)) {
            let message = named(name).unwrap_err().to_string();
            assert!(message.contains(name) && message.contains("--features"), "{message}");
        }
        let message = named("tpu").unwrap_err().to_string();
        assert!(message.contains("`tpu`: unknown") && message.contains("ndarray"), "{message}");
    }
}
