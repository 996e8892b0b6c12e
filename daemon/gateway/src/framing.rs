//! Where one request ends and the next begins, judged on the raw bytes before hyper sees them: it
//! forgives what another server may understand differently, and does not tell (threats.md A17).
//! It must never let a byte pass whose place in a request two readers could disagree about.

use memchr::memchr;

/// The longest head: hyper's own bound must lie above, so that this one answers.
pub(crate) const LONGEST_HEAD: usize = 96 * 1024;
/// The longest request line. A key's 1024 bytes take 3 KiB of it at most.
const LONGEST_LINE: usize = 32 * 1024;
/// What hyper takes.
const MOST_HEADERS: usize = 100;

/// Why a head is not answered but with an error, after which the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a line of the head does not end in CR LF")]
    LineEnd,
    #[error("the request line is not METHOD TARGET HTTP/1.1")]
    RequestLine,
    #[error("the request's target is too long")]
    TargetTooLong,
    #[error("the head of the request is too long")]
    HeadTooLong,
    #[error("a header is folded over several lines")]
    Folded,
    #[error("a header has no name, or blanks in or after it")]
    HeaderName,
    #[error("content-length is not a plain number")]
    ContentLength,
    #[error("content-length is given more than once")]
    RepeatedLength,
    #[error("transfer-encoding is not just \"chunked\", or not in HTTP/1.1")]
    TransferEncoding,
    #[error("content-length and transfer-encoding contradict each other")]
    TwoFramings,
}

/// How far the bytes of a connection were understood.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    heads: u64,
}

/// What was found in some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// So many bytes from the beginning are sound: whole heads, and bodies.
    pub(crate) sound: usize,
    /// The head after them is not.
    pub(crate) violation: Option<Violation>,
}

#[derive(Debug)]
enum State {
    Head(Head),
    /// So many bytes of a body are to come.
    Body(u64),
    /// After a chunked request: its answer closes the connection, so no head comes after it.
    Unchecked,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Head::default())
    }
}

/// A head, as far as its lines are there.
#[derive(Debug, Default)]
struct Head {
    /// Where the next line begins.
    line: usize,
    /// Up to here there is no end of that line.
    searched: usize,
    /// Lines so far, blank ones before the request line left out.
    lines: usize,
    http_1_1: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Judges more bytes. They begin with those that the last call did not call sound.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut sound = 0;
        loop {
            match &mut self.state {
                State::Body(left) => {
                    let here = bytes.len() - sound;
                    let body = usize::try_from(*left).unwrap_or(usize::MAX).min(here);
                    sound += body;
                    *left -= body as u64;
                    if *left == 0 {
                        self.state = State::default();
                    }
                }
                State::Unchecked => sound = bytes.len(),
                State::Head(head) => match head.scan(&bytes[sound..]) {
                    Ok(Some(next)) => {
                        sound += head.line;
                        self.heads += 1;
                        self.state = next;
                    }
                    Ok(None) => {
                        return Scan {
                            sound,
                            violation: None,
                        };
                    }
                    Err(violation) => {
                        return Scan {
                            sound,
                            violation: Some(violation),
                        };
                    }
                },
            }
            if sound == bytes.len() {
                return Scan {
                    sound,
                    violation: None,
                };
            }
        }
    }

    /// How many sound heads there were.
    pub(crate) const fn heads(&self) -> u64 {
        self.heads
    }
}

impl Head {
    /// Goes on until the end of the head, which is then at `line`; tells what comes after it.
    fn scan(&mut self, bytes: &[u8]) -> Result<Option<State>, Violation> {
        loop {
            let end = memchr(b'\n', &bytes[self.searched..]).map(|at| self.searched + at);
            // Before the line itself is judged: however the bytes arrive, the verdict is one.
            let reached = end.unwrap_or(bytes.len());
            if self.lines == 0 && reached - self.line > LONGEST_LINE {
                return Err(Violation::TargetTooLong);
            }
            if reached > LONGEST_HEAD {
                return Err(Violation::HeadTooLong);
            }
            self.searched = reached;
            let Some(end) = end else {
                return Ok(None);
            };
            let line = bytes[self.line..end]
                .strip_suffix(b"\r")
                .filter(|line| memchr(b'\r', line).is_none())
                .ok_or(Violation::LineEnd)?;
            self.line = end + 1;
            self.searched = self.line;
            match (line, self.lines) {
                // Some clients end a body with one (RFC 9112, 2.2).
                ([], 0) => continue,
                ([], _) => return self.end().map(Some),
                (line, 0) => self.request_line(line)?,
                (line, _) => self.header(line)?,
            }
            self.lines += 1;
        }
    }

    /// The rest of the line is hyper's to judge: it bears on this request only.
    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        self.http_1_1 = line.ends_with(b" HTTP/1.1");
        if self.http_1_1 || line.ends_with(b" HTTP/1.0") {
            Ok(())
        } else {
            Err(Violation::RequestLine)
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Violation> {
        if self.lines > MOST_HEADERS {
            return Err(Violation::HeadTooLong);
        }
        if matches!(line[0], b' ' | b'\t') {
            return Err(Violation::Folded);
        }
        let colon = memchr(b':', line).ok_or(Violation::HeaderName)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || name.iter().any(|&b| b <= b' ' || b >= 0x7f) {
            return Err(Violation::HeaderName);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = plain_number(value).ok_or(Violation::ContentLength)?;
            if self.length.replace(length).is_some() {
                return Err(Violation::RepeatedLength);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let coding = value.strip_prefix(b" ").unwrap_or(value);
            let fits = self.http_1_1 && coding.eq_ignore_ascii_case(b"chunked");
            if !fits || self.chunked {
                return Err(Violation::TransferEncoding);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn end(&self) -> Result<State, Violation> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Violation::TwoFramings),
            (true, None) => Ok(State::Unchecked),
            (false, Some(length)) if length > 0 => Ok(State::Body(length)),
            (false, _) => Ok(State::default()),
        }
    }
}

/// Digits, after one blank at most, up to a length that no reader takes for a negative one.
fn plain_number(value: &[u8]) -> Option<u64> {
    let digits = value.strip_prefix(b" ").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(number).is_ok().then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of bytes that arrive in pieces: sound bytes, sound heads, and the violation.
    fn verdict(bytes: &[u8], pieces: &[usize]) -> (usize, u64, Option<Violation>) {
        let mut framing = Framing::default();
        let (mut sound, mut seen) = (0, 0);
        let mut ends: Vec<usize> = pieces.iter().map(|at| at % (bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        for end in ends {
            seen = end.max(seen);
            let scan = framing.scan(&bytes[sound..seen]);
            sound += scan.sound;
            if scan.violation.is_some() {
                return (sound, framing.heads(), scan.violation);
            }
        }
        (sound, framing.heads(), None)
    }

    fn whole(text: &str) -> Result<u64, Violation> {
        let (sound, heads, violation) = verdict(text.as_bytes(), &[]);
        match violation {
            None => {
                assert_eq!(sound, text.len(), "{text:?}");
                Ok(heads)
            }
            Some(violation) => Err(violation),
        }
    }

    #[test]
    fn sound_requests_pass_one_after_the_other() {
        assert_eq!(whole("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), Ok(1));
        assert_eq!(
            whole("GET / HTTP/1.0\r\n\r\nHEAD / HTTP/1.1\r\n\r\n"),
            Ok(2)
        );
        assert_eq!(
            whole("PUT /a HTTP/1.1\r\nContent-Length:5\r\n\r\nGET \n\r\nGET / HTTP/1.1\r\n\r\n"),
            Ok(2),
            "a body is not read as a head, and an empty line after it is forgiven"
        );
        assert_eq!(
            whole("PUT /a HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n5\nx"),
            Ok(1)
        );
    }

    #[test]
    fn a17_whatever_two_readers_could_frame_differently_is_a_violation() {
        let with = |header: &str| whole(&format!("PUT /a HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n"));
        for (header, violation) in [
            ("content-length: +5", Violation::ContentLength),
            ("content-length: -5", Violation::ContentLength),
            ("content-length:  5", Violation::ContentLength),
            ("content-length: 5 ", Violation::ContentLength),
            ("content-length: 5,5", Violation::ContentLength),
            ("content-length: 0x5", Violation::ContentLength),
            ("content-length:", Violation::ContentLength),
            (
                "content-length: 9223372036854775808",
                Violation::ContentLength,
            ),
            (
                "content-length: 5\r\nContent-Length: 5",
                Violation::RepeatedLength,
            ),
            (
                "content-length: 5\r\ncontent-length: 6",
                Violation::RepeatedLength,
            ),
            (
                "content-length: 5\r\ntransfer-encoding: chunked",
                Violation::TwoFramings,
            ),
            (
                "transfer-encoding: chunked\r\ncontent-length: 0",
                Violation::TwoFramings,
            ),
            ("transfer-encoding: xchunked", Violation::TransferEncoding),
            (
                "transfer-encoding: chunked, identity",
                Violation::TransferEncoding,
            ),
            ("transfer-encoding: identity", Violation::TransferEncoding),
            (
                "transfer-encoding: \x0bchunked",
                Violation::TransferEncoding,
            ),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                Violation::TransferEncoding,
            ),
            ("transfer-encoding : chunked", Violation::HeaderName),
            ("content-length\t: 5", Violation::HeaderName),
            (": 5", Violation::HeaderName),
            ("nonsense", Violation::HeaderName),
            ("x: a\r\n b", Violation::Folded),
            ("x: a\r\n\tcontent-length: 5", Violation::Folded),
            ("x: a\ny: b", Violation::LineEnd),
            ("x: a\rcontent-length: 5", Violation::LineEnd),
            ("x: a\r\r", Violation::LineEnd),
            ("\n", Violation::LineEnd),
        ] {
            assert_eq!(with(header), Err(violation), "{header:?}");
        }
        assert_eq!(
            whole("PUT / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"),
            Err(Violation::TransferEncoding)
        );
        for line in ["GET /", "GET / HTTP/2.0", "GET / HTTP/1.1 ", "get"] {
            assert_eq!(
                whole(&format!("{line}\r\n\r\n")),
                Err(Violation::RequestLine),
                "{line}"
            );
        }
        assert_eq!(whole("GET / HTTP/1.1\n\n"), Err(Violation::LineEnd));
    }

    #[test]
    fn h3_heads_have_a_bound_whether_or_not_they_end() {
        let long = "a".repeat(LONGEST_LINE);
        for end in [" HTTP/1.1\r\n\r\n", ""] {
            assert_eq!(
                whole(&format!("GET /{long}{end}")),
                Err(Violation::TargetTooLong)
            );
        }
        let long = "a".repeat(LONGEST_HEAD);
        for end in ["\r\n\r\n", ""] {
            assert_eq!(
                whole(&format!("GET / HTTP/1.1\r\nx: {long}{end}")),
                Err(Violation::HeadTooLong)
            );
        }
        let many = "x: y\r\n".repeat(MOST_HEADERS);
        assert_eq!(whole(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Ok(1));
        assert_eq!(
            whole(&format!("GET / HTTP/1.1\r\n{many}x: y\r\n\r\n")),
            Err(Violation::HeadTooLong)
        );
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "PUT /a HTTP/1.0\r\n",
            "content-length: 3\r\n",
            "content-length: 0\r\n",
            "transfer-encoding: chunked\r\n",
            "x: y\r\n",
            "\r\n",
            "\r\n",
            "\n",
            "\r",
            "abc",
            " ",
            ":",
        ])
    }

    proptest! {
        #[test]
        fn a17_the_verdict_does_not_depend_on_how_the_bytes_arrive(
            pieces in prop::collection::vec(piece(), 0..24),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let bytes = pieces.concat().into_bytes();
            let all: Vec<usize> = (0..bytes.len()).collect();
            let expected = verdict(&bytes, &[]);
            prop_assert_eq!(verdict(&bytes, &cuts), expected);
            prop_assert_eq!(verdict(&bytes, &all), expected);
        }
    }
}
