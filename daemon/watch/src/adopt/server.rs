//! How a server stands in a setting or on a command line, and how another one is written in its place.

use std::ops::Range;

use bascule_domain::endpoint::Endpoint;

/// How a server is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `https://host:port`, maybe with more behind it.
    Url,
    /// `host:port`.
    Authority,
}

/// A server as it stands in a text: which bytes, and in which form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written<'t> {
    pub(super) text: &'t str,
    pub(super) form: Form,
}

/// The spellings of a server, the longest first.
fn spellings(endpoint: &Endpoint) -> Vec<(String, Form)> {
    let (scheme, usual) = if endpoint.is_tls() {
        ("https", 443)
    } else {
        ("http", 80)
    };
    let host = endpoint.host();
    let mut all = vec![
        (
            endpoint.to_string().trim_end_matches('/').to_owned(),
            Form::Url,
        ),
        (format!("{scheme}://{host}:{}", endpoint.port()), Form::Url),
    ];
    if endpoint.port() == usual {
        all.push((format!("{scheme}://{host}"), Form::Url));
    }
    all.push((format!("{host}:{}", endpoint.port()), Form::Authority));
    if endpoint.port() == usual {
        all.push((host.to_owned(), Form::Authority));
    }
    all.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    all.dedup();
    all
}

/// Where a server stands in a text, if it does.
pub(super) fn find<'t>(text: &'t str, endpoint: &Endpoint) -> Option<Written<'t>> {
    spellings(endpoint)
        .into_iter()
        .find_map(|(spelling, form)| {
            let at = text.find(&spelling)?;
            ends(&text[at + spelling.len()..]).then(|| Written {
                text: &text[at..at + spelling.len()],
                form,
            })
        })
}

/// Every place in a text where a server stands, in their order, with the bytes of each.
pub(super) fn all(text: &str, endpoint: &Endpoint) -> Vec<(Range<usize>, Form)> {
    let mut found: Vec<(Range<usize>, Form)> = Vec::new();
    for (spelling, form) in spellings(endpoint) {
        for (at, _) in text.match_indices(&spelling) {
            let span = at..at + spelling.len();
            let overlaps = |other: &Range<usize>| other.start < span.end && span.start < other.end;
            let begins = !text[..at].ends_with(|c: char| c.is_alphanumeric() || ".-".contains(c));
            if begins && ends(&text[span.end..]) && !found.iter().any(|(other, _)| overlaps(other))
            {
                found.push((span, form));
            }
        }
    }
    found.sort_by_key(|(span, _)| span.start);
    found
}

/// Whether a host may end before a text: `host` within `host2` or `host:90` is another one.
fn ends(behind: &str) -> bool {
    let mut behind = behind.chars();
    match behind.next() {
        Some(':') => behind.next().is_none_or(|c| !c.is_ascii_digit()),
        Some(c) => !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'),
        None => true,
    }
}

/// A server in a form. A form without a scheme means TLS to every tool, so one without TLS is written
/// with its scheme where the tool takes that.
pub(super) fn write(endpoint: &Endpoint, form: Form, takes_scheme: bool) -> String {
    match form {
        Form::Authority if endpoint.is_tls() || !takes_scheme => endpoint.authority(),
        _ => endpoint.to_string().trim_end_matches('/').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_in_every_spelling_and_never_within_another() {
        let endpoint: Endpoint = "https://s3.example.com".parse().unwrap();
        let found =
            |text: &'static str| find(text, &endpoint).map(|found| (found.text, found.form));
        assert_eq!(
            found("s3:https://s3.example.com/b/x"),
            Some(("https://s3.example.com", Form::Url))
        );
        assert_eq!(
            found("s3:s3.example.com/b"),
            Some(("s3.example.com", Form::Authority))
        );
        assert_eq!(
            found("https://s3.example.com:443/b"),
            Some(("https://s3.example.com:443", Form::Url))
        );
        for other in [
            "https://s3.example.com.evil/b",
            "s3.example.company",
            "xhttps//",
            "s3.example.com:9000",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn a_server_without_tls_keeps_its_scheme_where_the_tool_takes_one() {
        let gateway: Endpoint = "http://127.0.0.1:8642".parse().unwrap();
        assert_eq!(
            write(&gateway, Form::Authority, true),
            "http://127.0.0.1:8642"
        );
        assert_eq!(write(&gateway, Form::Authority, false), "127.0.0.1:8642");
        assert_eq!(write(&gateway, Form::Url, true), "http://127.0.0.1:8642");
    }
}
