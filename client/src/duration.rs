//! Lengths of time as people type them: `24h`, `30d`, `90s`.

use bascule_domain::{SignedDuration, moment};

/// Seconds in each unit.
const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 86_400),
    ("d", 86_400),
    ("h", 3_600),
    ("min", 60),
    ("m", 60),
    ("s", 1),
];

/// Reads a whole number and its unit.
pub(crate) fn parse(text: &str) -> Result<SignedDuration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, seconds)| number.parse::<i64>().ok()?.checked_mul(*seconds));
    seconds
        .filter(|&seconds| seconds > 0)
        .map(SignedDuration::from_secs)
        .ok_or_else(|| "expected a number and a unit, such as 90s, 30min, 24h or 7d".to_owned())
}

/// From the wire, in words.
pub(crate) fn words(wire: &prost_types::Duration) -> String {
    let whole = SignedDuration::from_secs(wire.seconds);
    moment::span(whole.saturating_add(SignedDuration::from_nanos(wire.nanos.into())))
}

/// As the wire has it.
pub(crate) fn to_wire(length: SignedDuration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: length.as_secs(),
        nanos: length.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_taken_and_what_can_not_be_meant_is_not() {
        for (text, seconds) in [
            ("90s", 90),
            ("2m", 120),
            ("30min", 1_800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
        ] {
            assert_eq!(parse(text), Ok(SignedDuration::from_secs(seconds)));
        }
        for text in [
            "",
            "24",
            "h",
            "-1h",
            "0s",
            "1.5h",
            "1 h",
            "9999999999999999999d",
            "1y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
