//! Every way to state the payload, on every route, with a right and with a wrong signature
//! (threats.md A3). What must come of it is decided here by the rules, not by asking the gateway.

use crate::{
    harness::{Chunker, Forged, Line, Pen, Reply, Seen, World, crc32, hex, sha256},
    routes::{ROUTES, Route, Rule},
};

/// What `x-amz-content-sha256` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// The hash of the body.
    Hash,
    /// The hash of something else.
    OtherHash,
    /// A form that S3 knows.
    Form(&'static str),
    /// Text that means nothing here.
    Unknown(&'static str),
    Nothing,
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const KNOWN: [Said; 6] = [
    Said::Hash,
    Said::OtherHash,
    Said::Form(UNSIGNED),
    Said::Form(UNSIGNED_TRAILER),
    Said::Form(CHUNKS),
    Said::Form(CHUNKS_TRAILER),
];
const STRANGE: [Said; 21] = [
    Said::Nothing,
    Said::Unknown(""),
    Said::Unknown("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
    Said::Unknown("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"),
    Said::Unknown("STREAMING-AWS4-HMAC-SHA256-EVENTS"),
    Said::Unknown("STREAMING-AWS4-HMAC-SHA512-PAYLOAD"),
    Said::Unknown("STREAMING-UNSIGNED-PAYLOAD"),
    Said::Unknown("STREAMING-UNSIGNED-PAYLOAD-TRAILER-2"),
    Said::Unknown("STREAMING-NEW-FORM"),
    Said::Unknown("STREAMING-"),
    Said::Unknown("unsigned-payload"),
    Said::Unknown("Streaming-Unsigned-Payload-Trailer"),
    Said::Unknown("streaming-aws4-hmac-sha256-payload"),
    Said::Unknown("UNSIGNED-PAYLOAD,UNSIGNED-PAYLOAD"),
    Said::Unknown("UNSIGNED-PAYLOAD;STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    Said::Unknown("UNSIGNED_PAYLOAD"),
    Said::Unknown("garbage"),
    Said::Unknown("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"),
    Said::Unknown("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85"),
    Said::Unknown("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550"),
    Said::Unknown("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
];

impl Said {
    fn is_chunked(self) -> bool {
        matches!(self, Self::Form(form) if form != UNSIGNED)
    }

    fn text(self, body: &[u8]) -> Option<String> {
        Some(match self {
            Self::Hash => hex(&sha256(body)),
            Self::OtherHash => hex(&sha256(b"something else")),
            Self::Form(text) | Self::Unknown(text) => text.into(),
            Self::Nothing => return None,
        })
    }
}

/// Where the signature stands, and how the payload is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In the header, which lists `x-amz-content-sha256`.
    Header,
    /// In the header, which does not list it.
    HeaderUnlisted,
    /// In the query; the header is added by whoever has the URL.
    LinkAndHeader,
    /// In the query; the parameter is added by whoever has the URL.
    LinkAndParameter,
    /// In the query, and the header is signed.
    LinkWithHeader,
    /// In the query, and the parameter is signed.
    LinkWithParameter,
}

use Way::{
    Header, HeaderUnlisted, LinkAndHeader, LinkAndParameter, LinkWithHeader, LinkWithParameter,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The provider gets it, once, whole, and in a form that it is told rightly.
    Forwarded,
    /// The gateway's own answer; the provider gets nothing.
    Answered(u16),
    /// Refused; the provider gets nothing.
    Refused,
    /// Refused; the provider never gets the end of it.
    NeverCompleted,
}

/// The rules.
fn expected(route: &Route, way: Way, said: Said, forged: bool) -> Expected {
    // Browsers are turned away before anything else is looked at.
    if route.method == "OPTIONS" {
        return Expected::Answered(403);
    }
    let unknown = matches!(said, Said::Unknown(_));
    let refused = forged
        || unknown
        || match way {
            Header | HeaderUnlisted => said == Said::Nothing,
            // Whatever is added to the query after signing breaks the signature.
            LinkAndParameter => said != Said::Nothing,
            // Nothing covers the chunks of a link.
            LinkAndHeader | LinkWithHeader | LinkWithParameter => said.is_chunked(),
        };
    if refused {
        return Expected::Refused;
    }
    match route.rule {
        Rule::Denied => Expected::Refused,
        Rule::Answers(_, status) => Expected::Answered(status),
        Rule::Runs(_) => {
            let checked = !matches!(way, LinkAndHeader | LinkAndParameter);
            if said == Said::OtherHash && checked && !route.body.is_empty() {
                Expected::NeverCompleted
            } else {
                Expected::Forwarded
            }
        }
    }
}

const CHECKSUM: &str = "x-amz-checksum-crc32";

fn request(world: &World, route: &Route, way: Way, said: Said) -> Forged {
    let mut pen = Pen::of(world);
    let data = route.body.as_bytes();
    let mut request = Forged::new(world, route.method, route.path, route.query);
    for (name, value) in route.headers {
        request = request.header(name, *value);
    }
    let text = said.text(data);
    let framed = !data.is_empty() && text.as_deref().is_some_and(|text| text.starts_with('S'));
    if framed
        && matches!(
            way,
            Header | HeaderUnlisted | LinkWithHeader | LinkWithParameter
        )
    {
        request = request
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", data.len().to_string());
        if text
            .as_deref()
            .is_some_and(|text| text.ends_with("TRAILER"))
        {
            request = request.header("x-amz-trailer", CHECKSUM);
        }
    }
    let mut request = match way {
        Header => pen.sign(request, text.as_deref()),
        HeaderUnlisted => {
            pen.unlisted = Some("x-amz-content-sha256");
            pen.sign(request, text.as_deref())
        }
        LinkAndHeader => {
            let link = pen.presign(request, "60", UNSIGNED);
            match &text {
                Some(text) => link.header("x-amz-content-sha256", text),
                None => link,
            }
        }
        LinkAndParameter => {
            let mut link = pen.presign(request, "60", UNSIGNED);
            link.query.extend(text.iter().map(|text| parameter(text)));
            link
        }
        LinkWithHeader => match &text {
            Some(text) => pen.presign(request.header("x-amz-content-sha256", text), "60", text),
            None => pen.presign(request, "60", UNSIGNED),
        },
        LinkWithParameter => {
            request
                .query
                .extend(text.iter().map(|text| parameter(text)));
            pen.presign(request, "60", text.as_deref().unwrap_or(UNSIGNED))
        }
    };
    request.body = if !framed {
        data.to_vec()
    } else if said == Said::Form(CHUNKS) || said == Said::Form(CHUNKS_TRAILER) {
        // A link has no seed; its chunks are signed with what a header would have said.
        let authorization = request.value("authorization").map_or_else(
            || {
                format!(
                    "Credential=x/{}/auto/s3/aws4_request, Signature=0",
                    pen.date
                )
            },
            str::to_owned,
        );
        let chunks = Chunker::after(&authorization, &pen.time)
            .chunk(data)
            .chunk(&[]);
        if said == Said::Form(CHUNKS) {
            chunks.end()
        } else {
            chunks.trailer(CHECKSUM, &crc32(data))
        }
    } else {
        let (size, value) = (data.len(), crc32(data));
        format!(
            "{size:x}\r\n{}\r\n0\r\n{CHECKSUM}:{value}\r\n\r\n",
            route.body
        )
        .into_bytes()
    };
    request
}

fn parameter(text: &str) -> String {
    let encoded: String = text
        .bytes()
        .map(|byte| match byte {
            b'-' | b'_' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("X-Amz-Content-Sha256={encoded}")
}

/// Spoils the signature, and nothing else.
fn spoil(request: &mut Forged) {
    let flip = |text: &str| {
        let at = text.len() - 1;
        let digit = if text.ends_with('0') { '1' } else { '0' };
        format!("{}{digit}", &text[..at])
    };
    if let Some(text) = request.value("authorization").map(flip) {
        return request.set("authorization", text);
    }
    let signed = |pair: &&mut String| pair.starts_with("X-Amz-Signature=");
    let pair = request.query.iter_mut().find(signed).unwrap();
    *pair = flip(pair);
}

/// The data in aws-chunked framing, whatever signatures stand in it.
fn unframed(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").unwrap();
        let line = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
        body = &body[end + 2..];
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&body[..size]);
        body = &body[size + 2..];
    }
}

fn judge(
    route: &Route,
    expected: Expected,
    reply: &Reply,
    seen: &[Seen],
) -> Result<(), &'static str> {
    match expected {
        Expected::Answered(status) if reply.status != status => Err("another answer"),
        Expected::Refused if !matches!(reply.status, 400 | 403 | 409 | 411 | 501) => {
            Err("not refused")
        }
        Expected::Answered(_) | Expected::Refused if !seen.is_empty() => {
            Err("it reached the provider")
        }
        Expected::Answered(_) | Expected::Refused => Ok(()),
        Expected::NeverCompleted if reply.status != 400 => Err("not refused"),
        Expected::NeverCompleted if seen.iter().any(|seen| seen.complete) => Err("completed"),
        Expected::NeverCompleted => Ok(()),
        Expected::Forwarded => {
            let [seen] = seen else {
                return Err("not one request at the provider");
            };
            if reply.status != 200 || !seen.complete {
                return Err("not answered");
            }
            let form = seen.header("x-amz-content-sha256").unwrap_or_default();
            let encoding = seen.header("content-encoding").unwrap_or_default();
            let framed = form == UNSIGNED_TRAILER;
            if framed != encoding.contains("aws-chunked") {
                return Err("framed under another name");
            }
            let data = if framed {
                unframed(&seen.body)
            } else {
                seen.body.clone()
            };
            if data != route.body.as_bytes() {
                return Err("another body");
            }
            let told = framed || form == UNSIGNED || form == hex(&sha256(&data));
            if route.body.is_empty() && form != EMPTY && form != UNSIGNED {
                return Err("a form of body for no body");
            }
            if told {
                Ok(())
            } else {
                Err("a form that the body has not")
            }
        }
    }
}

#[tokio::test]
async fn a3_no_payload_form_falls_through_on_any_route() {
    let world = World::new().await;
    let mut line = Line::new(&world);
    let mut cases = Vec::new();
    let all = || KNOWN.into_iter().chain(STRANGE);
    for way in [Header, LinkAndHeader] {
        cases.extend(all().flat_map(|said| [(way, said, false), (way, said, true)]));
    }
    for way in [
        HeaderUnlisted,
        LinkAndParameter,
        LinkWithHeader,
        LinkWithParameter,
    ] {
        cases.extend(KNOWN.map(|said| (way, said, false)));
        cases.extend(STRANGE[..4].iter().map(|&said| (way, said, false)));
        cases.extend(KNOWN.map(|said| (way, said, true)));
    }
    let mut ran = [0; 4];
    for route in ROUTES {
        for &(way, said, forged) in &cases {
            let expected = expected(route, way, said, forged);
            let mut request = request(&world, route, way, said);
            if forged {
                spoil(&mut request);
            }
            let reply = line.ask(&request).await;
            let at = || format!("{way:?} {said:?} forged: {forged}\n{route:?}\n{request:?}");
            let Some(reply) = reply else {
                panic!("no answer: {}", at());
            };
            if expected == Expected::NeverCompleted {
                world.idle().await;
            }
            let seen = world.provider.take();
            if let Err(why) = judge(route, expected, &reply, &seen) {
                panic!(
                    "{why}, expected {expected:?}: {}\n{reply:?}\n{seen:?}",
                    at()
                );
            }
            ran[match expected {
                Expected::Forwarded => 0,
                Expected::Answered(_) => 1,
                Expected::Refused => 2,
                Expected::NeverCompleted => 3,
            }] += 1;
        }
    }
    let total: usize = ran.iter().sum();
    let enough = total >= 14_500 && ran[0] >= 1_200 && ran[1] >= 200 && ran[3] >= 28;
    assert!(enough, "cases are missing: {ran:?}");
}
