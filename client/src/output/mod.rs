//! What the user sees. Results go to stdout, status and hints to stderr.
//!
//! With `--json` exactly one document goes to stdout (its fields are those of [`document`]) and
//! nothing to stderr, except one line `{"error":{"kind","message","next"}}` when a command fails.
//! Text that came from elsewhere passes [`text::escape`] before it reaches a terminal.

pub(crate) mod document;
pub(crate) mod progress;
pub(crate) mod receipt;
pub(crate) mod sweep;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod usage;
pub(crate) mod uses;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::{Error, Kind};
use text::{BAD, NEXT, escape, styled};

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'a str,
    message: &'a str,
    next: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a serde_json::Value>,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: the document, or what `human` makes of it.
    pub(crate) fn result(
        self,
        document: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        if self.json {
            self.document(document)
        } else {
            self.raw(&human())
        }
    }

    /// Prints the one JSON document.
    pub(crate) fn document(self, document: &impl Serialize) -> Result<(), Error> {
        self.raw(&format!("{}\n", json(document)?))
    }

    /// Prints to stdout, at once. Styles are dropped where nobody would see them.
    pub(crate) fn raw(self, text: &str) -> Result<(), Error> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| output_failed(&error))
    }

    /// One line about what is going on. Its loss is no failure of the command.
    pub(crate) fn status(self, line: &str) {
        if !self.json {
            self.stderr(&format!("{line}\n"));
        }
    }

    /// Prints to stderr as it is.
    pub(crate) fn stderr(self, text: &str) {
        let mut out = anstream::stderr().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .ok();
    }

    /// Whether status lines reach a terminal that can be redrawn.
    pub(crate) fn redraws(self) -> bool {
        !self.json
            && io::stderr().is_terminal()
            && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
    }

    /// The last word of a command that failed.
    pub(crate) fn error(self, error: &Error) {
        self.stderr(&render_error(error, self.json));
    }
}

/// A document as pretty JSON that is safe to show on a terminal.
pub(crate) fn json(document: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(document)
        .map(|text| text::escape_json(&text))
        .map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("the answer has no JSON form: {error}"),
            )
        })
}

fn render_error(error: &Error, as_json: bool) -> String {
    if as_json {
        let document = ErrorDocument {
            error: ErrorBody {
                kind: error.kind.as_str(),
                message: &error.message,
                next: error.next.as_deref(),
                details: error.details.as_deref(),
            },
        };
        // Three texts always have a JSON form.
        let text = serde_json::to_string(&document).unwrap_or_default();
        return format!("{}\n", text::escape_json(&text));
    }
    let mut text = format!("{} {}\n", styled(BAD, "error:"), escape(&error.message));
    if let Some(next) = &error.next {
        text.push_str(&format!("{} {}\n", styled(NEXT, "next:"), escape(next)));
    }
    text
}

pub(crate) fn output_failed(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Error::new(Kind::OutputClosed, "nobody reads the output any more")
    } else {
        Error::new(
            Kind::Failed,
            format!("the output could not be written: {error}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_cause_and_next_step_and_can_not_control_the_terminal() {
        let error =
            Error::new(Kind::NotFound, "no \x1b[2Jbucket\r\nerror: forged").next("bascule list");
        let text = anstream::adapter::strip_str(&render_error(&error, false)).to_string();
        assert_eq!(
            text,
            "error: no \\u{1b}[2Jbucket\\r\\nerror: forged\nnext: bascule list\n"
        );
    }

    #[test]
    fn json_errors_are_one_line_with_kind_message_and_next() {
        let error = Error::new(Kind::Refused, "a \u{202e}b\n\u{9b}31m");
        let text = render_error(&error, true);
        assert_eq!(text.lines().count(), 1);
        assert!(text.is_ascii());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error"]["kind"], "REFUSED");
        assert_eq!(value["error"]["message"], "a \u{202e}b\n\u{9b}31m");
        assert!(value["error"]["next"].is_null());
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        assert_eq!(
            output_failed(&io::ErrorKind::BrokenPipe.into()).kind,
            Kind::OutputClosed
        );
        assert_eq!(
            output_failed(&io::ErrorKind::StorageFull.into()).kind,
            Kind::Failed
        );
    }
}
