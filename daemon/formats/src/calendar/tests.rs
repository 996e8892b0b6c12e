use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::{Calendar, NoCalendar};

/// A Thursday.
const NOW: &str = "2026-11-26T10:15:30Z";

#[track_caller]
fn check(calendar: Result<Calendar, NoCalendar>, next: Option<&str>) {
    let found = calendar
        .unwrap()
        .next(NOW.parse().unwrap(), &TimeZone::UTC)
        .map(|next| next.to_string());
    assert_eq!(found.as_deref(), next);
}

#[track_caller]
fn systemd(text: &str, next: &str) {
    check(
        Calendar::systemd(text).map(|(calendar, _)| calendar),
        Some(next),
    );
}

#[track_caller]
fn cron(text: &str, next: &str) {
    let fields: Vec<&str> = text.split(' ').collect();
    check(Calendar::cron(&fields.try_into().unwrap()), Some(next));
}

/// What `systemd-analyze calendar --base-time` of systemd 252 says.
#[test]
fn systemds_events_come_when_systemd_says() {
    for (text, next) in [
        ("daily", "2026-11-27T00:00:00Z"),
        ("hourly", "2026-11-26T11:00:00Z"),
        ("minutely", "2026-11-26T10:16:00Z"),
        ("weekly", "2026-11-30T00:00:00Z"),
        ("monthly", "2026-12-01T00:00:00Z"),
        ("quarterly", "2027-01-01T00:00:00Z"),
        ("*-*-* 03:17", "2026-11-27T03:17:00Z"),
        ("03:17:20", "2026-11-27T03:17:20Z"),
        ("*:0/15", "2026-11-26T10:30:00Z"),
        ("*:*:30", "2026-11-26T10:16:30Z"),
        ("*:*:31", "2026-11-26T10:15:31Z"),
        ("Mon..Fri *-*-* 10:00", "2026-11-27T10:00:00Z"),
        ("Sat,Sun 8..10:30", "2026-11-28T08:30:00Z"),
        ("Fri..Mon 12:00", "2026-11-27T12:00:00Z"),
        ("*-*~01", "2026-11-30T00:00:00Z"),
        ("*-02~01 12:00", "2027-02-28T12:00:00Z"),
        ("*-2-29", "2028-02-29T00:00:00Z"),
        ("2027..2030-1-2,5 4:05", "2027-01-02T04:05:00Z"),
        ("Mon *-05~07/1", "2027-05-31T00:00:00Z"),
        ("*-05~07/2", "2027-05-25T00:00:00Z"),
        ("12-24 18:00:00.5", "2026-12-24T18:00:00Z"),
        ("Thursday", "2026-12-03T00:00:00Z"),
        ("*-*-1/10", "2026-12-01T00:00:00Z"),
    ] {
        systemd(text, next);
    }
    for text in [
        "",
        "never",
        "25:00",
        "*-13-01",
        "1:2:3:4",
        "Mon Tue",
        "*-*-0",
        "*:0/0",
        "daily x y",
    ] {
        assert_eq!(Calendar::systemd(text), Err(NoCalendar::Invalid), "{text}");
    }
    check(
        Calendar::systemd("2019-1-1").map(|(calendar, _)| calendar),
        None,
    );
    check(
        Calendar::systemd("*-2-31").map(|(calendar, _)| calendar),
        None,
    );
}

#[test]
fn a_zone_is_told_apart_from_weekdays() {
    let zone = |text| Calendar::systemd(text).unwrap().1;
    assert_eq!(zone("*-*-* 03:00 Europe/Berlin"), Some("Europe/Berlin"));
    assert_eq!(zone("daily UTC"), Some("UTC"));
    assert_eq!(zone("Mon 03:00"), None);
    assert_eq!(zone("Mon"), None);
}

#[test]
fn crons_fields_count_as_cron_counts_them() {
    for (text, next) in [
        ("17 * * * *", "2026-11-26T10:17:00Z"),
        ("15 10 * * *", "2026-11-27T10:15:00Z"),
        ("*/20 3-5 * * *", "2026-11-27T03:00:00Z"),
        ("0 4 * * sun", "2026-11-29T04:00:00Z"),
        ("0 4 * * 7", "2026-11-29T04:00:00Z"),
        ("0 4 * * 0", "2026-11-29T04:00:00Z"),
        ("0 4 * * 5-7", "2026-11-27T04:00:00Z"),
        ("0 4 1 jan *", "2027-01-01T04:00:00Z"),
        ("30 4 1,15 * 5", "2026-11-27T04:30:00Z"),
        // The first that is a Friday: a star makes both count.
        ("30 4 */10 * 5", "2026-12-11T04:30:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
    ] {
        cron(text, next);
    }
    let of = |text: &str| {
        let fields: Vec<&str> = text.split(' ').collect();
        Calendar::cron(&fields.try_into().unwrap())
    };
    assert_eq!(of("0~30 * * * *"), Err(NoCalendar::Random));
    for text in [
        "60 * * * *",
        "* * 0 * *",
        "* * * * 8",
        "5-1 * * * *",
        "x * * * *",
        "*/0 * * * *",
        ", * * * *",
    ] {
        assert_eq!(of(text), Err(NoCalendar::Invalid), "{text}");
    }
}

#[test]
fn an_hour_that_a_zone_leaves_out_or_repeats_is_no_trap() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let next = |text: &str, after: &str| {
        let (calendar, _) = Calendar::systemd(text).unwrap();
        calendar
            .next(after.parse().unwrap(), &zone)
            .unwrap()
            .to_string()
    };
    // 02:30 does not happen that day.
    assert_eq!(
        next("02:30", "2026-03-28T20:00:00Z"),
        "2026-03-29T01:30:00Z"
    );
    assert_eq!(
        next("02:30", "2026-10-24T20:00:00Z"),
        "2026-10-25T00:30:00Z"
    );
    // Within the second 02:xx.
    assert_eq!(
        next("02:30", "2026-10-25T01:10:00Z"),
        "2026-10-26T01:30:00Z"
    );
    assert_eq!(
        next("03:00", "2026-10-25T01:10:00Z"),
        "2026-10-25T02:00:00Z"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_text_makes_a_calendar_panic_and_what_is_next_comes_later(
        text in "([A-Za-z]{3,4}|[0-9*]{1,4}|\\.\\.|[-,/:~ .]|daily|ä){0,12}",
        seconds in 0_i64..4_000_000_000,
    ) {
        let after = Timestamp::from_second(seconds).unwrap();
        let fields: Vec<&str> = text.split(' ').collect();
        let calendars = [
            Calendar::systemd(&text).map(|(calendar, _)| calendar),
            <[&str; 5]>::try_from(fields).map_or(Err(NoCalendar::Invalid), |fields| Calendar::cron(&fields)),
        ];
        for calendar in calendars.into_iter().flatten() {
            if let Some(next) = calendar.next(after, &TimeZone::UTC) {
                prop_assert!(next > after);
            }
        }
    }
}
