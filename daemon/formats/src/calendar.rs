//! When something runs next: systemd's `OnCalendar=` and cron's five fields, as one kind of value.
//! It must never look at a clock: the time and the zone are given.
//!
//! There are crates for cron's fields; none reads systemd's, and cron's rule of the two day fields
//! depends on how they are written. With one calendar for both there is one place for the hard part.

mod cron;
mod systemd;
#[cfg(test)]
mod tests;

use jiff::{Timestamp, ToSpan, civil, tz::TimeZone};

/// Years that are looked through: a 29 February on a given weekday comes within 40.
const MOST_YEARS: i16 = 41;

/// Points in time by their place in the calendar. Seconds are the finest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Ranges of years with a step; empty is every year.
    years: Vec<(i16, i16, i16)>,
    /// Bit 1 is January.
    months: u64,
    /// Bit 1 is the first, or the last with `from_end`.
    days: u64,
    from_end: bool,
    /// Bit 0 is Monday.
    weekdays: u64,
    /// Cron: a day fits by its date or its weekday.
    either_day: bool,
    hours: u64,
    minutes: u64,
    seconds: u64,
}

/// What is no point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCalendar {
    /// It can't be read.
    #[error("it is no time that the scheduler understands")]
    Invalid,
    /// The scheduler chooses by chance.
    #[error("the time is chosen at random")]
    Random,
}

impl Calendar {
    /// Reads what stands behind `OnCalendar=`, and the name of its zone if it has one.
    pub fn systemd(text: &str) -> Result<(Self, Option<&str>), NoCalendar> {
        systemd::parse(text)
    }

    /// Reads cron's minute, hour, day, month and weekday.
    pub fn cron(fields: &[&str; 5]) -> Result<Self, NoCalendar> {
        cron::parse(fields)
    }

    /// The first point in time after `after` as clocks in `zone` show it; `None` if there is none
    /// that anybody will see.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = zone.to_datetime(after);
        let mut date = start.date();
        let last_year = start.year().checked_add(MOST_YEARS)?;
        // An hour that happens twice in autumn: the clock may show less than it did.
        let mut from = civil::Time::MIN;
        while date.year() < last_year {
            if !self.has_month(date) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                from = civil::Time::MIN;
                continue;
            }
            if self.has_day(date)
                && let Some(time) = self.time_from(from)
            {
                let found = zone.to_ambiguous_timestamp(date.to_datetime(time));
                if let Some(found) = found.compatible().ok().filter(|found| *found > after) {
                    return Some(found);
                }
                // On the first day all that has passed is skipped at once.
                let next = if date == start.date() && time < start.time() {
                    start.time()
                } else {
                    time
                };
                match next.checked_add(1.second()) {
                    Ok(next) => from = next.with().subsec_nanosecond(0).build().ok()?,
                    Err(_) => (date, from) = (date.tomorrow().ok()?, civil::Time::MIN),
                }
                continue;
            }
            date = date.tomorrow().ok()?;
            from = civil::Time::MIN;
        }
        None
    }

    fn has_month(&self, date: civil::Date) -> bool {
        let year = date.year();
        let in_range = |&(first, last, step): &(i16, i16, i16)| {
            (first..=last).contains(&year) && (year - first) % step.max(1) == 0
        };
        has(self.months, date.month()) && (self.years.is_empty() || self.years.iter().any(in_range))
    }

    fn has_day(&self, date: civil::Date) -> bool {
        let day = if self.from_end {
            date.days_in_month() - date.day() + 1
        } else {
            date.day()
        };
        let by_date = has(self.days, day);
        let by_weekday = has(self.weekdays, date.weekday().to_monday_zero_offset());
        if self.either_day {
            by_date || by_weekday
        } else {
            by_date && by_weekday
        }
    }

    /// The first time of a day that fits, at `from` or later.
    fn time_from(&self, from: civil::Time) -> Option<civil::Time> {
        for hour in from.hour()..24 {
            if !has(self.hours, hour) {
                continue;
            }
            let first = if hour == from.hour() {
                from.minute()
            } else {
                0
            };
            for minute in first..60 {
                if !has(self.minutes, minute) {
                    continue;
                }
                let same = hour == from.hour() && minute == from.minute();
                let first = if same { from.second() } else { 0 };
                if let Some(second) = (first..60).find(|second| has(self.seconds, *second)) {
                    return civil::Time::new(hour, minute, second, 0).ok();
                }
            }
        }
        None
    }
}

fn has(bits: u64, at: i8) -> bool {
    u32::try_from(at).is_ok_and(|at| bits.checked_shr(at).unwrap_or(0) & 1 == 1)
}

/// An item without its step `/N`, and the step: 1 if there is none.
fn stepped(item: &str) -> Result<(&str, u32), NoCalendar> {
    let Some((range, step)) = item.split_once('/') else {
        return Ok((item, 1));
    };
    let step = step.parse().ok().filter(|step| *step > 0);
    step.map(|step| (range, step)).ok_or(NoCalendar::Invalid)
}

/// All bits from `first` to `last`.
fn bits(first: u32, last: u32, step: u32) -> u64 {
    (first..=last.min(63))
        .step_by(step.max(1) as usize)
        .fold(0, |bits, at| bits | 1 << at)
}
