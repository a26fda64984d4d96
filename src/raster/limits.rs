//! Limits on the size of images, and the memory that all threads share for them.

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// The default limit on an image in megapixels.
const MAX_MEGAPIXELS: u32 = 128;
/// The bytes of the budget that everything shares by default.
const PROCESS_BYTES: u64 = 1 << 30;
/// The largest number of bytes of a decoded image for each pixel of the limit: 16 bits, colour and alpha.
const BYTES_PER_PIXEL: u64 = 8;
/// The largest width or height.
pub(super) const MAX_SIDE: u32 = 65_535;

/// The budget of everything that is not given another one.
static PROCESS: LazyLock<MemoryBudget> = LazyLock::new(|| MemoryBudget::new(PROCESS_BYTES));

/// Limits the bytes that images take at once: files, decoded pixels, colour profiles and working copies, of all
/// threads. A clone shares the budget.
///
/// A budget never changes a number: a thread whose image does not fit yet waits until other images are dropped.
/// Requests are served in their order. One above the whole budget waits until it is alone.
///
/// A thread that waits must not hold a permit of the same budget, or it may wait for itself. Reading functions of this
/// crate ask once, before they decode, for all that the image will need, so they cannot deadlock.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    whole: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// The number of the next request, and of the one that is served next.
    next: u64,
    serving: u64,
}

impl MemoryBudget {
    /// Creates a budget of this many bytes.
    ///
    /// # Examples
    /// ```
    /// let budget = pix2pix::data::MemoryBudget::new(1 << 30);
    /// let permit = budget.take(300 << 20);
    /// assert_eq!(budget.used(), 300 << 20);
    /// drop(permit);
    /// assert_eq!(budget.used(), 0);
    /// ```
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(Shared { whole: bytes, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Returns the budget of 1 GiB that all images of the process share by default.
    #[must_use]
    pub fn process() -> Self {
        PROCESS.clone()
    }

    /// Returns the bytes that are taken.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.lock().used
    }

    /// Waits until `bytes` are free, and takes them until the permit is dropped. A request above the whole budget takes
    /// all of it.
    #[must_use]
    pub fn take(&self, bytes: u64) -> MemoryPermit {
        let shared = &self.0;
        let bytes = bytes.min(shared.whole);
        let mut state = shared.lock();
        let ticket = state.next;
        state.next += 1;
        let is_blocked = |state: &mut State| state.serving != ticket || state.used + bytes > shared.whole;
        let waited = shared.changed.wait_while(state, is_blocked);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.used += bytes;
        state.serving += 1;
        drop(state);
        shared.changed.notify_all();
        MemoryPermit { budget: self.clone(), bytes }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a [`MemoryBudget`], which dropping it returns.
#[derive(Debug)]
pub struct MemoryPermit {
    budget: MemoryBudget,
    bytes: u64,
}

impl MemoryPermit {
    /// Returns the bytes above `bytes` to the budget.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.budget.0.lock().used -= self.bytes - bytes;
        self.bytes = bytes;
        self.budget.0.changed.notify_all();
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// Limits on the images that are read.
///
/// | field | default | meaning |
/// |---|---|---|
/// | [`max_megapixels`](Self::max_megapixels) | 128 | larger images are rejected before they are decoded |
/// | [`budget`](Self::budget) | 1 GiB for the process | the memory that all images take at once |
#[derive(Clone, Debug)]
pub struct ImageLimits {
    max_megapixels: u32,
    budget: MemoryBudget,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { max_megapixels: MAX_MEGAPIXELS, budget: MemoryBudget::process() }
    }
}

impl ImageLimits {
    /// Creates the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the largest number of pixels in an image, in millions. An image may also have at most 8 bytes for each of
    /// them when decoded.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    ///
    /// # Examples
    /// ```
    /// let limits = pix2pix::data::ImageLimits::new().with_max_megapixels(400)?;
    /// assert_eq!(limits.max_megapixels(), 400);
    /// # Ok::<(), pix2pix::Error>(())
    /// ```
    pub fn with_max_megapixels(mut self, megapixels: u32) -> Result<Self> {
        if megapixels == 0 {
            return Err(Error::argument("max_megapixels", "is 0; it must be at least 1"));
        }
        self.max_megapixels = megapixels;
        Ok(self)
    }

    /// Sets the budget.
    #[must_use]
    pub fn with_budget(mut self, budget: MemoryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Returns the largest number of pixels in an image, in millions.
    pub fn max_megapixels(&self) -> u32 {
        self.max_megapixels
    }

    /// Returns the budget.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the largest number of bytes of a decoded image.
    pub(super) fn max_bytes(&self) -> u64 {
        u64::from(self.max_megapixels) * 1_000_000 * BYTES_PER_PIXEL
    }

    /// Returns the problem of an image that is too large, and the remedy.
    pub(super) fn problem(&self, [width, height]: [u32; 2], bytes: u64) -> Option<String> {
        let (pixels, limit) = (u64::from(width) * u64::from(height), self.max_megapixels);
        let remedy = "use a smaller copy, or raise the limit with --max-megapixels \
                      (`ImageLimits::with_max_megapixels` in the library)";
        if pixels > u64::from(limit) * 1_000_000 {
            let megapixels = pixels.div_ceil(1_000_000);
            return Some(format!(
                "{width}×{height} pixels are {megapixels} megapixels, above the limit of {limit}; {remedy}"
            ));
        }
        if width.max(height) > MAX_SIDE {
            return Some(format!(
                "{width}×{height} pixels: a side may have at most {MAX_SIDE}; cut the image"
            ));
        }
        (bytes > self.max_bytes()).then(|| {
            format!(
                "{width}×{height} pixels of {} bytes each take {} MB, above the {} MB that the limit of {limit} \
                 megapixels allows; {remedy}",
                bytes / pixels.max(1),
                bytes / 1_000_000,
                self.max_bytes() / 1_000_000
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn threads_never_hold_more_than_the_budget_and_all_of_them_end() {
        let (budget, held) = (MemoryBudget::new(100), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (budget, held) = (&budget, &held);
                scope.spawn(move || {
                    for round in 0..200_u64 {
                        let bytes = (thread * 37 + round * 11) % 130; // some are above the whole
                        let mut permit = budget.take(bytes);
                        let taken = bytes.min(100);
                        assert!(held.fetch_add(taken, Ordering::SeqCst) + taken <= 100);
                        held.fetch_sub(taken - taken / 2, Ordering::SeqCst);
                        permit.shrink(taken / 2);
                        std::thread::yield_now();
                        held.fetch_sub(taken / 2, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn problems_name_size_limit_and_flag() {
        let limits = ImageLimits::new();
        assert_eq!(limits.problem([12_000, 8_400], 302_400_000), None);
        let problem = limits.problem([16_384, 16_384], 1 << 28).unwrap();
        assert!(
            problem.starts_with("16384×16384 pixels are 269 megapixels, above the limit of 128;")
                && problem.contains("--max-megapixels"),
            "{problem}"
        );
        let problem = limits.problem([10_000, 10_000], 1_600_000_000).unwrap();
        assert!(problem.contains("take 1600 MB, above the 1024 MB"), "{problem}");
        assert!(limits.problem([70_000, 2], 1).unwrap().contains("at most 65535"));
        assert!(limits.with_max_megapixels(0).is_err());
    }
}
