//! `bascule reset` as a script sees it. The daemon's program is played by a shell: called as
//! `basculed reset …` it runs the script `reset` in the working folder.

#![expect(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path();
        std::fs::hard_link(env!("CARGO_BIN_EXE_bascule"), path.join("bascule")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", path.join("basculed")).unwrap();
        std::fs::write(path.join("reset"), script).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> PathBuf {
        let state = self.path().join("state");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("store.redb"), "").unwrap();
        state
    }

    fn reset(&self, state: &Path, more: &[&str]) -> Output {
        Command::new(self.path().join("bascule"))
            .args(["reset", "--yes-lose-everything", "--state-dir"])
            .arg(state)
            .args(more)
            .env_clear()
            .env("HOME", self.path())
            .current_dir(self.path())
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_reset_says_what_it_destroyed() {
    let stage = Stage::new("echo \"$@\" >called\n");
    let state = stage.store();
    let output = stage.reset(&state, &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for word in ["connection", "key", "receipt", state.to_str().unwrap()] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(
        std::fs::read_to_string(stage.path().join("called")).unwrap(),
        format!("--yes-lose-everything --state-dir {}\n", state.display())
    );
    let output = stage.reset(&state, &["--json"]);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(),
        serde_json::json!({ "reset": true, "state_dir": state, "root_key_was_in": "file" })
    );
}

#[test]
fn what_the_daemon_says_becomes_an_exit_code_a_message_and_a_next_step() {
    for (script, code, kind, said) in [
        (
            "echo 'basculed: /s: another instance is running: basculed, process 7' >&2; exit 1",
            4,
            "REFUSED",
            "process 7; nothing was destroyed",
        ),
        (
            "echo 'basculed: the reset did not finish; run it again: no space' >&2; exit 1",
            1,
            "FAILED",
            "no space",
        ),
        (
            "printf 'basculed: a mistake in the configuration:\\n  --state-dir is relative\\n' >&2; exit 78",
            2,
            "INVALID",
            "configuration: --state-dir is relative",
        ),
        ("kill -9 $$", 1, "FAILED", "signal"),
    ] {
        let stage = Stage::new(script);
        let state = stage.store();
        let output = stage.reset(&state, &["--json"]);
        let line = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}");
        assert!(output.stdout.is_empty());
        let error: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{line}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{line}");
        assert!(!message.contains("basculed: /s"), "{line}");
        let output = stage.reset(&state, &[]);
        let human = text(&output.stderr);
        assert!(human.contains("\nnext: "), "{human}");
    }
}

#[test]
fn where_there_is_no_store_nothing_is_called_and_nothing_is_made() {
    let stage = Stage::new("touch called");
    let absent = stage.path().join("absent");
    let empty = stage.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let file = stage.path().join("file");
    std::fs::write(&file, "").unwrap();
    for folder in [&absent, &empty, &file] {
        let output = stage.reset(folder, &[]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.contains("nothing was destroyed"), "{error}");
        assert!(error.contains("next: "), "{error}");
    }
    assert!(!stage.path().join("called").exists());
    assert!(!absent.exists());
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}
