//! The configuration, read again while the daemon runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::fs;

use bascule_tests::{
    Home, S3, World,
    cli::{self, Cli},
    daemon::Start,
    tools, wait,
};
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

/// A file of the home with a mode.
fn written(home: &Home, name: &str, mode: u32) -> String {
    let file = home.write(name, "nothing of use");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    file.display().to_string()
}

#[test]
fn settings_that_no_daemon_can_start_with_are_refused_by_all_who_look_at_them() {
    let home = Home::new();
    let file = home.write("config.toml", "");
    let mut daemon = Start::new().arg("--config").arg(&file).run(&home);
    let cli = Cli::new(&home);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let program = written(&home, "no-program", 0o644);
    let cases = [
        (
            "[access]\noperators = \"group:no-such-group\"\n".to_owned(),
            2,
            "no group",
            true,
        ),
        (
            format!("[metrics]\nlisten = \"{port}\"\n"),
            2,
            "taken by",
            true,
        ),
        (
            "[alerts]\ncommand = [\"/nonexistent/page\"]\n".to_owned(),
            2,
            "/nonexistent/page",
            false,
        ),
        (
            format!("[alerts]\ncommand = [\"{program}\"]\n"),
            2,
            "no program",
            false,
        ),
        (
            "[alerts.webhook]\nurl = \"https://a.test/x\"\nsecret_file = \"/nonexistent/secret\"\n"
                .to_owned(),
            3,
            "/nonexistent/secret",
            false,
        ),
    ];
    let status_before = cli.run(&["status"]).ok();
    for (text, line, said, at_start) in cases {
        fs::write(&file, &text).unwrap();
        let refused = cli.run(&["reload"]).exits(2);
        let place = format!("config.toml:{line}: ");
        assert!(
            refused.text().contains(&place) && refused.text().contains(said),
            "{refused}"
        );
        let mut command = home.command(&tools::program("basculed"));
        command.arg("--state-dir").arg(home.state());
        command.arg("--runtime-dir").arg(home.runtime());
        command.arg("--config").arg(&file).arg("check-config");
        let checked = cli::finish(command, "", "check-config".to_owned()).exits(78);
        assert!(
            checked.text().contains(&place) && checked.text().contains(said),
            "{checked}"
        );
        let doctor = cli.run(&["doctor", "--offline"]).stdout;
        assert!(doctor.contains(said), "{doctor}");
        assert_eq!(
            doctor.contains("would not start again"),
            at_start,
            "{doctor}"
        );
    }
    assert_eq!(
        cli.run(&["status"]).ok()["after_restart"],
        status_before["after_restart"]
    );
    daemon.stop();

    // And a start with them ends as one with any other mistake in the file.
    for (text, line, said) in [
        (
            "[access]\noperators = \"group:no-such-group\"\n".to_owned(),
            2,
            "no group",
        ),
        (format!("[metrics]\nlisten = \"{port}\"\n"), 2, "taken by"),
    ] {
        fs::write(&file, text).unwrap();
        let mut daemon = Start::new().arg("--config").arg(&file).spawn(&home);
        let status = daemon.wait("the daemon to end");
        assert_eq!(status.code(), Some(78), "{}", daemon.output());
        let place = format!("config.toml:{line}: ");
        assert!(
            daemon.output().contains(&place) && daemon.output().contains(said),
            "{}",
            daemon.output()
        );
    }
    // Alerts that can't arrive keep nobody from starting.
    fs::write(&file, "[alerts]\ncommand = [\"/nonexistent/page\"]\n").unwrap();
    let _daemon = Start::new().arg("--config").arg(&file).run(&home);
    let log = fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(log.contains("alerts do not arrive there"), "{log}");
}

/// A daemon whose address is in its file only. Killed on drop.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_gateway_that_could_not_listen_again_is_refused_before_anybody_restarts_it() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = taken.local_addr().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = free.local_addr().unwrap();
    drop(free);
    let file = home.write("config.toml", &format!("[gateway]\nlisten = \"{own}\"\n"));
    let start = |home: &Home| {
        let mut command = home.command(&tools::program("basculed"));
        command.arg("--state-dir").arg(home.state());
        command.arg("--runtime-dir").arg(home.runtime());
        command.arg("--sweep-root").arg(home.path("home"));
        command.arg("--config").arg(&file);
        command
    };
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let _daemon = Killed(start(&home).stderr(log).spawn().unwrap());
    let cli = Cli::new(&home);
    wait::until("the daemon to answer", || {
        (cli.run(&["status"]).code == Some(0)).then_some(())
    });
    // Its own address is none that another holds.
    cli.run(&["reload"]).ok();
    let (certificate, key) = (
        written(&home, "tls.pem", 0o644),
        written(&home, "tls.key", 0o644),
    );
    for (settings, line, said) in [
        (
            format!("listen = [\"{own}\", \"{other}\"]\n"),
            2,
            "taken by",
        ),
        (
            format!(
                "listen = [\"{own}\", \"http://192.0.2.1:80\"]\nallow_plain_http_beyond_loopback = true\n"
            ),
            2,
            "192.0.2.1:80",
        ),
        (
            format!(
                "listen = \"https://{own}\"\ntls_certificate = \"/nonexistent/c\"\ntls_key = \"{key}\"\n"
            ),
            3,
            "/nonexistent/c",
        ),
        (
            format!(
                "listen = \"https://{own}\"\ntls_certificate = \"{certificate}\"\ntls_key = \"{key}\"\n"
            ),
            3,
            "tls.pem",
        ),
    ] {
        fs::write(&file, format!("[gateway]\n{settings}")).unwrap();
        let refused = cli.run(&["reload"]).exits(2);
        let place = format!("config.toml:{line}: ");
        assert!(
            refused.text().contains(&place) && refused.text().contains(said),
            "{refused}"
        );
        let doctor = cli.run(&["doctor", "--offline"]).stdout;
        assert!(
            doctor.contains("would not start again") && doctor.contains(said),
            "{doctor}"
        );
    }
    // What is this daemon's own is a warning to whoever can't know that.
    fs::write(&file, format!("[gateway]\nlisten = \"{own}\"\n")).unwrap();
    let mut command = start(&home);
    command.arg("check-config");
    let checked = cli::finish(command, "", "check-config".to_owned()).exits(0);
    assert!(
        checked.text().contains("warning") && checked.text().contains("taken by"),
        "{checked}"
    );
    cli.run(&["reload"]).ok();
}
