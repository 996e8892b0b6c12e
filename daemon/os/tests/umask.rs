//! D12: the process's umask decides nothing. A program of its own, because the umask is the
//! process's.
#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::{fs, os::unix::fs::PermissionsExt};

#[test]
fn d12_modes_do_not_depend_on_the_umask() {
    for umask in [0o000, 0o777] {
        let temp = tempfile::tempdir().unwrap();
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let folder = temp.path().join("folder/below");
        bascule_os::private_dir(&folder).unwrap();
        let file = folder.join("file");
        bascule_os::write_private(&file, b"x").unwrap();
        let lock = bascule_os::InstanceLock::acquire(&folder.join("lock")).unwrap();
        rustix::process::umask(before);
        drop(lock);

        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(temp.path().join("folder")), 0o700, "under {umask:o}");
        assert_eq!(mode(folder.clone()), 0o700);
        assert_eq!(mode(file), 0o600);
        assert_eq!(mode(folder.join("lock")), 0o600);
    }
}
