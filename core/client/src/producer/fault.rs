//! Brokers that were slow or failed, and how long sends avoid them (`MQFaultStrategy`, `LatencyFaultToleranceImpl`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::time::Instant;

/// From this latency on, a broker is avoided for so long.
const PENALTIES: [(Duration, Duration); 5] = [
    (Duration::from_millis(15_000), Duration::from_millis(30_000)),
    (Duration::from_millis(5000), Duration::from_millis(10_000)),
    (Duration::from_millis(3000), Duration::from_millis(6000)),
    (Duration::from_millis(1800), Duration::from_millis(5000)),
    (Duration::from_millis(550), Duration::from_millis(2000)),
];
/// What a send that failed counts as.
const FAILURE: Duration = Duration::from_secs(10);

/// What is known of the brokers that one producer sent to.
#[derive(Default)]
pub(super) struct Faults {
    brokers: RwLock<HashMap<Arc<str>, Fault>>,
}

#[derive(Clone, Copy)]
struct Fault {
    avoid_until: Instant,
    failed: bool,
}

impl Faults {
    /// A send to this broker took so long, and came to a good end or not.
    pub(super) fn note(&self, broker: &Arc<str>, latency: Duration, failed: bool) {
        let counted = if failed { FAILURE } else { latency };
        let penalty = PENALTIES.iter().find(|(from, _)| counted >= *from).map(|(_, penalty)| *penalty);
        let Some(penalty) = penalty else {
            // Nothing is known of most brokers, and a quick answer keeps it so.
            if self.brokers.read().contains_key(broker) {
                self.brokers.write().remove(broker);
            }
            return;
        };
        let fault = Fault { avoid_until: Instant::now() + penalty, failed };
        self.brokers.write().insert(broker.clone(), fault);
    }

    /// Whether sends need not avoid it now.
    pub(super) fn is_available(&self, broker: &str) -> bool {
        self.brokers.read().get(broker).is_none_or(|fault| Instant::now() >= fault.avoid_until)
    }

    /// Whether the last send to it came to a good end, however slowly.
    pub(super) fn is_reachable(&self, broker: &str) -> bool {
        self.brokers.read().get(broker).is_none_or(|fault| !fault.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn brokers_are_avoided_as_long_as_javas_table_says() {
        let broker: Arc<str> = "b".into();
        for (latency, penalty) in [
            (0, 0),
            (50, 0),
            (100, 0),
            (549, 0),
            (550, 2000),
            (1800, 5000),
            (2999, 5000),
            (3000, 6000),
            (5000, 10_000),
            (14_999, 10_000),
            (15_000, 30_000),
        ] {
            let faults = Faults::default();
            faults.note(&broker, Duration::from_millis(latency), false);
            assert!(faults.is_reachable("b"));
            if penalty > 0 {
                tokio::time::advance(Duration::from_millis(penalty - 1)).await;
                assert!(!faults.is_available("b"), "{latency}");
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            assert!(faults.is_available("b"), "{latency}");
        }
        let faults = Faults::default();
        faults.note(&broker, Duration::ZERO, true);
        assert!(!faults.is_reachable("b") && !faults.is_available("b") && faults.is_available("other"));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(faults.is_available("b") && !faults.is_reachable("b"));
        faults.note(&broker, Duration::ZERO, true);
        faults.note(&broker, Duration::from_millis(1), false);
        assert!(faults.is_available("b") && faults.is_reachable("b"));
    }
}
