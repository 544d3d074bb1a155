//! Time limits of calls as moments.

use std::time::{Duration, Instant};

/// Longer than any call; what is longer still is taken as this, because not every sum is a moment.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment when a time limit that begins now is over; however long it is.
pub(crate) fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_limit_is_too_long() {
        assert!(deadline(Duration::MAX) > deadline(Duration::from_secs(3600)));
    }
}
