//! Faults that a test sets: what goes wrong with the next requests of a kind, and ports that refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mq_protocol::{RequestCode, ResponseCode};
use parking_lot::Mutex;

/// Faults of a broker and of the NameServer in its process.
///
/// Each call sets a fault for the next `times` requests of a code, whoever sends them. `SEND_MESSAGE` stands for all
/// codes that send, `PULL_MESSAGE` for both that pull. Of several faults that fit a request, the one that was set first
/// applies, alone. Clones are the same faults. All methods may be called from any thread.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether any fault is set, so that a request without any pays nothing.
    any: AtomicBool,
    refuse: AtomicBool,
    set: Mutex<Vec<Set>>,
}

#[derive(Debug)]
struct Set {
    request: RequestCode,
    fault: Fault,
    times: u32,
}

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not carried out; the answer has this code. A code that says the message was stored but not made safe in time
    /// comes with the message stored.
    Fail(ResponseCode),
    /// It is handled later.
    Delay(Duration),
    /// It is not carried out; its connection ends.
    Drop,
    /// It is carried out and not answered.
    LoseAnswer,
}

impl Faults {
    /// The next `times` requests of this code are not carried out and answered with `response`. With FLUSH_DISK_TIMEOUT,
    /// SLAVE_NOT_AVAILABLE or FLUSH_SLAVE_TIMEOUT they are carried out, as these codes say, and answered so.
    pub fn fail_next(&self, request: RequestCode, response: ResponseCode, times: u32) {
        self.add(request, Fault::Fail(response), times);
    }

    /// The next `times` requests of this code are handled after `delay` by the machine's clock; other requests of their
    /// connections go on meanwhile.
    pub fn delay_next(&self, request: RequestCode, delay: Duration, times: u32) {
        self.add(request, Fault::Delay(delay), times);
    }

    /// The next `times` requests of this code are not carried out; their connections are closed instead.
    pub fn drop_connection_next(&self, request: RequestCode, times: u32) {
        self.add(request, Fault::Drop, times);
    }

    /// The next `times` requests of this code are carried out, but nobody is told.
    pub fn lose_answer_next(&self, request: RequestCode, times: u32) {
        self.add(request, Fault::LoseAnswer, times);
    }

    /// Whether the broker closes new connections at once. Open ones stay, and the NameServer goes on accepting.
    pub fn refuse_connections(&self, refuse: bool) {
        self.0.refuse.store(refuse, Ordering::SeqCst);
    }

    /// Takes all faults back; the broker accepts again.
    pub fn clear(&self) {
        let mut set = self.0.set.lock();
        set.clear();
        self.0.any.store(false, Ordering::SeqCst);
        drop(set);
        self.refuse_connections(false);
    }

    fn add(&self, request: RequestCode, fault: Fault, times: u32) {
        if times > 0 {
            let mut set = self.0.set.lock();
            set.push(Set { request, fault, times });
            self.0.any.store(true, Ordering::SeqCst);
        }
    }

    /// The fault of a request that has come, which uses it up.
    pub(crate) fn take(&self, request: RequestCode) -> Option<Fault> {
        if !self.0.any.load(Ordering::Relaxed) {
            return None;
        }
        let mut set = self.0.set.lock();
        let at = set.iter().position(|set| stands_for(set.request, request))?;
        let found = set.get_mut(at)?;
        let fault = found.fault;
        found.times -= 1;
        if found.times == 0 {
            set.remove(at);
            self.0.any.store(!set.is_empty(), Ordering::SeqCst);
        }
        Some(fault)
    }

    pub(crate) fn refuses_connections(&self) -> bool {
        self.0.refuse.load(Ordering::Relaxed)
    }
}

/// Whether a fault for `named` applies to `request`.
fn stands_for(named: RequestCode, request: RequestCode) -> bool {
    named == request
        || match named {
            RequestCode::SEND_MESSAGE => {
                matches!(request, RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE)
            }
            RequestCode::PULL_MESSAGE => request == RequestCode::LITE_PULL_MESSAGE,
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_used_up_in_the_order_in_which_they_were_set() {
        let faults = Faults::default();
        let send = RequestCode::SEND_MESSAGE_V2;
        assert_eq!(faults.take(send), None);
        faults.fail_next(RequestCode::SEND_MESSAGE, ResponseCode::SYSTEM_BUSY, 2);
        faults.drop_connection_next(send, 1);
        faults.lose_answer_next(RequestCode::PULL_MESSAGE, 0);
        assert_eq!(faults.take(RequestCode::LITE_PULL_MESSAGE), None);
        assert_eq!(faults.take(RequestCode::SEND_MESSAGE), Some(Fault::Fail(ResponseCode::SYSTEM_BUSY)));
        assert_eq!(faults.take(send), Some(Fault::Fail(ResponseCode::SYSTEM_BUSY)));
        assert_eq!(faults.take(send), Some(Fault::Drop));
        assert_eq!(faults.take(send), None);
        faults.delay_next(send, Duration::from_secs(1), 9);
        faults.refuse_connections(true);
        faults.clear();
        assert_eq!(faults.take(send), None);
        assert!(!faults.refuses_connections());
    }
}
