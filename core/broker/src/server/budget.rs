//! What all connections of a server share: memory for frames that are not complete yet, requests without an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Limits;

/// What each connection may hold without asking.
const FREE: usize = 256 * 1024;

/// Bytes that are held, and how many may be.
#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Budget {
        Budget { held: AtomicUsize::new(0), limit }
    }
}

/// One connection's part of a budget; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Share {
    pub(super) fn of(budget: &Arc<Budget>) -> Share {
        Share { budget: budget.clone(), held: 0 }
    }

    /// Sets what this connection holds; `false` if the budget does not allow that much.
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        let bytes = if bytes <= FREE { 0 } else { bytes };
        if bytes > self.held {
            let more = bytes - self.held;
            let before = self.budget.held.fetch_add(more, Ordering::Relaxed);
            if before.saturating_add(more) > self.budget.limit {
                self.budget.held.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else if bytes < self.held {
            self.budget.held.fetch_sub(self.held - bytes, Ordering::Relaxed);
        }
        self.held = bytes;
        true
    }
}

/// Requests of one connection that are handled and not answered yet, which count towards those of all.
#[derive(Debug)]
pub(super) struct Unanswered {
    all: Arc<AtomicUsize>,
    own: usize,
    limits: Limits,
}

impl Unanswered {
    pub(super) fn new(all: &Arc<AtomicUsize>, limits: Limits) -> Unanswered {
        Unanswered { all: all.clone(), own: 0, limits }
    }

    /// Whether another one is allowed.
    pub(super) fn has_room(&self) -> bool {
        self.own < self.limits.unanswered_per_connection
            && self.all.load(Ordering::Relaxed) < self.limits.unanswered
    }

    /// Sets how many this connection has.
    pub(super) fn set(&mut self, own: usize) {
        if own > self.own {
            self.all.fetch_add(own - self.own, Ordering::Relaxed);
        } else if own < self.own {
            self.all.fetch_sub(self.own - own, Ordering::Relaxed);
        }
        self.own = own;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_shares_count_until_they_are_given_back() {
        let budget = Arc::new(Budget::new(1_000_000));
        let (mut a, mut b) = (Share::of(&budget), Share::of(&budget));
        assert!(a.hold(FREE) && b.hold(FREE));
        assert!(a.hold(700_000));
        assert!(!b.hold(300_001) && b.hold(300_000));
        assert!(a.hold(10));
        assert!(b.hold(1_000_000));
        drop(b);
        assert!(a.hold(1_000_000));
    }
}
