//! What a connection's keys may take together: requests at once, and bytes in a second.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

/// The limits of a connection. None means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<NonZeroU32>,
    /// Bytes of bodies in each direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.requests.is_none() && self.bandwidth.is_none()
    }
}

/// Bytes in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Bandwidth(u64);

/// The text or number is no bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected bytes in a second such as 500KiB, 10MiB or 1GB, from 1KiB to 1TiB")]
pub struct BandwidthError;

impl Bandwidth {
    /// Below it, tools take a shaped stream for a dead one.
    const LEAST: u64 = 1 << 10;
    const MOST: u64 = 1 << 40;

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Bandwidth {
    type Error = BandwidthError;

    fn try_from(bytes: u64) -> Result<Self, BandwidthError> {
        if (Self::LEAST..=Self::MOST).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(BandwidthError)
        }
    }
}

impl From<Bandwidth> for u64 {
    fn from(bandwidth: Bandwidth) -> Self {
        bandwidth.0
    }
}

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for Bandwidth {
    type Err = BandwidthError;

    fn from_str(text: &str) -> Result<Self, BandwidthError> {
        let text = text.strip_suffix("/s").unwrap_or(text);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "" => 1,
            unit => {
                let known = UNITS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(unit));
                known.ok_or(BandwidthError)?.1
            }
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .ok_or(BandwidthError)?
            .try_into()
    }
}

impl fmt::Display for Bandwidth {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS
            .iter()
            .find(|(_, factor)| self.0.is_multiple_of(*factor));
        let (unit, factor) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}/s", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bandwidth_reads_as_it_is_written() {
        for (text, bytes, shown) in [
            ("10MiB", 10 << 20, "10MiB/s"),
            ("10 mib/s", 10 << 20, "10MiB/s"),
            ("1GB", 1_000_000_000, "1GB/s"),
            ("2048", 2048, "2KiB/s"),
            ("1500B", 1500, "1500B/s"),
        ] {
            let bandwidth: Bandwidth = text.parse().unwrap();
            assert_eq!(bandwidth.bytes(), bytes, "{text}");
            assert_eq!(bandwidth.to_string(), shown);
            assert_eq!(shown.parse(), Ok(bandwidth));
        }
    }

    #[test]
    fn what_is_no_bandwidth_or_a_useless_one_is_refused() {
        for text in [
            "",
            "0",
            "1023",
            "-1MiB",
            "1.5MiB",
            "10 parsecs",
            "MiB",
            "2TiB",
            "99999999999999999999",
            "10MiB/h",
        ] {
            assert_eq!(text.parse::<Bandwidth>(), Err(BandwidthError), "{text}");
        }
    }

    #[test]
    fn limits_of_an_older_record_are_none() {
        let limits: Limits = serde_json::from_str("{}").unwrap();
        assert!(limits.is_none());
        assert_eq!(serde_json::to_string(&limits).unwrap(), "{}");
    }
}
