//! The memory that this process may still take, and the refusal of what needs more.
//!
//! Needs are estimated from below, by what is certainly in memory at once, so that nothing is refused that would pass.

use std::fs;

use burn::tensor::Device;

use crate::device;
use crate::error::{Error, Result};

/// Refuses what needs more memory than there is. Tensors of GPUs are not counted, and where the system does not say what
/// is available, nothing is refused.
///
/// # Errors
/// [`Error::Memory`] with both numbers and the `remedy`.
pub(crate) fn require(what: &str, needed: u128, remedy: &str, device: &Device) -> Result<()> {
    if !device::is_host(device) {
        return Ok(());
    }
    match available() {
        Some(available) if needed > u128::from(available) => Err(Error::Memory {
            what: what.to_owned(),
            needed: u64::try_from(needed).unwrap_or(u64::MAX),
            available,
            remedy: remedy.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Returns the bytes that this process may still take: by the system's memory and swap, by its group, and by its own
/// limit of addresses, whichever is least. `None` if nothing of that is known, as on systems other than Linux.
fn available() -> Option<u64> {
    [of_system(), of_group(), of_addresses()].into_iter().flatten().min()
}

fn of_system() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let free = kilobytes(&text, "MemAvailable:")?;
    Some(free + kilobytes(&text, "SwapFree:").unwrap_or(0))
}

/// Returns what `setrlimit` leaves.
fn of_addresses() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let used = kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")?;
    Some(limit.saturating_sub(used))
}

/// Returns what the control groups of this process leave, of version 2 or 1. Caches of files count as free.
fn of_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let left = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kinds, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (root, limit, used) = match kinds {
            "" => ("/sys/fs/cgroup", "memory.max", "anon "),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "total_rss ")
            }
            _ => return vec![],
        };
        // A limit of a group holds for all groups in it.
        let above = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path]);
        above.filter_map(|path| left_in(&format!("{root}{path}"), limit, used)).collect()
    });
    left.min()
}

/// Returns what the group of a folder leaves.
fn left_in(folder: &str, limit: &str, used: &str) -> Option<u64> {
    let limit: u64 = fs::read_to_string(format!("{folder}/{limit}")).ok()?.trim().parse().ok()?;
    let counts = fs::read_to_string(format!("{folder}/memory.stat")).ok()?;
    let used: u64 = counts.lines().find_map(|line| line.strip_prefix(used))?.trim().parse().ok()?;
    Some(limit.saturating_sub(used))
}

/// Returns the bytes after a label of a file of `/proc`.
fn kilobytes(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|count| count << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_are_found_by_their_label() {
        let text = "MemTotal:       24618108 kB\nMemAvailable:   20 kB\nHugePages_Total:       0\n";
        assert_eq!(kilobytes(text, "MemAvailable:"), Some(20 << 10));
        assert_eq!(kilobytes(text, "HugePages_Total:"), None);
        assert_eq!(kilobytes(text, "SwapFree:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_what_is_available() {
        let total = kilobytes(&fs::read_to_string("/proc/meminfo").unwrap(), "MemTotal:").unwrap();
        let found = available().unwrap();
        assert!(found > 1 << 20 && of_system().unwrap() < 4 * total, "{found} of {total}");
    }

    #[test]
    #[cfg(all(feature = "flex", target_os = "linux"))]
    fn the_error_names_what_needs_how_much_and_what_there_is() {
        let device = crate::device::cpu();
        assert!(require("a step", 1, "use less", &device).is_ok());
        let message = require("a step", 1 << 90, "use `--batch-size 1`", &device).unwrap_err().to_string();
        let expected = "a step needs at least 17592186044415 MiB of memory, but only ";
        assert!(message.starts_with(expected) && message.ends_with("use `--batch-size 1`"), "{message}");
    }
}
