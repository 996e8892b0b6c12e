//! What an S3 server says when it refuses: code, message, and the hints that some add.

use bascule_domain::endpoint::Region;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};

use crate::{exchange::Answer, xml};

/// An S3 error body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct S3Error {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) region: Option<Region>,
}

impl Answer {
    /// The S3 error in it, if it is one.
    pub(crate) fn s3_error(&self) -> Option<S3Error> {
        let mut error = S3Error::default();
        xml::walk(&self.body, "Error", |path, text| {
            match path {
                ["Error", "Code"] => error.code = text.trim().into(),
                ["Error", "Message"] => error.message = text.trim().into(),
                ["Error", "Region"] => error.region = text.trim().parse().ok(),
                _ => {}
            }
            Ok(())
        })
        .ok()?;
        // A code goes into messages and logs, so it is one plain word or nothing.
        let plain = error.code.len() <= 64 && error.code.bytes().all(|b| b.is_ascii_alphanumeric());
        (plain && !error.code.is_empty()).then_some(error)
    }

    /// The region the server names, in a header or in the error.
    pub(crate) fn named_region(&self) -> Option<Region> {
        let header = self
            .headers
            .get("x-amz-bucket-region")
            .and_then(|value| value.to_str().ok());
        header
            .and_then(|text| text.parse().ok())
            .or_else(|| self.s3_error()?.region)
    }

    /// How far our clock is ahead of the server's. Accurate to the answer's travel time.
    pub(crate) fn clock_ahead(&self) -> Option<SignedDuration> {
        let date = self.headers.get(http::header::DATE)?.to_str().ok()?;
        let theirs: Timestamp = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
        Some(self.asked_at.duration_since(theirs))
    }
}
