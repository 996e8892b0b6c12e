//! The configuration, read again while the daemon runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::fs;

use bascule_tests::{Home, S3, World, cli::Cli, daemon::Start, wait};
use http::Method;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn what_can_change_at_once_does_and_what_needs_a_restart_is_named() {
    let home = Home::new();
    let file = home.write("config.toml", "");
    let mut daemon = Start::new().arg("--config").arg(&file).run(&home);
    let cli = Cli::new(&home);
    let nothing = cli.run(&["reload"]).ok();
    assert_eq!(nothing["changed"].as_array().unwrap().len(), 0);
    fs::write(
        &file,
        "[log]\nlevel = \"debug\"\naccess = true\n[watch]\nsweep = \"off\"\n[gateway]\nmax_connections = 7\n[usage]\nkeep = \"3d\"\n",
    )
    .unwrap();
    let done = cli.run(&["reload"]).ok();
    assert_eq!(
        done["changed"],
        serde_json::json!(["watch.sweep", "log.level", "log.access"])
    );
    assert_eq!(
        done["after_restart"],
        serde_json::json!(["gateway.max_connections", "usage.keep"])
    );
    let status = cli.run(&["status"]).ok();
    assert_eq!(status["after_restart"], done["after_restart"]);
    assert_eq!(status["sweep"]["schedule"], "off");
    // The access log is in force for the next request.
    let s3 = S3::new(&daemon.gateway, "BSCAAAAAAAAAAAAAAAAA", "x");
    s3.call(Method::GET, "/bucket", "").unwrap();
    let log = home.path("daemon.log");
    wait::until("the request in the access log", || {
        let log = fs::read_to_string(&log).unwrap();
        log.contains("bascule_gateway::access").then_some(())
    });
    // Reading the same again changes nothing, and still waits.
    let again = cli.run(&["reload"]).ok();
    assert_eq!(again["changed"].as_array().unwrap().len(), 0);
    assert_eq!(again["after_restart"], done["after_restart"]);
    daemon.stop();
    let _daemon = Start::new().arg("--config").arg(&file).run(&home);
    assert_eq!(
        cli.run(&["status"]).ok()["after_restart"],
        serde_json::json!([])
    );
}

#[test]
fn a_bad_file_keeps_the_old_settings_whole_and_is_told_until_it_is_mended() {
    let home = Home::new();
    let file = home.write("config.toml", "[watch]\nsweep = \"off\"\n");
    let daemon = Start::new().arg("--config").arg(&file).run(&home);
    let cli = Cli::new(&home);
    // One mistake, and a good change beside it that must not be taken.
    fs::write(
        &file,
        "[watch]\nsweep = \"daily\"\n[log]\nlevl = \"debug\"\n",
    )
    .unwrap();
    let refused = cli.run(&["reload"]);
    assert_eq!(refused.code, Some(2), "{refused}");
    let text = refused.text();
    assert!(
        text.contains(":4: ") && text.contains("did you mean level?"),
        "{text}"
    );
    let status = cli.run(&["status"]).ok();
    assert_eq!(status["sweep"]["schedule"], "off");
    let troubles = status["troubles"].to_string();
    assert!(troubles.contains("did you mean level?"), "{troubles}");
    let log = fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(log.contains("the configuration is refused"), "{log}");
    // The daemon hears of the mended file by a signal.
    fs::write(&file, "[watch]\nsweep = \"daily\"\n").unwrap();
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait::until("the mended file to be in force", || {
        let status = cli.run(&["status"]).ok();
        (status["sweep"]["schedule"] == "daily" && status["troubles"].as_array()?.is_empty())
            .then_some(())
    });
}

#[test]
fn alerts_go_where_they_are_set_to_go_after_a_reload() {
    let Some(world) = World::configured("") else {
        return;
    };
    let cli = world.cli();
    let to = |name: &str| {
        let channels = cli.run(&["alerts"]).ok()["channels"]
            .as_array()
            .unwrap()
            .clone();
        channels.into_iter().find(|c| c["channel"] == name).unwrap()
    };
    assert!(to("command")["off"].is_string());
    let mark = world.home.path("told");
    let program = world
        .home
        .write("tell", &format!("#!/bin/sh\ncat > {}\n", mark.display()));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).unwrap();
    let command = format!("[alerts]\ncommand = [\"{}\"]\n", program.display());
    world.home.write("config.toml", &command);
    let done = cli.run(&["reload"]).ok();
    assert_eq!(done["changed"], serde_json::json!(["alerts.command"]));
    assert!(to("command")["off"].is_null());
    // A finding, not a test: the worker of the new channel must be at its work.
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    cli.run(&["key", "revoke", &key.id]).ok();
    key.s3()
        .call(Method::GET, &format!("/{bucket}"), "")
        .unwrap();
    wait::until("the new command to be run", || mark.exists().then_some(()));
}
