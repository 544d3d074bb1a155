//! Time: the clock that the store reads, and the machine's local time for names and the hour of cleaning.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the store has its time from. Store timestamps never go back even if this does.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the epoch.
    fn now_millis(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Fields of a time in the machine's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    year: i64,
    month: i64,
    day: i64,
    /// 0 to 23.
    pub(crate) hour: i64,
    minute: i64,
    second: i64,
    millis: i64,
}

impl LocalTime {
    /// The local time of an instant given in milliseconds since the epoch.
    pub(crate) fn at(millis: i64) -> LocalTime {
        let seconds: libc::time_t = millis.div_euclid(1000);
        // SAFETY: `tm` is plain data, for which all zeros is a value.
        let mut tm: libc::tm = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live locals of the right types; `localtime_r` keeps neither.
        let found = unsafe { libc::localtime_r(&raw const seconds, &raw mut tm) };
        if found.is_null() {
            tm.tm_year = 70;
            tm.tm_mday = 1;
        }
        LocalTime {
            year: i64::from(tm.tm_year) + 1900,
            month: i64::from(tm.tm_mon) + 1,
            day: i64::from(tm.tm_mday),
            hour: i64::from(tm.tm_hour),
            minute: i64::from(tm.tm_min),
            second: i64::from(tm.tm_sec),
            millis: millis.rem_euclid(1000),
        }
    }

    /// `yyyyMMddHHmmssSSS`, the name of an index file (`UtilAll.timeMillisToHumanString`).
    pub(crate) fn compact(&self) -> String {
        let LocalTime { year, month, day, hour, minute, second, millis } = self;
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{millis:03}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_has_seventeen_digits_and_sorts_by_time() {
        let (a, b) = (LocalTime::at(1_700_000_000_123).compact(), LocalTime::at(1_700_000_001_000).compact());
        assert_eq!(a.len(), 17);
        assert!(a.ends_with("123") && a < b, "{a} {b}");
    }
}
