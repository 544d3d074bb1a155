//! The bound on what a producer has on its way: messages and bytes.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::{Error, ErrorCode};

pub(super) struct InFlight {
    max_count: usize,
    max_bytes: usize,
    wait: bool,
    state: Mutex<State>,
    /// Told when something arrived and somebody waits for that.
    freed: Notify,
}

#[derive(Default)]
struct State {
    count: usize,
    bytes: usize,
    waiting: usize,
    closed: bool,
}

impl InFlight {
    pub(super) fn new(max_count: usize, max_bytes: usize, wait: bool) -> InFlight {
        InFlight { max_count, max_bytes, wait, state: Mutex::default(), freed: Notify::new() }
    }

    /// Takes the room for one send, waiting for it until `deadline` if that is the setting.
    pub(super) async fn enter(&self, bytes: usize, deadline: Instant) -> Result<Permit<'_>, Error> {
        if let Some(permit) = self.try_enter(bytes)? {
            return Ok(permit);
        }
        Box::pin(self.enter_late(bytes, deadline)).await
    }

    async fn enter_late(&self, bytes: usize, deadline: Instant) -> Result<Permit<'_>, Error> {
        if !self.wait {
            return Err(Error::new(
                ErrorCode::QueueFull,
                format!(
                    "{} messages are on their way already ('max_in_flight' {}, 'max_in_flight_bytes' {}); wait for some to arrive",
                    self.state.lock().count,
                    self.max_count,
                    self.max_bytes
                ),
            ));
        }
        self.state.lock().waiting += 1;
        let _waiting = Waiting(self);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(permit) = self.try_enter(bytes)? {
                return Ok(permit);
            }
            if timeout_at(deadline, freed).await.is_err() {
                return Err(Error::new(
                    ErrorCode::QueueFull,
                    format!(
                        "no room for the message became free in time: 'max_in_flight' is {}, 'max_in_flight_bytes' {}",
                        self.max_count, self.max_bytes
                    ),
                ));
            }
        }
    }

    fn try_enter(&self, bytes: usize) -> Result<Option<Permit<'_>>, Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::closed("the producer"));
        }
        // A message that is larger than the bound goes alone.
        let room =
            state.count < self.max_count && (state.bytes + bytes <= self.max_bytes || state.bytes == 0);
        if !room {
            return Ok(None);
        }
        state.count += 1;
        state.bytes += bytes;
        Ok(Some(Permit { of: self, bytes }))
    }

    /// Lets nothing more in and waits until all has left or the time is over.
    pub(super) async fn close(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        {
            let mut state = self.state.lock();
            state.closed = true;
            state.waiting += 1;
        }
        let _waiting = Waiting(self);
        self.freed.notify_waiters();
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.state.lock().count == 0 || timeout_at(deadline, freed).await.is_err() {
                return;
            }
        }
    }
}

/// Room that is taken until this is dropped.
pub(super) struct Permit<'a> {
    of: &'a InFlight,
    bytes: usize,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.of.state.lock();
            state.count -= 1;
            state.bytes -= self.bytes;
            state.waiting > 0
        };
        if waiting {
            // Those who wait need different amounts of room, so each looks for itself.
            self.of.freed.notify_waiters();
        }
    }
}

struct Waiting<'a>(&'a InFlight);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bounds_hold_and_free_room_is_handed_on() {
        let soon = || Instant::now() + Duration::from_secs(30);
        let bound = InFlight::new(2, 100, false);
        let first = bound.enter(60, soon()).await.unwrap();
        let Err(error) = bound.enter(60, soon()).await else { panic!("bytes are bounded") };
        assert_eq!(error.code(), ErrorCode::QueueFull);
        let second = bound.enter(40, soon()).await.unwrap();
        assert!(bound.enter(0, soon()).await.is_err());
        drop((first, second));
        drop(bound.enter(1000, soon()).await.unwrap());

        let bound = InFlight::new(1, 100, true);
        let held = bound.enter(1, soon()).await.unwrap();
        let (entered, ()) = tokio::join!(bound.enter(1, soon()), async { drop(held) });
        drop(entered.unwrap());
        let held = bound.enter(1, soon()).await.unwrap();
        let ((), (), late) =
            tokio::join!(bound.close(Duration::from_secs(30)), async { drop(held) }, bound.enter(1, soon()));
        assert_eq!(late.err().map(|error| error.code()), Some(ErrorCode::Closed));
    }
}
