//! Every request of `matrix.py` directly and through the gateway: the same status, code, headers
//! and body, but for what is listed here with its reason.

use std::collections::BTreeSet;

use bascule_tests::{Home, Issued, World, cli, tools};
use http::Method;
use serde_json::Value;

const WIRE: &str = include_str!("wire.py");
const MATRIX: &str = include_str!("matrix.py");
/// So that cases that vanish are missed.
const AT_LEAST: usize = 1_100;

/// Differences that are meant: how the names of the cases begin, what the gateway answers, and
/// why it does. What both refuse with the same status and code is not here.
const MEANT: &[(&str, &str, &str)] = &[
    (
        "assume role",
        "403 AccessDenied",
        "service administration is denied",
    ),
    (
        "append",
        "501 NotImplemented",
        "a header that changes what the request does",
    ),
    (
        "complete odd key",
        "200",
        "Location is encoded as it is signed: + too",
    ),
    (
        "copy key 'xxxxxxxxxx of 1025'",
        "400 InvalidArgument",
        "too long a key",
    ),
    (
        "create bucket",
        "403 AccessDenied",
        "bucket administration is denied",
    ),
    (
        "delete bucket",
        "403 AccessDenied",
        "bucket administration is denied",
    ),
    (
        "delete bypassing",
        "403 AccessDenied",
        "governance is not a key's to break",
    ),
    (
        "delete empty key",
        "400 MalformedXML",
        "the body of DeleteObjects is read strictly",
    ),
    (
        "delete key 'xxxxxxxxxx of 1025'",
        "400 KeyTooLongError",
        "as AWS says it",
    ),
    (
        "delete nothing",
        "400 MalformedXML",
        "the body of DeleteObjects is read strictly",
    ),
    (
        "extract",
        "501 NotImplemented",
        "MinIO would unpack what nobody permitted",
    ),
    ("foreign", "403", "another bucket than the key's"),
    (
        "get key 'xxxxxxxxxx of 1025'",
        "400 KeyTooLongError",
        "as AWS says it",
    ),
    ("head meta tab", "404", "was not stored, see put meta tab"),
    (
        "link expires",
        "403 AccessDenied",
        "1 to 604800 seconds (gateway.md 15)",
    ),
    (
        "link in the future",
        "403 RequestTimeTooSkewed",
        "as with a signed header (gateway.md 16)",
    ),
    (
        "link no signature",
        "400 AuthorizationHeaderMalformed",
        "refused by the gateway's own parser",
    ),
    (
        "link other method",
        "400 InvalidRequest",
        "refused by the gateway's own parser",
    ),
    (
        "link put hoisted sum",
        "200",
        "hoisted parameters become headers (gateway.md 12)",
    ),
    (
        "link unsigned meta",
        "403 AccessDenied",
        "every x-amz-* header is signed (gateway.md 10)",
    ),
    (
        "list type",
        "403 AccessDenied",
        "only 2 is a list type (gateway.md, table)",
    ),
    (
        "malformed authorization",
        "400 AuthorizationHeaderMalformed",
        "refused by the gateway's own parser",
    ),
    (
        "malformed bucket",
        "403 AccessDenied",
        "another bucket than the key's",
    ),
    (
        "missing bucket",
        "403 AccessDenied",
        "another bucket than the key's",
    ),
    (
        "post form",
        "501 NotImplemented",
        "POST forms (gateway.md 36)",
    ),
    (
        "put acl",
        "403 AccessDenied",
        "rights over objects are not a key's to give",
    ),
    (
        "put bucket",
        "403 AccessDenied",
        "bucket administration is denied",
    ),
    (
        "put granted",
        "403 AccessDenied",
        "rights over objects are not a key's to give",
    ),
    (
        "put hold",
        "403 AccessDenied",
        "governance is not a key's to change",
    ),
    (
        "put meta tab",
        "403 SignatureDoesNotMatch",
        "S3 does not fold tabs into blanks as MinIO does",
    ),
    (
        "put no decoded length",
        "400 InvalidArgument",
        "an empty number is malformed",
    ),
    (
        "put odd payload",
        "400 InvalidArgument",
        "refused by the gateway's own parser",
    ),
    (
        "put public",
        "403 AccessDenied",
        "rights over objects are not a key's to give",
    ),
    (
        "put retention",
        "403 AccessDenied",
        "governance is not a key's to change",
    ),
    (
        "put short decoded length",
        "400 IncompleteBody",
        "the body was not stored on either way",
    ),
    (
        "put wrong trailer",
        "400 BadDigest",
        "the gateway checks trailers, and says it as AWS does",
    ),
    (
        "signature version 2",
        "400 InvalidRequest",
        "SigV2 is refused (gateway.md 20)",
    ),
    (
        "two subresources",
        "403 AccessDenied",
        "the table is closed",
    ),
    ("unknown query", "403 AccessDenied", "the table is closed"),
    (
        "unsigned header",
        "403 AccessDenied",
        "every x-amz-* header is signed (gateway.md 10)",
    ),
];

/// The buckets of one side: plain, versioned, with object lock, and one nobody connected.
fn buckets(world: &World) -> [String; 4] {
    let s3 = world.minio.s3();
    let (plain, versioned, foreign) = (
        world.minio.bucket(),
        world.minio.bucket(),
        world.minio.bucket(),
    );
    let locked = format!("locked-{}", bascule_tests::random_hex(5));
    let ask = |path: &str, query: &[(&str, &str)], headers: &[(&str, &str)], body: &str| {
        let asked = s3.send_with(Method::PUT, path, query, headers, body.to_owned());
        let reply = bascule_tests::runtime().block_on(asked).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    ask(
        &format!("/{versioned}"),
        &[("versioning", "")],
        &[],
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    );
    ask(
        &format!("/{locked}"),
        &[],
        &[("x-amz-bucket-object-lock-enabled", "true")],
        "",
    );
    s3.put(&foreign, "a", "not yours").unwrap();
    [plain, versioned, locked, foreign]
}

/// What came back for each case, in the order of asking.
fn told(key: &Issued, buckets: &[String; 4]) -> Vec<Value> {
    let home = Home::new();
    home.write("wire.py", WIRE);
    let matrix = home.write("matrix.py", MATRIX);
    let mut command = home.command(&tools::get("python"));
    command
        .env("AWS_ACCESS_KEY_ID", &key.id)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret)
        .arg(matrix)
        .arg(key.endpoint.trim_start_matches("http://"))
        .args(buckets);
    let answer = cli::finish(command, "", "(matrix)".to_owned()).exits(0);
    let read = |line: &str| serde_json::from_str(line).unwrap();
    answer.stdout.lines().map(read).collect()
}

/// Such as `403 AccessDenied`.
fn outcome(told: &Value) -> String {
    match told["code"].as_str() {
        Some(code) => format!("{} {code}", told["status"]),
        None => told["status"].to_string(),
    }
}

/// A refusal that the gateway says itself, as the provider would have.
fn is_same_in_our_words(direct: &Value, through: &Value) -> bool {
    let ours = |told: &Value| told.to_string().contains("Bascule: ");
    let refused = direct["status"]
        .as_u64()
        .is_some_and(|status| status >= 400);
    refused && outcome(direct) == outcome(through) && ours(through)
}

#[test]
fn every_request_is_answered_as_it_is_directly() {
    let Some(world) = World::new() else { return };
    let [there, here] = [buckets(&world), buckets(&world)];
    world.connect("matrix", &[&here[0], &here[1], &here[2]]);
    let through = world.issue("matrix", "matrix");
    let (id, secret) = world.minio.credentials();
    let direct = Issued {
        id: id.to_owned(),
        secret: secret.to_owned(),
        endpoint: world.minio.endpoint(),
    };
    let (direct, through) = std::thread::scope(|scope| {
        let direct = scope.spawn(|| told(&direct, &there));
        let through = told(&through, &here);
        (direct.join().unwrap(), through)
    });
    assert_eq!(direct.len(), through.len());
    assert!(direct.len() >= AT_LEAST, "only {} cases", direct.len());

    let mut unused: BTreeSet<&str> = MEANT.iter().map(|(begins, ..)| *begins).collect();
    let mut wrong = Vec::new();
    for (direct, through) in direct.iter().zip(&through) {
        let name = direct["name"].as_str().unwrap();
        assert_eq!(direct["name"], through["name"]);
        if direct == through || is_same_in_our_words(direct, through) {
            continue;
        }
        let meant = |(begins, answer, _): &&(&str, &str, &str)| {
            name.starts_with(begins) && outcome(through).starts_with(answer)
        };
        match MEANT.iter().find(meant) {
            Some((begins, ..)) => {
                unused.remove(begins);
            }
            None => wrong.push(format!("direct:  {direct}\nthrough: {through}\n")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n{}",
        wrong.len(),
        direct.len(),
        wrong.join("\n")
    );
    assert!(unused.is_empty(), "no longer different: {unused:?}");
}
