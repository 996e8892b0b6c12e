//! `kill_self`, and what it leaves of a lock: the test program runs itself as the victim.
#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::{os::unix::process::ExitStatusExt, process::Command};

use bascule_os::InstanceLock;

const VICTIM: &str = "BASCULE_TEST_VICTIM_LOCK";

#[test]
fn a_killed_process_dies_of_sigkill_and_its_lock_is_free() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let _lock = InstanceLock::acquire(path.as_ref()).unwrap();
        bascule_os::kill_self();
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("lock");
    let status = Command::new(std::env::current_exe().unwrap())
        .arg("a_killed_process_dies_of_sigkill_and_its_lock_is_free")
        .env(VICTIM, &path)
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(9));
    assert!(path.exists(), "the victim had the lock");
    InstanceLock::acquire(&path).unwrap();
}
