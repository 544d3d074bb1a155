//! What the broker reads from and adds to the properties of a message that it stores.

use mq_protocol::id::UniqueIds;
use mq_protocol::property::{key, pairs, push_pair};

use crate::config::BrokerConfig;
use crate::service::now_millis;

/// Value separator that must close what is there before more is added.
const VALUE_END: char = '\u{2}';

/// What a message's properties say to the broker, from one pass over them.
#[derive(Debug, Default)]
pub(crate) struct Noted<'a> {
    pub(super) unique_key: Option<&'a str>,
    pub(super) delay_level: i32,
    /// A half message of a transaction.
    pub(super) half: bool,
    /// To be delivered at some time.
    pub(super) timed: bool,
    /// Has keys.
    pub(super) keyed: bool,
    /// Whether the sender waits for the disk.
    pub(super) wait: bool,
    /// Whether something stands there that the broker sets itself.
    rewrite: bool,
}

impl<'a> Noted<'a> {
    pub(super) fn of(text: &'a str) -> Noted<'a> {
        let mut noted = Noted { wait: true, ..Noted::default() };
        for (name, value) in pairs(text) {
            match name {
                key::UNIQ_KEY => noted.unique_key = Some(value),
                key::DELAY => noted.delay_level = value.trim().parse().unwrap_or(0),
                key::TRAN_MSG => noted.half = value.eq_ignore_ascii_case("true"),
                key::TIMER_DELAY_SEC | key::TIMER_DELAY_MS | key::TIMER_DELIVER_MS => noted.timed = true,
                key::KEYS => noted.keyed = true,
                key::WAIT => noted.wait = !value.eq_ignore_ascii_case("false"),
                key::CLUSTER | key::MSG_REGION | key::TRACE_ON | key::POP_CK | key::PROP_CRC => {
                    noted.rewrite = true;
                }
                _ => {}
            }
        }
        noted
    }
}

/// As what a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    Message,
    /// Its delay level becomes -1.
    DeadLetter,
}

/// What every message gets from this broker.
#[derive(Debug)]
pub(crate) struct Stamps {
    region: String,
    trace_on: bool,
    /// `MSG_REGION`, `TRACE_ON` and `CLUSTER`, ready to append.
    suffix: String,
    ids: UniqueIds,
}

impl Stamps {
    pub(crate) fn new(config: &BrokerConfig, host: std::net::IpAddr) -> Stamps {
        let mut suffix = String::new();
        push_pair(&mut suffix, key::MSG_REGION, &config.region_id);
        push_pair(&mut suffix, key::TRACE_ON, if config.trace_on { "true" } else { "false" });
        push_pair(&mut suffix, key::CLUSTER, &config.broker_cluster_name);
        let salt = u32::try_from(now_millis() & 0xFFFF_FFFF).unwrap_or(0);
        Stamps {
            region: config.region_id.clone(),
            trace_on: config.trace_on,
            suffix,
            ids: UniqueIds::new(host, std::process::id(), salt),
        }
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn trace_on(&self) -> bool {
        self.trace_on
    }

    /// Writes to `out` the properties under which the message is stored.
    pub(super) fn stamp(&self, original: &str, noted: &Noted<'_>, stamp: Stamp, out: &mut String) {
        out.clear();
        out.reserve(original.len() + self.suffix.len() + 64);
        if noted.rewrite || stamp == Stamp::DeadLetter {
            for (name, value) in pairs(original) {
                let replaced = match name {
                    key::CLUSTER | key::MSG_REGION | key::TRACE_ON | key::POP_CK | key::PROP_CRC => true,
                    key::DELAY => stamp == Stamp::DeadLetter,
                    _ => false,
                };
                if !replaced {
                    push_pair(out, name, value);
                }
            }
        } else {
            out.push_str(original);
            if !original.is_empty() && !original.ends_with(VALUE_END) {
                out.push(VALUE_END);
            }
        }
        if stamp == Stamp::DeadLetter {
            push_pair(out, key::DELAY, "-1");
        }
        if noted.unique_key.is_none() {
            push_pair(out, key::UNIQ_KEY, &self.ids.next(millis_into_month(now_millis())));
        }
        out.push_str(&self.suffix);
    }
}

/// Milliseconds since the start of the month (UTC) of an instant.
fn millis_into_month(now: i64) -> u32 {
    const DAY: i64 = 86_400_000;
    let days = now.div_euclid(DAY);
    // Days from the civil calendar, counted in eras of 400 years that begin in March.
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5;
    u32::try_from(day_of_month * DAY + now.rem_euclid(DAY)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps() -> Stamps {
        Stamps::new(&BrokerConfig::default(), std::net::Ipv4Addr::LOCALHOST.into())
    }

    #[test]
    fn properties_are_kept_and_ours_added_once() {
        let stamps = stamps();
        let mut out = String::new();
        let original = "UNIQ_KEY\u{1}X\u{2}KEYS\u{1}k";
        stamps.stamp(original, &Noted::of(original), Stamp::Message, &mut out);
        let want = "UNIQ_KEY\u{1}X\u{2}KEYS\u{1}k\u{2}MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}\
            CLUSTER\u{1}DefaultCluster\u{2}";
        assert_eq!(out, want);
        let again = out.clone();
        stamps.stamp(&again, &Noted::of(&again), Stamp::Message, &mut out);
        assert_eq!(out, want);
        stamps.stamp("DELAY\u{1}3\u{2}POP_CK\u{1}x\u{2}", &Noted::of(original), Stamp::DeadLetter, &mut out);
        assert!(out.starts_with("DELAY\u{1}-1\u{2}MSG_REGION"), "{out:?}");
    }

    #[test]
    fn a_message_without_unique_key_gets_one() {
        let mut out = String::new();
        stamps().stamp("", &Noted::of(""), Stamp::Message, &mut out);
        assert_eq!(Noted::of(&out).unique_key.map(str::len), Some(32));
    }

    #[test]
    fn the_month_begins_at_its_first_day() {
        for (instant, want) in [
            (0, 0),
            (951_782_400_000, 28 * 86_400_000),
            (951_868_800_000, 0),
            (1_700_000_000_000, 13 * 86_400_000 + 80_000_000),
        ] {
            assert_eq!(millis_into_month(instant), want, "{instant}");
        }
    }
}
