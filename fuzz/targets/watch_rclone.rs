//! The graph of rclone's remotes: circles, unions and connection strings of any depth end.
#![no_main]

use bascule_fuzz::{Stage, keeps_secrets};
use bascule_watch::{Environment, Picture, Trail, command::Command, tools};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // What is asked for, and then the configuration.
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(path), Some(content)) = (parts.next(), parts.next()) else {
        return;
    };
    let Ok(path) = std::str::from_utf8(path) else {
        return;
    };
    let stage = Stage::get();
    let file = stage.write("rclone/rclone.conf", content);
    let mut environment: Environment = stage.machine.environment.clone();
    environment.set("RCLONE_CONFIG", file.display().to_string());
    let command = Command {
        arguments: vec!["rclone".into(), "ls".into(), path.into()],
        environment,
    };
    let mut picture = Picture::default();
    tools::uses(
        &command,
        &stage.machine,
        &Trail::configuration(),
        &mut picture,
    );
    keeps_secrets(&picture);
});
