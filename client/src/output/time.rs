//! Times: RFC 3339 in documents, absolute and relative for people.

use bascule_domain::Timestamp;
use prost_types::Timestamp as WireTime;

pub(crate) use bascule_proto::document::{parsed, rfc3339};

/// `2026-11-23 23:52:52 UTC (3 min ago)`; empty when there is no time.
pub(crate) fn human(wire: Option<&WireTime>, now: Timestamp) -> String {
    parsed(wire).map_or_else(String::new, |time| absolute_and_relative(time, now))
}

/// The same for a value.
pub(crate) fn absolute_and_relative(time: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", absolute(time), relative(time, now))
}

/// `2026-11-23 23:52:52 UTC`.
pub(crate) fn absolute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `3 min ago`; empty when there is no time.
pub(crate) fn ago(wire: Option<&WireTime>, now: Timestamp) -> String {
    parsed(wire).map_or_else(String::new, |time| relative(time, now))
}

pub(crate) fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(time.as_second());
    let span = match seconds.unsigned_abs() {
        0..=4 => return "just now".to_owned(),
        s @ 5..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    };
    if seconds < 0 {
        format!("in {span}")
    } else {
        format!("{span} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds_ago: i64, expected: &str) {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let time = Timestamp::from_second(1_800_000_000 - seconds_ago).unwrap();
        assert_eq!(relative(time, now), expected);
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        check(0, "just now");
        check(59, "59 s ago");
        check(180, "3 min ago");
        check(7_200, "2 h ago");
        check(86_400 * 3, "3 days ago");
        check(-600, "in 10 min");
    }

    #[test]
    fn absent_and_impossible_times_are_empty() {
        let now = Timestamp::from_second(0).unwrap();
        assert_eq!(human(None, now), "");
        let impossible = WireTime {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert_eq!(human(Some(&impossible), now), "");
        let epoch = WireTime {
            seconds: 0,
            nanos: 0,
        };
        assert_eq!(
            human(Some(&epoch), now),
            "1970-01-01 00:00:00 UTC (just now)"
        );
        assert_eq!(rfc3339(Some(&epoch)).unwrap(), "1970-01-01T00:00:00Z");
    }
}
