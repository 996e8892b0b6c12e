//! D11: a program of its own, because hardening is for the whole process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use rustix::process::{DumpableBehavior, Resource};

#[test]
fn d11_a_hardened_process_leaves_no_core_and_can_not_be_read_by_its_user() {
    bascule_os::harden_process().unwrap();
    let limit = rustix::process::getrlimit(Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    assert_eq!(
        rustix::process::dumpable_behavior().unwrap(),
        DumpableBehavior::NotDumpable
    );
    bascule_os::harden_process().unwrap();
}
