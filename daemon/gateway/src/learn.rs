//! What a provider's refusal says about us rather than about the client's request: wrong region,
//! wrong clock, no trailers, no conditions, bad credentials (gateway.md 26, 46, 47). It decides from one answer
//! and must never do anything about it.

use bascule_domain::{Timestamp, endpoint::Region};
use http::{HeaderMap, StatusCode, header};
use jiff::{SignedDuration, fmt::rfc2822};

/// What was asked, as far as the reading of the answer depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// HEAD: the answer has no body.
    pub(crate) headless: bool,
    /// The body went with trailers.
    pub(crate) with_trailers: bool,
    /// It was asked not to overwrite.
    pub(crate) with_condition: bool,
    /// What the request was signed for.
    pub(crate) region: &'a Region,
    /// By our clock.
    pub(crate) now: Timestamp,
    /// Whether an earlier answer was about our credentials.
    pub(crate) credentials_refused: bool,
}

/// What an answer is about, if it is not about the client's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lesson {
    /// The bucket is in this region.
    Region(Region),
    /// The provider sends elsewhere, without a region to try.
    Redirect,
    /// The provider does not know bodies with trailers.
    NoTrailers,
    /// The provider does not know conditions on writes.
    NoConditions,
    /// Our clocks differ; the provider's time, if it told it.
    Clock(Option<Timestamp>),
    /// The provider refuses our credentials.
    Credentials,
}

/// Whether the body of an answer with this status is needed to tell.
pub(crate) fn body_tells(status: StatusCode, asked: &Asked<'_>) -> bool {
    !asked.headless
        && match status {
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => true,
            StatusCode::NOT_IMPLEMENTED => asked.with_trailers || asked.with_condition,
            _ => false,
        }
}

/// Reads an answer. `error` is its body, where [`body_tells`].
pub(crate) fn read(
    status: StatusCode,
    headers: &HeaderMap,
    error: &[u8],
    asked: &Asked<'_>,
) -> Option<Lesson> {
    let error = String::from_utf8_lossy(error);
    let code = element(&error, "Code").or_else(|| {
        headers
            .get("x-minio-error-code")
            .and_then(|code| code.to_str().ok())
    });
    let other_region = || {
        let told = headers
            .get("x-amz-bucket-region")
            .and_then(|region| region.to_str().ok())
            .or_else(|| element(&error, "Region"))?;
        told.parse().ok().filter(|region| region != asked.region)
    };
    let refused = || code.is_some_and(|code| CREDENTIALS.contains(&code));
    match status {
        StatusCode::NOT_MODIFIED => None,
        StatusCode::TEMPORARY_REDIRECT => Some(Lesson::Redirect),
        status if status.is_redirection() => {
            Some(other_region().map_or(Lesson::Redirect, Lesson::Region))
        }
        StatusCode::UNAUTHORIZED => Some(Lesson::Credentials),
        StatusCode::BAD_REQUEST if asked.headless && code.is_none() => other_region()
            .map(Lesson::Region)
            .or_else(|| asked.credentials_refused.then_some(Lesson::Credentials)),
        // First: a server that leaves open what it has not implemented may mean the trailers.
        StatusCode::BAD_REQUEST | StatusCode::NOT_IMPLEMENTED
            if asked.with_condition && no_conditions(status, code, &error, asked) =>
        {
            Some(Lesson::NoConditions)
        }
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_IMPLEMENTED
            if asked.with_trailers && no_trailers(status, code, &error) =>
        {
            Some(Lesson::NoTrailers)
        }
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => match code {
            Some("AuthorizationHeaderMalformed") => {
                Some(other_region().map_or(Lesson::Credentials, Lesson::Region))
            }
            Some("RequestTimeTooSkewed") => Some(Lesson::Clock(date(headers))),
            // A HEAD has no body to say so; then the clocks themselves tell, and what earlier
            // requests learned.
            None if asked.headless => match date(headers) {
                Some(theirs) if theirs.duration_since(asked.now).abs() > SKEW => {
                    Some(Lesson::Clock(Some(theirs)))
                }
                _ => asked.credentials_refused.then_some(Lesson::Credentials),
            },
            _ => refused().then_some(Lesson::Credentials),
        },
        _ => None,
    }
}

/// By more than this a provider refuses a request's time.
const SKEW: SignedDuration = SignedDuration::from_mins(15);

const CREDENTIALS: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "RequestExpired",
    "InvalidSecurity",
    "NotSignedUp",
    "AccountProblem",
];

/// Whether the form of the body is what is refused, not its content: by the hash that no server
/// without trailers can read, or by the names of the form itself.
fn no_trailers(status: StatusCode, code: Option<&str>, error: &str) -> bool {
    let names_form = [
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-content-sha256",
        "aws-chunked",
    ]
    .iter()
    .any(|form| error.contains(form));
    if status == StatusCode::NOT_IMPLEMENTED {
        // A server may leave out what it has not implemented; a repeated request tells.
        return names_form || error.contains("x-amz-trailer") || !error.contains("x-amz-");
    }
    match code {
        Some("XAmzContentSHA256Mismatch") => true,
        Some("InvalidArgument" | "InvalidRequest" | "InvalidDigest" | "NotImplemented") => {
            names_form
        }
        _ => false,
    }
}

/// Whether a condition on a write is what is refused.
fn no_conditions(status: StatusCode, code: Option<&str>, error: &str, asked: &Asked<'_>) -> bool {
    let error = error.to_ascii_lowercase();
    let names_it = error.contains("if-none-match") || error.contains("ifnonematch");
    if status == StatusCode::NOT_IMPLEMENTED {
        // What a server leaves out is the one unusual thing about the request.
        return names_it || !asked.with_trailers && !error.contains("x-amz-");
    }
    names_it
        && matches!(
            code,
            Some("NotImplemented" | "InvalidArgument" | "InvalidRequest")
        )
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (content, _) = rest.split_once(&format!("</{name}>"))?;
    Some(content.trim())
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn lesson(status: u16, headers: &[(&'static str, &str)], error: &str) -> Option<Lesson> {
        judged(status, headers, error, false, false)
    }

    fn judged(
        status: u16,
        headers: &[(&'static str, &str)],
        error: &str,
        headless: bool,
        with_trailers: bool,
    ) -> Option<Lesson> {
        let asked = Asked {
            headless,
            with_trailers,
            with_condition: false,
            region: &"us-east-1".parse().unwrap(),
            now: NOW.parse().unwrap(),
            credentials_refused: false,
        };
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            error.as_bytes(),
            &asked,
        )
    }

    fn region(name: &str) -> Option<Lesson> {
        Some(Lesson::Region(name.parse().unwrap()))
    }

    #[test]
    fn r47_a_region_is_read_from_header_or_body_and_nowhere_else() {
        let header: &[_] = &[("x-amz-bucket-region", "eu-west-1")];
        let body =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        assert_eq!(lesson(301, header, ""), region("eu-west-1"));
        assert_eq!(lesson(400, &[], body), region("eu-west-1"));
        assert_eq!(judged(400, header, "", true, false), region("eu-west-1"));
        assert_eq!(judged(301, header, "", true, false), region("eu-west-1"));
        assert_eq!(
            lesson(307, header, ""),
            Some(Lesson::Redirect),
            "a bucket made just now"
        );
        let own: &[_] = &[("x-amz-bucket-region", "us-east-1")];
        assert_eq!(lesson(301, own, ""), Some(Lesson::Redirect));
        let hostile: &[_] = &[("x-amz-bucket-region", "evil.test/x")];
        assert_eq!(lesson(301, hostile, ""), Some(Lesson::Redirect));
        // S3 names the region in many answers; garage in all its errors.
        assert_eq!(
            lesson(403, header, "<Error><Code>AccessDenied</Code></Error>"),
            None
        );
        assert_eq!(lesson(404, header, ""), None);
    }

    #[test]
    fn r26_only_answers_about_the_form_say_that_there_are_no_trailers() {
        let error = |code: &str, message: &str| {
            format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>")
        };
        for (status, code, message, expected) in [
            (
                501,
                "NotImplemented",
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER not implemented",
                true,
            ),
            (
                501,
                "NotImplemented",
                "Header 'x-amz-trailer' is not implemented",
                true,
            ),
            (
                501,
                "NotImplemented",
                "functionality that is not implemented",
                true,
            ),
            (
                501,
                "NotImplemented",
                "Header 'x-amz-tagging' is not implemented",
                false,
            ),
            (400, "XAmzContentSHA256Mismatch", "", true),
            (
                400,
                "InvalidArgument",
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a hash",
                true,
            ),
            (400, "InvalidRequest", "aws-chunked is not supported", true),
            (
                400,
                "InvalidRequest",
                "The value of the x-amz-trailer header is not supported",
                false,
            ),
            (400, "BadDigest", "x-amz-content-sha256", false),
            (403, "AccessDenied", "aws-chunked", false),
        ] {
            let error = error(code, message);
            let got = judged(status, &[], &error, false, true);
            assert_eq!(got == Some(Lesson::NoTrailers), expected, "{error}");
            let without = judged(status, &[], &error, false, false);
            assert_ne!(without, Some(Lesson::NoTrailers), "{error}");
        }
    }

    #[test]
    fn i8_a_clock_is_told_from_a_refusal() {
        let late: &[_] = &[("date", "Mon, 23 Nov 2026 14:00:00 GMT")];
        let skewed = Some(Lesson::Clock("2026-11-23T14:00:00Z".parse().ok()));
        let error = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
        assert_eq!(lesson(403, late, error), skewed);
        assert_eq!(lesson(403, &[], error), Some(Lesson::Clock(None)));
        assert_eq!(
            judged(403, late, "", true, false),
            skewed,
            "a HEAD says it by its date"
        );
        let right: &[_] = &[("date", "Mon, 23 Nov 2026 12:00:01 GMT")];
        assert_eq!(judged(403, right, "", true, false), None);
        assert_eq!(
            lesson(403, late, "<Error><Code>AccessDenied</Code></Error>"),
            None
        );
    }
}
