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

/// A home with a key for rclone and one for aws, and with what is no key.
fn with_tools() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let rclone = home.path().join(".config/rclone");
    std::fs::create_dir_all(&rclone).unwrap();
    let key = "AKIAIOSFODNN7EXAMPLE";
    let secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY01";
    std::fs::write(
        rclone.join("rclone.conf"),
        format!(
            "[r2]\ntype = s3\nprovider = AWS\naccess_key_id = {key}\nsecret_access_key = {secret}\n\
             [disk]\ntype = local\n"
        ),
    )
    .unwrap();
    let aws = home.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    std::fs::write(
        aws.join("credentials"),
        format!("[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"),
    )
    .unwrap();
    home
}

#[test]
fn tools_with_a_key_are_offered_without_a_daemon_by_their_names_only() {
    let home = with_tools();
    let nobody = home.path().join("bascule.sock");
    for verb in ["adopt", "repair", "eject"] {
        let all = offered(home.path(), &nobody, &[verb, ""]);
        for name in ["rclone:r2", "aws:work"] {
            assert!(all.contains(&name.to_owned()), "{verb}: {all:?}");
        }
        let text = all.concat();
        assert!(!text.contains("disk") && !text.contains("wJalr"), "{all:?}");
        let one = offered(home.path(), &nobody, &[verb, "rclone:"]);
        assert_eq!(one, ["rclone:r2"]);
        let another = offered(home.path(), &nobody, &[verb, "rclone:r2", "aws"]);
        assert_eq!(another, ["aws:work"]);
    }
    // A file that never ends is not waited for.
    let pipe = home.path().join(".aws/credentials");
    std::fs::remove_file(&pipe).unwrap();
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let all = offered(home.path(), &nobody, &["adopt", "r"]);
    assert!(all.is_empty() || all == ["rclone:r2"], "{all:?}");
}

#[test]
fn bash_puts_what_follows_a_colon_behind_it() {
    let home = with_tools();
    let bascule = Path::new(env!("CARGO_BIN_EXE_bascule"));
    let script = r#"
        source <(bascule completions bash)
        COMP_TYPE=9
        COMP_LINE=$1
        COMP_POINT=${#COMP_LINE}
        shift
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        function=$(complete -p bascule)
        function=${function##*-F }
        ${function%% *} bascule "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2> /dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let said = |line: &str, words: &[&str]| {
        let folder = bascule.parent().unwrap().to_str().unwrap();
        let output = Command::new("bash")
            .args(["--norc", "-c", script, "bash", line])
            .args(words)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", format!("{folder}:/usr/bin:/bin"))
            .env("BASCULE_SOCKET", home.path().join("bascule.sock"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = said("bascule adopt rcl", &["bascule", "adopt", "rcl"]);
    assert_eq!(whole, "rclone:r2\n");
    // As bash splits the line.
    let rest = said(
        "bascule adopt rclone:r",
        &["bascule", "adopt", "rclone", ":", "r"],
    );
    assert_eq!(rest, "r2\n");
    let rest = said(
        "bascule adopt rclone:",
        &["bascule", "adopt", "rclone", ":"],
    );
    assert_eq!(rest, "r2\n");
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
