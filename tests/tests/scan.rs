//! A look at a machine that nobody has prepared: every key with what leads to it, without a daemon, a
//! network or a word of a secret.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Answer, Cli, Home, cli::USAGE};
use serde_json::Value;

/// As `bascule_client::exit::Exit`.
const INCOMPLETE: i32 = 10;

fn write(home: &Home, name: &str, text: &str) {
    let path = home.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Of this home alone: other tests run on this machine, too.
fn scan(home: &Home, more: &[&str]) -> Answer {
    let all = ["scan", "--skip", "processes", "--skip", "jobs"];
    Cli::new(home).run(&[&all, more].concat())
}

/// The uses of a key, by its end.
fn uses(answer: &Answer, end: &str) -> Vec<Value> {
    let keys = answer.json["keys"].as_array().unwrap().iter();
    let mut keys = keys.filter(|key| key["key"].as_str().unwrap().ends_with(end));
    let key = keys.next().unwrap_or_else(|| panic!("{end}: {answer}"));
    key["uses"].as_array().unwrap().clone()
}

#[test]
fn what_no_rule_explains_is_found_in_the_home_with_its_line() {
    let home = Home::new();
    let settings = "# mine\ndebug yes\nuploads with AKIAQ7ZK4M2WX5VT7F3Q hunter2\n";
    write(&home, "home/projects/shop/deploy.settings", settings);
    write(
        &home,
        "home/.s3cfg",
        "access_key = AKIAQ7ZK4M2WX5VT7F3R\nsecret_key = hunter2\n",
    );
    let answer = scan(&home, &[]).exits(0);
    let unknown = uses(&answer, "7F3Q");
    assert_eq!(unknown[0]["kind"], "unknown", "{answer}");
    assert_eq!(unknown[0]["place"]["line"], 3, "{answer}");
    let known = uses(&answer, "7F3R");
    assert_eq!(
        (known.len(), &known[0]["kind"]),
        (1, &"s3cmd".into()),
        "{answer}"
    );
    for secret in ["hunter2", "AKIAQ7ZK4M2WX5VT"] {
        assert!(!answer.text().contains(secret), "{answer}");
    }
    let without = scan(&home, &["--skip", "search"]).exits(0);
    assert!(!without.stdout.contains("7F3Q"), "{without}");
}

#[test]
fn named_paths_are_searched_and_nothing_else() {
    let home = Home::new();
    write(
        &home,
        "home/a/credentials",
        "[x]\naws_access_key_id = AKIAQ7ZK4M2WX5VT7F3Q\n",
    );
    write(
        &home,
        "home/b/rclone.conf",
        "[r2]\ntype = s3\naccess_key_id = admin\nsecret_access_key = x\n",
    );
    let cli = Cli::new(&home);
    let folder = cli
        .run(&["scan", home.path("home/a").to_str().unwrap()])
        .exits(0);
    assert_eq!(folder.json["summary"]["keys"], 1, "{folder}");
    let file = cli
        .run(&["scan", home.path("home/b/rclone.conf").to_str().unwrap()])
        .exits(0);
    let found = uses(&file, "n");
    assert_eq!(found[0]["kind"], "rclone", "{file}");
    assert_eq!(found[0]["chain"][0]["name"], "r2: (s3)", "{file}");
    let gone = cli.run(&["scan", home.path("home/gone").to_str().unwrap()]);
    assert_eq!(gone.code, Some(INCOMPLETE), "{gone}");
    cli.run(&["scan", "--skip", "everything"]).exits(USAGE);
}

#[test]
fn a_users_own_rows_are_looked_at_and_a_bad_one_is_told() {
    let home = Home::new();
    let row = "[[row]]\nid = \"our-sync\"\npaths = [\"{home}/sync.json\"]\nformat = \"json\"\n\
               keys = [{ id = [\"remote.key\"], secret = [\"remote.secret\"] }]\n";
    write(&home, "home/.config/bascule/consumers.toml", row);
    write(
        &home,
        "home/sync.json",
        "{\"remote\": {\"key\": \"AKIAQ7ZK4M2WX5VT7F3Q\", \"secret\": \"hunter2\"}}",
    );
    let answer = scan(&home, &["--skip", "search"]).exits(0);
    assert_eq!(uses(&answer, "7F3Q")[0]["kind"], "our-sync", "{answer}");
    write(
        &home,
        "home/.config/bascule/consumers.toml",
        "[[row]]\nid = \"x\"\nnonsense = 1\n",
    );
    let bad = scan(&home, &["--skip", "search"]).exits(INCOMPLETE);
    let why = bad.json["not_checked"][0]["why"].as_str().unwrap();
    assert!(why.contains("consumers.toml:3"), "{bad}");
}
