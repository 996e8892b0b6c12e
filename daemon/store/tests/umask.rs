//! D12: the process's umask decides nothing. A program of its own, because the umask is the
//! process's.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::{fs, os::unix::fs::PermissionsExt};

use bascule_domain::{deletion::Phase, survey::Round};
use fixture::*;

#[test]
fn d12_files_are_0600_and_folders_0700_whatever_the_umask_is() {
    for umask in [0o000, 0o177] {
        let folder = folder();
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let (store, connection, _) = filled(&folder, 1);
        advance(&store, &connection, &[], Phase::Surveyed);
        let id = deletion(&connection, Phase::Surveyed).id;
        let writer =
            store.manifest_writer(connection.id, id, connection.buckets.first(), Round::Before);
        keep_manifest(writer.unwrap(), []);
        drop(store);
        drop(folder.open());
        rustix::process::umask(before);

        let mode =
            |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for name in ["", "keys", "manifests"] {
            assert_eq!(mode(&folder.file(name)), 0o700, "{name:?} under {umask:o}");
        }
        let files = folder.content();
        assert_eq!(files.len(), 4, "root key, store, connection key, manifest");
        for (path, _) in files {
            assert_eq!(mode(&path), 0o600, "{} under {umask:o}", path.display());
        }
    }
}
