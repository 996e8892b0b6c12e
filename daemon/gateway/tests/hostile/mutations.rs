//! Right requests with one thing changed, so that they say something else than what was signed:
//! none is accepted, none reaches the provider (threats.md c). Each way to change is counted.

use std::collections::BTreeMap;

use crate::harness::{Dice, Forged, Line, Pen, World, hex, scale, sha256};

const SEED: u64 = 0x005e_ed00;
/// Of each class, at scale 1.
const EACH: usize = 130;

/// Changes a request; false if there is nothing to change in this one.
type Change = fn(&mut Forged, &mut Dice) -> bool;

const CLASSES: &[(&str, Change)] = &[
    ("method", method),
    ("host", |it, dice| {
        alter_header(it, dice, |name| name == "host")
    }),
    ("host without its port", |it, _| {
        let host = it
            .value("host")
            .unwrap()
            .split(':')
            .next()
            .unwrap()
            .to_owned();
        it.set("host", host);
        true
    }),
    ("another port", |it, dice| {
        let host = it
            .value("host")
            .unwrap()
            .split(':')
            .next()
            .unwrap()
            .to_owned();
        it.set("host", format!("{host}:{}", 1 + dice.below(1000)));
        true
    }),
    ("a second host", |it, _| {
        it.headers.push(("host".into(), "other.test".into()));
        true
    }),
    ("a character of the path", |it, dice| {
        let letters: Vec<usize> = positions(&it.path[1..], |byte| byte.is_ascii_lowercase());
        let at = 1 + dice.pick(&letters);
        let was = it.path.as_bytes()[at];
        let to = if was == b'z' {
            'a'
        } else {
            char::from(was + 1)
        };
        it.path.replace_range(at..=at, &to.to_string());
        true
    }),
    ("the case of the path", |it, dice| {
        let letters: Vec<usize> = positions(&it.path, |byte| byte.is_ascii_lowercase());
        let at = dice.pick(&letters);
        it.path[at..=at].make_ascii_uppercase();
        true
    }),
    ("more path", |it, dice| {
        it.path
            .push_str(dice.pick(&["/", "x", "/x", "%20", "//", "/.", "/..", "%00", ";x"]));
        true
    }),
    ("segments that fold away", |it, dice| {
        let slashes: Vec<usize> = positions(&it.path, |byte| byte == b'/');
        let at = dice.pick(&slashes);
        it.path
            .insert_str(at, dice.pick(&["/.", "/x/..", "/", "/%2e", "/y/%2e%2E"]));
        true
    }),
    ("an escape of an escape", |it, dice| {
        let letters: Vec<usize> = positions(&it.path, |byte| byte.is_ascii_lowercase());
        let at = dice.pick(&letters);
        let escaped = format!("%25{:02X}", it.path.as_bytes()[at]);
        it.path.replace_range(at..=at, &escaped);
        true
    }),
    ("no query at all", |it, _| {
        !std::mem::take(&mut it.query).is_empty()
    }),
    ("a pair less", |it, dice| {
        !it.query.is_empty() && {
            let at = dice.below(it.query.len());
            it.query.remove(at);
            true
        }
    }),
    ("a pair more", |it, dice| {
        let pairs = [
            "acl",
            "versionId=9",
            "uploads",
            "tagging",
            "x=y",
            "policy=",
            "delete",
            "X-Amz-Acl=private",
            "x-amz-copy-source=%2Fphotos%2Fz",
            "response-expires=1",
            "session",
            "Prefix=x",
            "X-Amz-Meta-A=b",
        ];
        let at = dice.below(it.query.len() + 1);
        it.query.insert(at, dice.pick(&pairs).to_owned());
        true
    }),
    ("a pair twice", |it, dice| {
        !it.query.is_empty() && {
            let pair = it.query[dice.below(it.query.len())].clone();
            it.query.push(pair);
            true
        }
    }),
    ("another value in the query", |it, dice| {
        !it.query.is_empty() && {
            let at = dice.below(it.query.len());
            let pair = &mut it.query[at];
            pair.push_str(if pair.contains('=') { "1" } else { "=1" });
            true
        }
    }),
    ("another name in the query", |it, dice| {
        !it.query.is_empty() && {
            let at = dice.below(it.query.len());
            it.query[at].insert(0, 'q');
            true
        }
    }),
    ("the case of a name in the query", |it, dice| {
        !it.query.is_empty() && {
            let at = dice.below(it.query.len());
            let (name, value) = it.query[at].split_once('=').unwrap_or((&it.query[at], ""));
            let turned = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                name.to_ascii_lowercase()
            } else {
                name.to_ascii_uppercase()
            };
            // Nothing is signed over the name of the signature; but it is then another parameter.
            let same = turned == name || name == "X-Amz-Signature";
            it.query[at] = format!("{turned}={value}");
            !same
        }
    }),
    ("a signed header's value", |it, dice| {
        let signed = signed_headers(it);
        alter_header(it, dice, |name| {
            name != "host" && signed.iter().any(|known| known == name)
        })
    }),
    ("a signed header less", |it, dice| {
        let signed = signed_headers(it);
        let at: Vec<usize> = (0..it.headers.len())
            .filter(|&at| signed.contains(&it.headers[at].0))
            .collect();
        it.headers.remove(dice.pick(&at));
        true
    }),
    ("a signed header twice", |it, dice| {
        let signed = signed_headers(it);
        let at: Vec<usize> = (0..it.headers.len())
            .filter(|&at| signed.contains(&it.headers[at].0))
            .collect();
        let mut again = it.headers[dice.pick(&at)].clone();
        again.1.push_str(dice.pick(&["", "1"]));
        it.headers.push(again);
        true
    }),
    ("an unsigned x-amz header", |it, dice| {
        let names = [
            "x-amz-acl",
            "x-amz-copy-source",
            "x-amz-tagging",
            "x-amz-meta-new",
            "x-amz-storage-class",
            "x-amz-object-lock-mode",
            "x-amz-object-lock-legal-hold",
            "x-amz-object-lock-retain-until-date",
            "x-amz-bypass-governance-retention",
            "x-amz-grant-full-control",
            "x-amz-mfa",
            "x-amz-trailer",
            "x-amz-server-side-encryption",
            "x-amz-website-redirect-location",
            "x-amz-decoded-content-length",
            "x-amz-expected-bucket-owner",
            "x-amz-metadata-directive",
            "x-amz-write-offset-bytes",
            "X-AMZ-ACL",
            "x-amz-",
            "x-amz-rename-source",
            "x-amz-checksum-crc32",
        ];
        let name = dice.pick(&names);
        it.value(&name.to_ascii_lowercase()).is_none() && {
            let value = dice.pick(&["private", "/photos/z", "1", ""]);
            it.headers.push((name.into(), value.into()));
            true
        }
    }),
    ("a digit of the signature", |it, dice| {
        let at = dice.below(64);
        with_signature(it, |signature| {
            let digit = if &signature[at..=at] == "7" { "8" } else { "7" };
            signature.replace_range(at..=at, digit);
        })
    }),
    ("a signature of another length", |it, dice| {
        let to = dice.below(64);
        let longer = dice.chance(30);
        with_signature(it, |signature| {
            if longer {
                signature.push('0');
            } else {
                signature.truncate(to);
            }
        })
    }),
    ("a signature in capitals", |it, _| {
        with_signature(it, |it| it.make_ascii_uppercase())
    }),
    ("a signature that says nothing", |it, dice| {
        let digit = dice.pick(&["0", "f", "g", "%", "é"]);
        with_signature(it, |signature| *signature = digit.repeat(64 / digit.len()))
    }),
    ("the key of the credential", |it, dice| {
        let at = dice.below(20);
        credential(it, |parts| {
            let was = parts[0].as_bytes()[at];
            let to = if was == b'A' { "B" } else { "A" };
            parts[0].replace_range(at..=at, to);
        })
    }),
    ("the date of the credential", |it, dice| {
        let date = dice.pick(&[
            "20261122", "20261124", "20251123", "", "2026112", "00000000", "x",
        ]);
        credential(it, |parts| parts[1] = date.into())
    }),
    ("the region of the credential", |it, dice| {
        let region = dice.pick(&["us-east-1", "", "AUTO", "aut", "auto2", "s3", "*"]);
        credential(it, |parts| parts[2] = region.into())
    }),
    ("the service of the credential", |it, dice| {
        let service = dice.pick(&[
            "S3",
            "sts",
            "iam",
            "ec2",
            "",
            "s3express",
            "s3-object-lambda",
        ]);
        credential(it, |parts| parts[3] = service.into())
    }),
    ("the end of the credential", |it, dice| {
        let end = dice.pick(&[
            "aws5_request",
            "AWS4_REQUEST",
            "",
            "aws4_request_",
            "aws4-request",
        ]);
        credential(it, |parts| parts[4] = end.into())
    }),
    ("the number of the credential's parts", |it, dice| {
        let at = dice.below(5);
        let less = dice.chance(50);
        credential(it, |parts| {
            if less {
                parts.remove(at);
            } else {
                parts.insert(at, "x".into());
            }
        })
    }),
    ("the algorithm", |it, dice| {
        let to = dice.pick(&[
            "AWS4-HMAC-SHA512",
            "AWS4-HMAC-SHA1",
            "aws4-hmac-sha256",
            "AWS",
            "AWS4-ECDSA-P256-SHA256",
            "Basic",
            "Bearer",
            "",
        ]);
        replace(it, "AWS4-HMAC-SHA256", to)
    }),
    ("a signed name less", |it, dice| {
        let at = dice.next();
        names(it, |names| {
            names.remove(usize::try_from(at % names.len() as u64).unwrap());
        })
    }),
    ("a signed name more", |it, dice| {
        let name = dice.pick(&["x-amz-acl", "range", "accept", "zz", "x-amz-copy-source"]);
        names(it, |names| names.push(name.into()))
    }),
    ("the signed names in another order", |it, _| {
        signed_headers(it).len() > 1 && names(it, |names| names.reverse())
    }),
    ("a signed name twice", |it, dice| {
        let at = dice.next();
        names(it, |names| {
            let at = usize::try_from(at % names.len() as u64).unwrap();
            names.push(names[at].clone());
        })
    }),
    ("signed names that are none", |it, dice| {
        let name = dice.pick(&["", " ", "a b", "host:", "*"]);
        names(it, |names| names.insert(0, name.into()))
    }),
    ("another time", |it, dice| {
        let to = dice.pick(&[
            "20261123T120001Z",
            "20261123T115959Z",
            "20261123T121501Z",
            "20261124T120000Z",
            "20161123T120000Z",
            "20261123T120000",
            "2026-11-23T12:00:00Z",
            "",
            "0",
            "99991231T235959Z",
        ]);
        let done = match it.value("x-amz-date") {
            Some(_) => {
                it.set("x-amz-date", to);
                true
            }
            None => false,
        };
        done || pair(it, "X-Amz-Date", |value| *value = to.into())
    }),
    ("another expiry", |it, dice| {
        let to = dice.pick(&[
            "0",
            "-1",
            "61",
            "59",
            "604800",
            "604801",
            "9999999999",
            "",
            "abc",
            "6e1",
            "+60",
            "060",
        ]);
        pair(it, "X-Amz-Expires", |value| *value = to.into())
    }),
    ("a header besides the query", |it, _| {
        it.query
            .iter()
            .any(|pair| pair.starts_with("X-Amz-Signature"))
            && {
                it.headers
                    .push(("authorization".into(), "AWS4-HMAC-SHA256 x".into()));
                true
            }
    }),
    ("a query besides the header", |it, dice| {
        let pairs = [
            "X-Amz-Signature=0",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "x-amz-expires=60",
            "X-Amz-Credential=x",
        ];
        it.value("authorization").is_some() && {
            it.query.push(dice.pick(&pairs).into());
            true
        }
    }),
    ("two authorizations", |it, dice| {
        let other = dice.chance(50);
        it.value("authorization")
            .map(str::to_owned)
            .is_some_and(|value| {
                let value = if other {
                    "AWS4-HMAC-SHA256 x".into()
                } else {
                    value
                };
                it.headers.push(("Authorization".into(), value));
                true
            })
    }),
    ("no authorization", |it, _| {
        let before = it.headers.len() + it.query.len();
        it.headers.retain(|(name, _)| name != "authorization");
        it.query.retain(|pair| !pair.starts_with("X-Amz-"));
        before > it.headers.len() + it.query.len()
    }),
    ("a component twice", |it, dice| {
        let name = dice.pick(&["Credential", "SignedHeaders", "Signature"]);
        let header = it.value("authorization").map(str::to_owned);
        header.is_some_and(|text| {
            let part = text
                .split([' ', ','])
                .find(|part| part.starts_with(name))
                .unwrap();
            it.set("authorization", format!("{text}, {part}"));
            true
        })
    }),
    ("a component less", |it, dice| {
        let name = dice.pick(&["Credential", "SignedHeaders", "Signature"]);
        match it.value("authorization") {
            Some(_) => replace(it, &format!("{name}="), "Other="),
            None => {
                it.query
                    .retain(|pair| !pair.starts_with(&format!("X-Amz-{name}=")));
                true
            }
        }
    }),
    ("a session token", |it, dice| {
        if dice.chance(50) {
            it.headers
                .push(("x-amz-security-token".into(), "token".into()));
        } else {
            it.query.push("X-Amz-Security-Token=token".into());
        }
        true
    }),
    ("another payload form", |it, dice| {
        let forms = [
            "UNSIGNED-PAYLOAD",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        ];
        let to = dice.pick(&forms);
        let was = it.value("x-amz-content-sha256").map(str::to_owned);
        was.is_some_and(|was| {
            was != to && {
                it.set("x-amz-content-sha256", to);
                true
            }
        })
    }),
    ("an absolute target", |it, dice| {
        let to = dice.pick(&[
            "http://other.test",
            "http://127.0.0.1",
            "https://photos.test:1",
        ]);
        it.path.insert_str(0, to);
        true
    }),
];

fn positions(text: &str, wanted: fn(u8) -> bool) -> Vec<usize> {
    let mut found = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        // The digits of an escape stay.
        let escape = (1..=2).any(|back| at >= back && text.as_bytes()[at - back] == b'%');
        if wanted(byte) && !escape {
            found.push(at);
        }
    }
    found
}

fn method(it: &mut Forged, dice: &mut Dice) -> bool {
    let to = dice.pick(&[
        "GET", "PUT", "DELETE", "HEAD", "POST", "PATCH", "get", "PUTT", "TRACE",
    ]);
    let other = to != it.method;
    it.method = to.into();
    other
}

/// Makes one of these headers say something else.
fn alter_header(it: &mut Forged, dice: &mut Dice, which: impl Fn(&str) -> bool) -> bool {
    let at: Vec<usize> = (0..it.headers.len())
        .filter(|&at| which(&it.headers[at].0))
        .collect();
    !at.is_empty() && {
        let value = &mut it.headers[dice.pick(&at)].1;
        match dice.below(3) {
            0 => value.push('1'),
            1 => value.insert(0, 'x'),
            _ => {
                value.pop();
            }
        }
        true
    }
}

fn signed_headers(it: &Forged) -> Vec<String> {
    let list = match it.value("authorization") {
        Some(text) => {
            let rest = text.split_once("SignedHeaders=").unwrap().1;
            rest.split(',').next().unwrap().to_owned()
        }
        None => {
            let pair = it
                .query
                .iter()
                .find_map(|pair| pair.strip_prefix("X-Amz-SignedHeaders="));
            pair.unwrap().replace("%3B", ";")
        }
    };
    list.split(';').map(str::to_owned).collect()
}

fn pair(it: &mut Forged, name: &str, change: impl FnOnce(&mut String)) -> bool {
    let found = it.query.iter_mut().find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix('=')?.to_owned();
        Some((pair, value))
    });
    found.is_some_and(|(pair, mut value)| {
        let was = value.clone();
        change(&mut value);
        *pair = format!("{name}={value}");
        was != value
    })
}

fn replace(it: &mut Forged, from: &str, to: &str) -> bool {
    let Some(text) = it.value("authorization").map(str::to_owned) else {
        let at = it.query.iter().position(|pair| pair.contains(from));
        return at.is_some_and(|at| {
            it.query[at] = it.query[at].replace(from, to);
            true
        });
    };
    it.set("authorization", text.replacen(from, to, 1));
    true
}

fn with_signature(it: &mut Forged, change: impl FnOnce(&mut String)) -> bool {
    let Some(text) = it.value("authorization").map(str::to_owned) else {
        return pair(it, "X-Amz-Signature", change);
    };
    let (head, signature) = text.rsplit_once("Signature=").unwrap();
    let mut signature = signature.to_owned();
    change(&mut signature);
    let changed = format!("{head}Signature={signature}");
    let other = changed != text;
    it.set("authorization", changed);
    other
}

fn credential(it: &mut Forged, change: impl FnOnce(&mut Vec<String>)) -> bool {
    let split = |text: &str, by: &str| text.split(by).map(str::to_owned).collect::<Vec<_>>();
    let Some(text) = it.value("authorization").map(str::to_owned) else {
        return pair(it, "X-Amz-Credential", |value| {
            let mut parts = split(value, "%2F");
            change(&mut parts);
            *value = parts.join("%2F");
        });
    };
    let (head, rest) = text.split_once("Credential=").unwrap();
    let (value, tail) = rest.split_once(',').unwrap();
    let mut parts = split(value, "/");
    change(&mut parts);
    it.set(
        "authorization",
        format!("{head}Credential={},{tail}", parts.join("/")),
    );
    true
}

fn names(it: &mut Forged, change: impl FnOnce(&mut Vec<String>)) -> bool {
    let before = signed_headers(it);
    let mut list = before.clone();
    change(&mut list);
    match it.value("authorization") {
        Some(_) => replace(it, &before.join(";"), &list.join(";")),
        None => pair(it, "X-Amz-SignedHeaders", |value| *value = list.join("%3B")),
    }
}

/// Requests of all kinds, each of them right.
fn right(world: &World) -> Vec<Forged> {
    let pen = Pen::of(world);
    let ask = |method: &str, path: &str, query: &[&str]| Forged::new(world, method, path, query);
    let body = "the body";
    let hash = hex(&sha256(body.as_bytes()));
    let empty = hex(&sha256(b""));
    let delete = "<Delete><Object><Key>a</Key></Object></Delete>";
    let metadata = ("x-amz-meta-owner", "some body");
    let signed = |request: Forged, payload: &str| pen.sign(request, Some(payload));
    let link = |request: Forged| pen.presign(request, "60", "UNSIGNED-PAYLOAD");
    vec![
        signed(
            ask(
                "GET",
                "/photos/a%20b/c",
                &["response-content-type=text%2Fplain", "versionId=1"],
            ),
            &empty,
        ),
        signed(
            ask(
                "GET",
                "/photos",
                &["list-type=2", "max-keys=5", "prefix=a%2F"],
            ),
            &empty,
        ),
        signed(ask("HEAD", "/photos/abc", &[]), "UNSIGNED-PAYLOAD"),
        signed(ask("DELETE", "/photos/abc", &["versionId=1"]), &empty),
        signed(
            ask("PUT", "/photos/abc", &[])
                .header(metadata.0, metadata.1)
                .body(body),
            &hash,
        ),
        signed(
            ask("PUT", "/photos/abc", &[])
                .header("content-type", "text/plain")
                .header("x-amz-tagging", "a=b")
                .body(body),
            "UNSIGNED-PAYLOAD",
        ),
        signed(
            ask("PUT", "/photos/copy", &[]).header("x-amz-copy-source", "/photos/abc"),
            &empty,
        ),
        signed(
            ask("POST", "/photos", &["delete"]).body(delete),
            &hex(&sha256(delete.as_bytes())),
        ),
        link(ask("GET", "/photos/abc", &[])),
        link(ask(
            "GET",
            "/photos/a%20b/c",
            &["response-content-disposition=inline", "versionId=1"],
        )),
        link(
            ask("PUT", "/photos/abc", &[])
                .header("content-type", "text/plain")
                .body(body),
        ),
        link(
            ask("PUT", "/photos/abc", &[])
                .header(metadata.0, metadata.1)
                .body(body),
        ),
        link(ask("HEAD", "/photos/abc", &[])),
        link(ask("DELETE", "/photos/abc", &["X-Amz-Meta-A=b"])),
    ]
}

#[tokio::test]
async fn no_request_that_says_other_than_what_was_signed_is_accepted() {
    let world = World::new().await;
    let mut line = Line::new(&world);
    let right = right(&world);
    for request in &right {
        let reply = line.ask(request).await.unwrap();
        assert_eq!(reply.status, 200, "{request:?}: {}", reply.text());
    }
    let honest = world.provider.requests();
    assert_eq!(honest, right.len());

    let mut dice = Dice::new(SEED);
    let mut ran: BTreeMap<&str, usize> = BTreeMap::new();
    let each = EACH * scale();
    for &(class, change) in CLASSES {
        for _ in 0..each * 20 {
            let mut request = right[dice.below(right.len())].clone();
            if !change(&mut request, &mut dice) {
                continue;
            }
            let at = || {
                format!(
                    "seed {SEED:#x}, {class}: {}",
                    String::from_utf8_lossy(&request.wire())
                )
            };
            let Some(reply) = line.ask(&request).await else {
                panic!("no answer, {}", at());
            };
            let refused = (400..500).contains(&reply.status) || reply.status == 501;
            assert!(refused, "{} {}\n{}", reply.status, reply.text(), at());
            assert_eq!(
                world.provider.requests(),
                honest,
                "reached the provider, {}",
                at()
            );
            let count = ran.entry(class).or_default();
            *count += 1;
            if *count == each {
                break;
            }
        }
    }
    assert_eq!(ran.len(), CLASSES.len(), "a class never ran: {ran:?}");
    assert!(ran.values().all(|&count| count == each), "{ran:?}");
    let total: usize = ran.values().sum();
    assert!(CLASSES.len() >= 46 && total >= 5_000 * scale(), "{total}");
}
