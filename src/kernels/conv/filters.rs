//! Filters that Winograd's algorithm has transformed, kept from pass to pass where a network is not trained any more.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::algorithm::Method;
use crate::kernels::buffer_pool::Workspace;

/// Filters kept at most, more than a network has; older ones are of weights that were replaced.
const MOST: usize = 64;

/// The transformed filters of one network. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(Arc<Mutex<VecDeque<Kept>>>);

struct Kept {
    method: Method,
    /// Where the weight lies, and how long it is.
    place: (usize, usize),
    /// The weight itself: while it is held, nothing else can come to lie in its place, nor can it change there.
    _weight: Box<dyn Any + Send>,
    filters: Arc<Workspace>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "filters of {:?}", self.method)
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Filters>> = const { RefCell::new(None) };
}

impl Filters {
    /// Does `work`, on this thread, whose convolutions use and extend `filters`, or keep none.
    pub(crate) fn during<R>(filters: Option<&Self>, work: impl FnOnce() -> R) -> R {
        struct Restore(Option<Filters>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(filters.cloned()));
        work()
    }

    /// Whether this thread is in a pass that keeps its filters.
    pub(in crate::kernels) fn are_kept() -> bool {
        CURRENT.with_borrow(Option::is_some)
    }

    fn of(&self, method: Method, weight: &Weight, compute: impl FnOnce() -> Workspace) -> Arc<Workspace> {
        let place = (weight.values.as_ptr().addr(), weight.values.len());
        let all = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all()
            .iter()
            .find(|kept| kept.method == method && kept.place == place)
            .map(|kept| &kept.filters)
            .cloned();
        found.unwrap_or_else(|| {
            let filters = Arc::new(compute());
            let mut all = all();
            all.push_back(Kept { method, place, _weight: (weight.holder)(), filters: filters.clone() });
            if all.len() > MOST {
                all.pop_front();
            }
            filters
        })
    }
}

/// The weight of a convolution, `[O, C, kernel, kernel]`.
pub(in crate::kernels) struct Weight<'a> {
    pub(in crate::kernels) values: Cow<'a, [f32]>,
    /// Gives something that keeps the values where they are.
    pub(in crate::kernels) holder: Box<dyn Fn() -> Box<dyn Any + Send> + 'a>,
}

impl Weight<'_> {
    /// Its filters by a method: kept ones, or such as `compute` finds.
    pub(in crate::kernels) fn filters(
        &self,
        method: Method,
        compute: impl FnOnce() -> Workspace,
    ) -> Arc<Workspace> {
        let current = CURRENT.with_borrow(Clone::clone);
        match (&self.values, current) {
            (Cow::Borrowed(_), Some(filters)) => filters.of(method, self, compute),
            // A copy lies elsewhere each time.
            _ => Arc::new(compute()),
        }
    }
}
