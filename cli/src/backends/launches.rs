//! Counts the kernels that a computation launches on a GPU, and measures their time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver, TimingMethod, TimingRequest};

/// The launches of a kernel, and the time that they took on the device, if it was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) launches: usize,
    pub(crate) time: Duration,
}

/// The usage of each kernel by its name.
pub(crate) type Usages = BTreeMap<String, Usage>;

struct Observer {
    /// By the kernel's path.
    usages: Mutex<BTreeMap<&'static str, Usage>>,
    timing: TimingRequest,
}

impl Observer {
    fn change(&self, kernel: &'static str, change: impl FnOnce(&mut Usage)) {
        let mut usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        change(usages.entry(kernel).or_default());
    }
}

impl LaunchObserver for Observer {
    fn launched(&self, kernel: &'static str) {
        self.change(kernel, |usage| usage.launches += 1);
    }

    fn timing(&self) -> TimingRequest {
        self.timing
    }

    fn timed(&self, kernel: &'static str, duration: Duration, _: TimingMethod) {
        self.change(kernel, |usage| usage.time += duration);
    }
}

/// Returns the launches of `work`.
pub(crate) fn counted(work: impl FnOnce()) -> Usages {
    observed(TimingRequest::None, work)
}

/// Returns the launches of `work` with their times. Each kernel waits for the one before, so the sum of the times is
/// not the time of the work.
pub(crate) fn timed(work: impl FnOnce()) -> Usages {
    observed(TimingRequest::Resolved, work)
}

fn observed(timing: TimingRequest, work: impl FnOnce()) -> Usages {
    let observer = Arc::new(Observer { usages: Mutex::default(), timing });
    let observation = LaunchObservation::new(observer.clone());
    work();
    drop(observation);
    let usages = observer.usages.lock().unwrap_or_else(PoisonError::into_inner);
    let mut by_name = Usages::new();
    for (path, usage) in usages.iter() {
        let total = by_name.entry(name(path).to_owned()).or_default();
        total.launches += usage.launches;
        total.time += usage.time;
    }
    by_name
}

/// Returns the number of launches.
pub(crate) fn total(usages: &Usages) -> usize {
    usages.values().map(|usage| usage.launches).sum()
}

/// Returns the last part of a kernel's path, without its parameters.
fn name(path: &str) -> &str {
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path)
}
