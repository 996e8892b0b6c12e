//! systemd's calendar events (systemd.time(7)), down to whole seconds.

use super::{Calendar, NoCalendar, bits, stepped};

const SHORTHANDS: [(&str, &str); 10] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];
const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

pub(super) fn parse(text: &str) -> Result<(Calendar, Option<&str>), NoCalendar> {
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    // A zone has letters; the weekdays, which have too, come first.
    let zone = match *words {
        [.., before, last] if is_zone(last) && (is_time_or_date(before) || is_short(before)) => {
            words.pop();
            Some(last)
        }
        _ => None,
    };
    if let [one] = *words
        && let Some((_, long)) = SHORTHANDS
            .iter()
            .find(|(short, _)| one.eq_ignore_ascii_case(short))
    {
        let words: Vec<&str> = long.split(' ').collect();
        return Ok((of_words(&words)?, zone));
    }
    Ok((of_words(&words)?, zone))
}

fn is_zone(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_+-/".contains(&b))
}

fn is_time_or_date(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit() || c == '*')
}

fn is_short(word: &str) -> bool {
    SHORTHANDS
        .iter()
        .any(|(short, _)| word.eq_ignore_ascii_case(short))
}

fn of_words(words: &[&str]) -> Result<Calendar, NoCalendar> {
    let mut words = words.iter().copied().peekable();
    let mut calendar = Calendar {
        years: Vec::new(),
        months: bits(1, 12, 1),
        days: bits(1, 31, 1),
        from_end: false,
        weekdays: bits(0, 6, 1),
        either_day: false,
        hours: 1,
        minutes: 1,
        seconds: 1,
    };
    let mut any = false;
    if let Some(word) = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
        calendar.weekdays = weekdays(word)?;
        any = true;
    }
    // `2026-*-1..7`, but not `1..7:00`.
    if let Some(word) = words.next_if(|word| !word.contains(':')) {
        date(word, &mut calendar)?;
        any = true;
    }
    if let Some(word) = words.next() {
        time(word, &mut calendar)?;
        any = true;
    }
    match words.next() {
        None if any => Ok(calendar),
        _ => Err(NoCalendar::Invalid),
    }
}

fn weekdays(text: &str) -> Result<u64, NoCalendar> {
    let day = |text: &str| {
        let text = text.to_ascii_lowercase();
        let at = DAYS
            .iter()
            .position(|day| *day == text || text.len() == 3 && day.starts_with(&text))?;
        u32::try_from(at).ok()
    };
    let mut all = 0;
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (first, last) = item
            .split_once("..")
            .or_else(|| item.split_once('-'))
            .unwrap_or((item, item));
        let (Some(first), Some(last)) = (day(first), day(last)) else {
            return Err(NoCalendar::Invalid);
        };
        all |= if first <= last {
            bits(first, last, 1)
        } else {
            // Over the weekend.
            bits(first, 6, 1) | bits(0, last, 1)
        };
    }
    if all == 0 {
        Err(NoCalendar::Invalid)
    } else {
        Ok(all)
    }
}

fn date(text: &str, calendar: &mut Calendar) -> Result<(), NoCalendar> {
    let (before, day, from_end) = match text.split_once('~') {
        Some((before, day)) => (before, day, true),
        None => {
            let (before, day) = text.rsplit_once('-').ok_or(NoCalendar::Invalid)?;
            (before, day, false)
        }
    };
    let (year, month) = match before.rsplit_once('-') {
        Some((year, month)) => (Some(year), month),
        None => (None, before),
    };
    calendar.months = field(month, 1, 12)?;
    calendar.days = if from_end {
        days_from_end(day)?
    } else {
        field(day, 1, 31)?
    };
    calendar.from_end = from_end;
    if let Some(year) = year.filter(|year| *year != "*") {
        calendar.years = year.split(',').map(years).collect::<Result<_, _>>()?;
    }
    Ok(())
}

/// Steps lead to the month's end, where the count is 1.
fn days_from_end(text: &str) -> Result<u64, NoCalendar> {
    let mut all = 0;
    for item in text.split(',') {
        all |= match item.split_once('/') {
            Some((first, step)) if !first.contains("..") && first != "*" => {
                let (first, step) = (field(first, 1, 31)?, field(step, 1, 31)?);
                bits(1, 31, 1)
                    & (0..=first.trailing_zeros())
                        .step_by(step.trailing_zeros() as usize)
                        .fold(0, |bits, before| bits | first >> before)
            }
            _ => field(item, 1, 31)?,
        };
    }
    Ok(all)
}

fn years(item: &str) -> Result<(i16, i16, i16), NoCalendar> {
    const LAST: i16 = 2199;
    let year = |text: &str| match text.parse::<i16>() {
        // Two digits are of this century and the last.
        Ok(year @ 0..=69) => Ok(year + 2000),
        Ok(year @ 70..=99) => Ok(year + 1900),
        Ok(year @ 1970..=LAST) => Ok(year),
        _ => Err(NoCalendar::Invalid),
    };
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let step = step
        .parse()
        .ok()
        .filter(|step| *step > 0)
        .ok_or(NoCalendar::Invalid)?;
    match range.split_once("..") {
        Some((first, last)) => Ok((year(first)?, year(last)?, step)),
        None if range == "*" => Ok((1970, LAST, step)),
        None if item.contains('/') => Ok((year(range)?, LAST, step)),
        None => Ok((year(range)?, year(range)?, 1)),
    }
}

fn time(text: &str, calendar: &mut Calendar) -> Result<(), NoCalendar> {
    let parts: Vec<&str> = text.split(':').collect();
    let (hour, minute, second) = match *parts {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(NoCalendar::Invalid),
    };
    calendar.hours = field(hour, 0, 23)?;
    calendar.minutes = field(minute, 0, 59)?;
    calendar.seconds = seconds(second)?;
    Ok(())
}

/// Fractions of a second are left out: nobody plans backups by them.
fn seconds(text: &str) -> Result<u64, NoCalendar> {
    let whole: Vec<&str> = text
        .split(',')
        .map(|item| match item.split_once('.') {
            Some((second, fraction)) if !fraction.starts_with('.') => second,
            _ => item,
        })
        .collect();
    field(&whole.join(","), 0, 59)
}

fn field(text: &str, low: u32, high: u32) -> Result<u64, NoCalendar> {
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u32>()
            .ok()
            .filter(|value| digits && (low..=high).contains(value))
            .ok_or(NoCalendar::Invalid)
    };
    let mut all = 0;
    for item in text.split(',') {
        let (range, step) = stepped(item)?;
        let (first, last) = match range.split_once("..") {
            _ if range == "*" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            None if item.contains('/') => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(NoCalendar::Invalid);
        }
        all |= bits(first, last, step);
    }
    Ok(all)
}
