//! What a command leaves behind when it is told to end.

use std::{
    io::Read,
    os::unix::net::UnixListener,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn an_ended_deletion_leaves_no_empty_receipt_file() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("bascule.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let receipt = home.path().join("receipt.json");
        let child = Command::new(env!("CARGO_BIN_EXE_bascule"))
            .args(["delete", "n", "--yes", "--receipt"])
            .arg(&receipt)
            .arg("--socket")
            .arg(&socket)
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Once it has spoken, it waits for an answer that does not come.
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        assert!(receipt.exists());
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}: {error}");
        assert!(error.contains("interrupted"), "{error}");
        assert!(!receipt.exists(), "{signal:?} left the file");
    }
}
