//! Points in time as people write them: how long from or before now, a date, or RFC 3339.

use bascule_domain::Timestamp;
use jiff::{Span, ZonedDateTime, civil::DateTime, tz::TimeZone};

use crate::clock;

const EXPECTED: &str = "expected a time such as 30d or 12h, a date such as 2027-01-01 (its beginning, local time), or RFC 3339";

/// A time to come: `30d` is in thirty days.
pub(crate) fn ahead(text: &str) -> Result<Timestamp, String> {
    read(text, &now(), 1)
}

/// A time gone by: `30d` was thirty days ago.
pub(crate) fn back(text: &str) -> Result<Timestamp, String> {
    read(text, &now(), -1)
}

fn now() -> ZonedDateTime {
    clock::now().to_zoned_datetime(TimeZone::system())
}

/// Days and longer units are those of the calendar of `now`; `sign` is that of a span.
fn read(text: &str, now: &ZonedDateTime, sign: i64) -> Result<Timestamp, String> {
    if let Ok(span) = text.parse::<Span>() {
        let then = (span.is_positive()).then(|| now.checked_add(span * sign).ok());
        return then
            .flatten()
            .map(|then| then.timestamp())
            .ok_or_else(|| EXPECTED.to_owned());
    }
    if let Ok(then) = text.parse::<Timestamp>() {
        return Ok(then);
    }
    text.parse::<DateTime>()
        .and_then(|then| then.to_zoned_datetime(now.time_zone().clone()))
        .map(|then| then.timestamp())
        .map_err(|_| EXPECTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, sign: i64) -> Option<String> {
        let now: ZonedDateTime = "2026-03-28T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        read(text, &now, sign).ok().map(|then| then.to_string())
    }

    #[test]
    fn a_time_is_read_as_it_is_meant() {
        for (text, then) in [
            ("12h", "2026-03-28T23:00:00Z"),
            ("90m", "2026-03-28T12:30:00Z"),
            // The clocks go forward in between: the same time of the day, 23 hours later.
            ("1d", "2026-03-29T10:00:00Z"),
            ("2w", "2026-04-11T10:00:00Z"),
            ("1d12h", "2026-03-29T22:00:00Z"),
            ("2027-01-01", "2026-12-31T23:00:00Z"),
            ("2027-01-01T08:30", "2027-01-01T07:30:00Z"),
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T00:00:00+05:30", "2026-12-31T18:30:00Z"),
            ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ] {
            assert_eq!(check(text, 1).as_deref(), Some(then), "{text}");
        }
        assert_eq!(check("1d", -1).as_deref(), Some("2026-03-27T11:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "30",
            "0d",
            "-1d",
            "1d ago",
            "soon",
            "2027-13-01",
            "2027-02-30",
            "20000y",
            "99999999999999999999d",
        ] {
            assert_eq!(check(text, 1), None, "{text}");
        }
    }
}
