//! Classification: from a verified head to one operation, by the closed table of gateway.md §3.
//! It must never let a name through that its row does not list: what is not classified is denied.

mod table;

use bascule_domain::{
    access::Denial,
    names::{BucketName, ObjectKey},
    operation::{Action, CopySource, Operation, Target},
};
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::percent_decode;

use self::table::{Class, Level, Name, ROWS, Row, Source};
use crate::respond::Refusal;

/// What a request is about, before it is known what it does.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) place: Place,
    /// Decoded pairs, in the order of the wire.
    pub(crate) query: &'a [(String, String)],
    /// The client's headers, with those hoisted from a presigned URL.
    pub(crate) headers: &'a HeaderMap,
}

/// The bucket and object that host and path name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Service,
    Bucket(BucketName),
    Object(BucketName, ObjectKey),
}

/// An operation, and the query it is sent upstream with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) operation: Operation,
    pub(crate) query: Vec<(String, String)>,
}

const COPY_SOURCE: &str = "x-amz-copy-source";
const RENAME_SOURCE: &str = "x-amz-rename-source";
/// SDKs name the operation in it; no server reads it.
const OPERATION_NAME: &str = "x-id";

/// Classifies a request.
pub(crate) fn classify(asked: &Asked<'_>) -> Result<Classified, Refusal> {
    refuse_ownership_headers(asked.headers)?;
    let level = match &asked.place {
        Place::Service => Level::Service,
        Place::Bucket(_) => Level::Bucket,
        Place::Object(..) => Level::Object,
    };
    let query: Vec<&(String, String)> = asked
        .query
        .iter()
        .filter(|(name, _)| name != OPERATION_NAME)
        .collect();
    refuse_repeated(&query)?;
    if level == Level::Bucket && changes_bucket(asked.method, &query) {
        return Err(Refusal::denied(Denial::BucketAdmin));
    }
    if level == Level::Bucket && asked.method == Method::PUT {
        return Ok(plain(Action::CreateBucket, &asked.place, &query));
    }
    let source = match (
        asked.headers.contains_key(COPY_SOURCE),
        asked.headers.contains_key(RENAME_SOURCE),
    ) {
        (false, false) => Source::None,
        (true, false) => Source::Copy,
        (false, true) => Source::Rename,
        (true, true) => return Err(Refusal::NotAllowed("two sources in one request")),
    };
    let row = ROWS
        .iter()
        .find(|row| selects(row, asked.method, level, source, &query))
        .ok_or(Refusal::NotAllowed("this kind of request"))?;
    let action = match row.class {
        Class::Run(action) => action,
        Class::Admin => return Err(Refusal::denied(Denial::BucketAdmin)),
    };
    let listed = |name: &str| row.may.contains(&name) || row.by.iter().any(|by| by.name() == name);
    if !query.iter().all(|(name, _)| listed(name)) {
        return Err(Refusal::NotAllowed("a query parameter of this request"));
    }
    if row.source != source {
        return Err(Refusal::NotAllowed("a copy source on this request"));
    }
    let mut classified = plain(action, &asked.place, &query);
    classified.operation.source = match source {
        Source::None => None,
        Source::Copy => Some(copy_source(asked.headers, COPY_SOURCE)?),
        Source::Rename => Some(copy_source(asked.headers, RENAME_SOURCE)?),
    };
    Ok(classified)
}

fn selects(
    row: &Row,
    method: &Method,
    level: Level,
    source: Source,
    query: &[&(String, String)],
) -> bool {
    let has = |by: &Name| {
        query
            .iter()
            .any(|(name, value)| name == by.name() && by.fits(value))
    };
    let source_fits = row.source == source || row.source == Source::None;
    row.method == method.as_str() && row.level == level && source_fits && row.by.iter().all(has)
}

/// `PUT b` with a query, `DELETE b`, and every `POST b` but `?delete`.
fn changes_bucket(method: &Method, query: &[&(String, String)]) -> bool {
    match *method {
        Method::DELETE => true,
        Method::PUT => !query.is_empty(),
        Method::POST => !query.iter().any(|(name, _)| name == "delete"),
        _ => false,
    }
}

fn plain(action: Action, place: &Place, query: &[&(String, String)]) -> Classified {
    let target = match place {
        Place::Service => Target::Service,
        Place::Bucket(bucket) => Target::Bucket {
            bucket: bucket.clone(),
            prefix: query
                .iter()
                .find(|(name, _)| name == "prefix")
                .map(|(_, value)| value.clone())
                .unwrap_or_default(),
        },
        Place::Object(bucket, key) => Target::Object {
            bucket: bucket.clone(),
            key: key.clone(),
        },
    };
    Classified {
        operation: Operation {
            action,
            target,
            source: None,
        },
        query: query.iter().map(|&pair| pair.clone()).collect(),
    }
}

fn refuse_repeated(query: &[&(String, String)]) -> Result<(), Refusal> {
    for (at, (name, _)) in query.iter().enumerate() {
        if query[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(Refusal::NotAllowed("a repeated query parameter"));
        }
    }
    Ok(())
}

/// Rights over objects are not the key's to give away, and governance is not its to break
/// (threats.md B6). The two ACL values say what holds anyway.
fn refuse_ownership_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let grants = headers.keys().any(|name| {
        name.as_str().starts_with("x-amz-grant-") || name == "x-amz-bypass-governance-retention"
    });
    let harmless = |value: &HeaderValue| value == "private" || value == "bucket-owner-full-control";
    if grants || !headers.get_all("x-amz-acl").iter().all(harmless) {
        return Err(Refusal::denied(Denial::BucketAdmin));
    }
    Ok(())
}

/// Decodes a source once (gateway.md 49): `[/]bucket/key[?versionId=v]`, percent-encoded. A plus sign
/// that is not encoded is one of two characters, and the provider knows which.
fn copy_source(headers: &HeaderMap, name: &'static str) -> Result<CopySource, Refusal> {
    let invalid = || Refusal::InvalidArgument("the copy source is not /bucket/key");
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(invalid)?;
    if values.next().is_some() {
        return Err(invalid());
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid())?;
    let (path, version) = match text.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (text, None),
    };
    if path.contains('?') {
        return Err(invalid());
    }
    let (bucket, key) = bucket_and_key(path).ok_or_else(invalid)?;
    let with_blanks = match path.contains('+') {
        true => Some(
            bucket_and_key(&path.replace('+', " "))
                .ok_or_else(invalid)?
                .1,
        ),
        false => None,
    };
    let bucket = bucket
        .parse()
        .map_err(|_| Refusal::denied(Denial::Bucket))?;
    let version = version
        .map(|version| decode(version).ok_or_else(invalid))
        .transpose()?;
    Ok(CopySource {
        bucket,
        key,
        with_blanks,
        version,
    })
}

fn bucket_and_key(path: &str) -> Option<(String, ObjectKey)> {
    let path = decode(path)?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/')?;
    Some((bucket.to_owned(), key.parse().ok()?))
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode(text.as_bytes()).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(level: Level) -> Place {
        let bucket = || "photos".parse().unwrap();
        match level {
            Level::Service => Place::Service,
            Level::Bucket => Place::Bucket(bucket()),
            Level::Object => Place::Object(bucket(), "a/b".parse().unwrap()),
        }
    }

    fn pairs_of(row: &Row) -> Vec<(String, String)> {
        let pair = |by: &Name| match *by {
            Name::Flag(name) => (name.to_owned(), String::new()),
            Name::Is(name, value) => (name.to_owned(), value.to_owned()),
            Name::Set(name) => (name.to_owned(), "1".to_owned()),
        };
        row.by.iter().map(pair).collect()
    }

    fn check(row: &Row, query: &[(String, String)], source: bool) -> Result<Action, Refusal> {
        let mut headers = HeaderMap::new();
        let name = match row.source {
            Source::Rename => RENAME_SOURCE,
            Source::Copy | Source::None => COPY_SOURCE,
        };
        if source {
            headers.insert(name, HeaderValue::from_static("/photos/c"));
        }
        classify(&Asked {
            method: &row.method.parse().unwrap(),
            place: place(row.level),
            query,
            headers: &headers,
        })
        .map(|classified| classified.operation.action)
    }

    fn runs(row: &Row) -> Option<Action> {
        match row.class {
            Class::Run(action) => Some(action),
            Class::Admin => None,
        }
    }

    #[test]
    fn every_row_gives_its_action_and_only_with_its_own_parameters() {
        for row in ROWS {
            let source = row.source != Source::None;
            let mut query = pairs_of(row);
            assert_eq!(
                check(row, &query, source).ok(),
                runs(row),
                "{} {query:?}",
                row.method
            );
            for may in row.may {
                let mut wider = query.clone();
                wider.push(((*may).to_owned(), "1".to_owned()));
                assert_eq!(
                    check(row, &wider, source).ok(),
                    runs(row),
                    "{} {wider:?}",
                    row.method
                );
            }
            query.push(("surprise".into(), "1".into()));
            assert!(
                check(row, &query, source).is_err(),
                "{} {query:?}",
                row.method
            );
        }
    }

    #[test]
    fn b5_two_subresources_are_never_one_request() {
        for row in ROWS {
            for other in ROWS.iter().filter(|other| other.level == row.level) {
                let own = pairs_of(row);
                let mut both = own.clone();
                for pair in pairs_of(other) {
                    if !own.iter().any(|(name, _)| *name == pair.0) {
                        both.push(pair);
                    }
                }
                let allowed = |row: &Row| {
                    both.iter().all(|(name, _)| {
                        row.may.contains(&name.as_str())
                            || row.by.iter().any(|by| by.name() == name)
                    })
                };
                if !ROWS
                    .iter()
                    .any(|row| row.level == other.level && allowed(row))
                {
                    let source = row.source != Source::None;
                    assert!(
                        check(row, &both, source).is_err(),
                        "{} {both:?}",
                        row.method
                    );
                }
            }
        }
    }

    #[test]
    fn a_copy_source_is_for_copies_only() {
        for row in ROWS.iter().filter(|row| row.source == Source::None) {
            let got = check(row, &pairs_of(row), true).ok();
            assert!(
                matches!(
                    got,
                    None | Some(Action::CopyObject | Action::UploadPartCopy)
                ),
                "{} {:?}",
                row.method,
                pairs_of(row)
            );
        }
    }
}
