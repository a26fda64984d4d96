//! The adapter that a backend runs on.

/// Returns the adapters of a backend and their drivers, the one in use first where the system sorts them so. `None` for
/// a backend of the CPU.
pub(crate) fn of(backend: &str) -> Option<String> {
    match backend {
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(wgpu()),
        _ => None,
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> String {
    use burn_wgpu::wgpu::{Backends, Instance, InstanceDescriptor};

    let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
    let adapters = burn_cubecl::cubecl::future::block_on(instance.enumerate_adapters(Backends::PRIMARY));
    let describe = |adapter: &burn_wgpu::wgpu::Adapter| {
        let info = adapter.get_info();
        format!(
            "{} ({:?}, {:?}; driver {} {})",
            info.name, info.device_type, info.backend, info.driver, info.driver_info
        )
    };
    adapters.iter().map(describe).collect::<Vec<_>>().join("; ")
}
