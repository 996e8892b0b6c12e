//! A script that a job runs: whatever is in it, following it ends.
#![no_main]

use bascule_fuzz::{Stage, keeps_secrets};
use bascule_watch::{
    Picture, Trail,
    command::{self, Command},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let stage = Stage::get();
    let script = stage.write("bin/script.sh", data);
    let own = Command {
        arguments: vec![
            "/home/bin/script.sh".into(),
            "one".into(),
            "two words".into(),
        ],
        environment: stage.machine.environment.clone(),
    };
    drop(script);
    let mut picture = Picture::default();
    command::follow(&own, &stage.machine, &Trail::configuration(), &mut picture);
    keeps_secrets(&picture);
});
