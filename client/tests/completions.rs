//! What shells are answered while somebody types.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{os::unix::net::UnixListener, path::Path, process::Command};

/// What is offered for the last word, as fish asks.
fn offered(home: &Path, socket: &Path, words: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_bascule"))
        .env_clear()
        .env("HOME", home)
        .env("BASCULE_COMPLETE", "fish")
        .env("BASCULE_SOCKET", socket)
        .args(["--", "bascule"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().map(|line| line.split('\t').next().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn verbs_and_topics_are_offered_without_a_daemon_and_names_are_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let nobody = home.path().join("bascule.sock");
    assert!(offered(home.path(), &nobody, &["dele"]).contains(&"delete".to_owned()));
    assert_eq!(offered(home.path(), &nobody, &["help", "off"]), ["offline"]);
    let none = |names: &[String]| names.iter().all(|name| name.starts_with('-'));
    assert!(none(&offered(home.path(), &nobody, &["delete", ""])));
    // One that accepts and never answers is left, and nothing is printed into the line.
    let silent = home.path().join("silent.sock");
    let _listener = UnixListener::bind(&silent).unwrap();
    assert!(none(&offered(home.path(), &silent, &["delete", ""])));
}

#[test]
fn a_manual_page_is_written_for_each_verb() {
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_bascule"))
        .arg("man")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    for page in ["bascule.1", "bascule-delete.1", "bascule-key-rotate.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
}
