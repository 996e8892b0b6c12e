//! The program as a script sees it while no daemon runs: exit codes, which stream holds what, and
//! that nothing is changed or echoed.

#![expect(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

fn bascule(home: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bascule"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its stdin may be gone already.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

fn check(arguments: &[&str], stdin: &str, code: i32, said: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = bascule(home.path(), arguments, stdin);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
    for expected in said {
        assert!(error.contains(expected), "{expected:?} in {error}");
    }
    assert!(!error.contains('\u{1b}'), "no colour without a terminal");
    error
}

#[test]
fn every_verb_names_the_command_that_starts_the_daemon() {
    for arguments in [
        &["list"][..],
        &["show", "n"],
        &["rename", "a", "b"],
        &["ls", "n/b"],
        &["reconnect-card", "n"],
        &["key", "issue", "n", "--label", "l"],
        &["key", "list"],
        &["key", "revoke", "BSCX"],
        &["delete", "n", "--plan"],
        &["delete", "n", "--yes"],
        &["deletion", "list"],
        &["deletion", "show", "del_x"],
        &["receipt", "list"],
        &["receipt", "show", "del_x"],
        &["status"],
    ] {
        check(
            arguments,
            "",
            5,
            &["error: the daemon is not running", "next: ", "basculed"],
        );
    }
}

#[test]
fn a_json_error_is_one_line_on_stderr() {
    for (arguments, code, kind) in [
        (&["--json", "list"][..], 5, "NO_DAEMON"),
        (&["--json", "delete", "n"], 4, "REFUSED"),
        (&["--json", "nonsense"], 2, "INVALID"),
        (
            &[
                "connect",
                "n",
                "--provider",
                "s3",
                "--bucket",
                "b",
                "--json",
            ],
            2,
            "INVALID",
        ),
    ] {
        let line = check(arguments, "", code, &[]);
        assert_eq!(line.lines().count(), 1, "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["error"]["kind"], kind);
        assert!(value["error"]["message"].is_string());
        assert!(value["error"]["next"].is_string());
    }
}

#[test]
fn a_deletion_is_refused_where_nobody_can_be_asked() {
    check(
        &["delete", "n"],
        "n\n",
        4,
        &["nothing was deleted", "bascule delete n --yes", "--plan"],
    );
}

#[test]
fn credentials_on_stdin_are_never_echoed() {
    let connect = [
        "connect",
        "n",
        "--provider",
        "s3",
        "--bucket",
        "b",
        "--credentials-stdin",
    ];
    for stdin in [
        "AKIAHUNTER2",
        "AKIAHUNTER2\nHUNTER2\nHUNTER2\n",
        "AKIA HUNTER2\nHUNTER2\n",
    ] {
        let error = check(&connect, stdin, 2, &["credentials"]);
        assert!(!error.contains("HUNTER2"), "{error}");
    }
    // Well-formed ones get as far as the daemon that is not there.
    let error = check(&connect, "AKIAHUNTER2\nHUNTER2\n", 5, &[]);
    assert!(!error.contains("HUNTER2"), "{error}");
}

#[test]
fn an_rclone_remote_fills_in_what_was_left_out_and_a_wrong_one_is_explained() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/rclone");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("rclone.conf"),
        "[good]\ntype = s3\nprovider = Minio\naccess_key_id = AKIAHUNTER2\nsecret_access_key = HUNTER2\nendpoint = http://127.0.0.1:9\n\n[env]\ntype = s3\nprovider = AWS\nenv_auth = true\n",
    )
    .unwrap();
    let connect = |remote| {
        bascule(
            home.path(),
            &["connect", "n", "--bucket", "b", "--rclone-remote", remote],
            "",
        )
    };
    // It gets as far as the daemon that is not there.
    assert_eq!(connect("good").status.code(), Some(5));
    assert_eq!(connect("good:").status.code(), Some(5));
    for (remote, said) in [("env", "env_auth"), ("none", "no remote")] {
        let output = connect(remote);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains(said) && !error.contains("HUNTER2"),
            "{error}"
        );
    }
}

#[test]
fn the_demo_without_a_daemon_program_names_the_build_command() {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = home.path().join("bascule");
    // A copy could still be open for writing in a child that another test forks.
    std::fs::hard_link(env!("CARGO_BIN_EXE_bascule"), &program).unwrap();
    for verb in [&["demo"][..], &["reset", "--yes-lose-everything"]] {
        let output = Command::new(&program)
            .args(verb)
            .env_clear()
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.contains("basculed") && error.contains("cargo build"),
            "{error}"
        );
    }
}

#[test]
fn a_receipt_file_that_exists_is_left_alone_before_anything_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let receipt = home.path().join("receipt.json");
    std::fs::write(&receipt, "mine").unwrap();
    let output = bascule(
        home.path(),
        &["delete", "n", "--yes", "--receipt", "receipt.json"],
        "",
    );
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), "mine");
    let output = bascule(
        home.path(),
        &["delete", "n", "--yes", "--receipt", "new.json"],
        "",
    );
    assert_eq!(output.status.code(), Some(5));
    assert!(!home.path().join("new.json").exists());
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bascule"))
        .arg("--help")
        .env("HOME", home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_program_that_is_no_daemon_is_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let other = std::thread::spawn(move || {
        // It greets in another protocol and leaves, whoever comes.
        while let Ok((mut stream, _)) = listener.accept() {
            if stream.write_all(b"220 hello\r\n").is_err() {
                break;
            }
        }
    });
    let output = bascule(home.path(), &["--socket", "other.sock", "status"], "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("next: "), "{error}");
    assert!(!error.contains("h2") && !error.contains("http2"), "{error}");
    // The thread ends with the test's process.
    drop(other);
}
