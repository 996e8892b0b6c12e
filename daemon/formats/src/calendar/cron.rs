//! Cron's five fields, as Vixie's cron and its successors read them.

use super::{Calendar, NoCalendar, bits, stepped};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

pub(super) fn parse(fields: &[&str; 5]) -> Result<Calendar, NoCalendar> {
    let [minute, hour, day, month, weekday] = fields;
    let weekdays = field(weekday, 0, 7, &DAYS, 0)?;
    // Sunday is 0 and 7 here, and the last day of the week in a calendar.
    let sunday = (weekdays | weekdays >> 7) & 1;
    Ok(Calendar {
        years: Vec::new(),
        months: field(month, 1, 12, &MONTHS, 1)?,
        days: field(day, 1, 31, &[], 0)?,
        from_end: false,
        weekdays: (weekdays >> 1 & 0x3f) | sunday << 6,
        // It is the star that counts: with `*/2` in one of them both must fit.
        either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        hours: field(hour, 0, 23, &[], 0)?,
        minutes: field(minute, 0, 59, &[], 0)?,
        seconds: 1,
    })
}

fn field(text: &str, low: u32, high: u32, names: &[&str], base: u32) -> Result<u64, NoCalendar> {
    let number = |text: &str| {
        let name = names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        let value = match name {
            Some(at) => u32::try_from(at).ok()? + base,
            None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (low..=high).contains(&value).then_some(value)
    };
    let mut all = 0;
    for item in text.split(',') {
        if item.contains('~') {
            return Err(NoCalendar::Random);
        }
        let (range, step) = stepped(item)?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (Some(low), Some(high)),
            Some((first, last)) => (number(first), number(last)),
            // `5/10` is from 5 on, for cronie; Debian's refuses it.
            None if item.contains('/') => (number(range), Some(high)),
            None => (number(range), number(range)),
        };
        let (Some(first), Some(last)) = (first, last) else {
            return Err(NoCalendar::Invalid);
        };
        if first > last {
            return Err(NoCalendar::Invalid);
        }
        all |= bits(first, last, step);
    }
    Ok(all)
}
