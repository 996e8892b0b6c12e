//! The time forms of requests: ISO 8601 basic and the dates of HTTP. It must never read a clock.

use bascule_domain::Timestamp;
use jiff::{civil, tz::Offset};

/// A request's time, to the second, as `x-amz-date` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestTime {
    at: Timestamp,
    text: [u8; 16],
}

impl RequestTime {
    pub(crate) fn of(at: Timestamp) -> Self {
        let civil = Offset::UTC.to_datetime(at);
        let mut text = *b"00000000T000000Z";
        digits(&mut text[..4], i64::from(civil.year()));
        digits(&mut text[4..6], i64::from(civil.month()));
        digits(&mut text[6..8], i64::from(civil.day()));
        digits(&mut text[9..11], i64::from(civil.hour()));
        digits(&mut text[11..13], i64::from(civil.minute()));
        digits(&mut text[13..15], i64::from(civil.second()));
        Self { at, text }
    }

    /// Reads `20130524T000000Z`.
    pub(crate) fn parse_iso(text: &str) -> Option<Self> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let date = civil::DateTime::new(
            i16::try_from(number(&bytes[..4])?).ok()?,
            number(&bytes[4..6])?.try_into().ok()?,
            number(&bytes[6..8])?.try_into().ok()?,
            number(&bytes[9..11])?.try_into().ok()?,
            number(&bytes[11..13])?.try_into().ok()?,
            number(&bytes[13..15])?.try_into().ok()?,
            0,
        )
        .ok()?;
        Some(Self {
            at: Offset::UTC.to_timestamp(date).ok()?,
            text: *bytes,
        })
    }

    /// Reads a `Date` header: `Fri, 24 May 2013 00:00:00 GMT`, or the form above (gateway.md 17).
    pub(crate) fn parse_date_header(text: &str) -> Option<Self> {
        Self::parse_iso(text).or_else(|| {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            // Outside these years the four digits of the ISO form could not hold it.
            let year = Offset::UTC.to_datetime(at).year();
            (1..=9999).contains(&year).then(|| Self::of(at))
        })
    }

    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }

    /// `20130524T000000Z`.
    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII digits, 'T' and 'Z' are ever stored.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `20130524`.
    pub(crate) fn date(&self) -> &str {
        self.as_str().get(..8).unwrap_or_default()
    }
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + i32::from(digit - b'0'))
    })
}

fn digits(into: &mut [u8], mut number: i64) {
    for place in into.iter_mut().rev() {
        *place = b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or(0);
        number = number.div_euclid(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_second() {
        let iso = RequestTime::parse_iso("20130524T000000Z").unwrap();
        let http = RequestTime::parse_date_header("Fri, 24 May 2013 00:00:00 GMT").unwrap();
        assert_eq!(iso, http);
        assert_eq!(RequestTime::of(iso.at()), iso);
        assert_eq!((iso.as_str(), iso.date()), ("20130524T000000Z", "20130524"));
    }

    #[test]
    fn impossible_times_are_refused() {
        for text in [
            "",
            "20130524T000000",
            "20131324T000000Z",
            "20130230T000000Z",
            "20130524T250000Z",
            "+0130524T000000Z",
            "20130524 000000Z",
            "éééééééé",
        ] {
            assert!(RequestTime::parse_iso(text).is_none(), "{text}");
            assert!(RequestTime::parse_date_header(text).is_none(), "{text}");
        }
    }
}
