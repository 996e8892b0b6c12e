//! Every request of `matrix.py` directly and through the gateway: the same status, code, headers
//! and body, but for what is listed here with its reason.

use std::collections::BTreeMap;

use bascule_tests::{Home, Issued, World, cli, tools};
use http::Method;
use serde_json::Value;

const WIRE: &str = include_str!("wire.py");
const MATRIX: &str = include_str!("matrix.py");
/// So that cases that vanish are missed.
const AT_LEAST: usize = 900;

/// A difference that is meant: how the cases begin, and why.
const MEANT: &[(&str, &str)] = &[];

/// The buckets of one side: plain, versioned, with object lock, and one nobody connected.
fn buckets(world: &World) -> [String; 4] {
    let s3 = world.minio.s3();
    let (plain, versioned, foreign) =
        (world.minio.bucket(), world.minio.bucket(), world.minio.bucket());
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

    let mut unused: BTreeMap<&str, &str> = MEANT.iter().copied().collect();
    let mut wrong = Vec::new();
    for (direct, through) in direct.iter().zip(&through) {
        let name = direct["name"].as_str().unwrap();
        assert_eq!(direct["name"], through["name"]);
        if direct == through {
            continue;
        }
        match MEANT.iter().find(|(begins, _)| name.starts_with(begins)) {
            Some((begins, _)) => {
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
