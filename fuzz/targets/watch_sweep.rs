//! The search for ids in any bytes: known ones are found at places that are in the file.
#![no_main]

use std::{num::NonZero, ops::ControlFlow};

use bascule_domain::access_key::AccessKeyId;
use bascule_fuzz::Stage;
use bascule_watch::sweep::{self, Needles, Options, Wanted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let stage = Stage::get();
    let path = stage.write("sweep/file", data);
    let ids: Vec<AccessKeyId> = ["AKIAQ7ZK4M2WX5VT7F3Q", "admin", "nightly-backup"]
        .iter()
        .filter_map(|id| id.parse().ok())
        .collect();
    let needles = Needles::of(&ids);
    let wanted = Wanted {
        needles: Some(&needles),
        by_shape: true,
        ..Wanted::default()
    };
    let options = Options {
        threads: NonZero::new(1),
        mounts: Some(Default::default()),
        other_file_systems: true,
        ..Options::default()
    };
    let lines = data.split(|byte| *byte == b'\n').count();
    let on_hit = |hit: sweep::Hit| {
        assert!(hit.line >= 1 && hit.line as usize <= lines);
        assert!(hit.column >= 1);
    };
    let go_on = |_: &sweep::Progress<'_>| ControlFlow::Continue(());
    let summary = sweep::run(&[path], wanted, &options, on_hit, go_on);
    assert!(summary.stopped_at.is_none());
});
