//! Starting and stopping the daemon: what it refuses, what it keeps, how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use bascule_tests::{
    Cli, Daemon, Home, World, cli::CONFIGURATION, daemon::Start, process::was_killed, wait,
};
use http::Method;

/// Starts a daemon that has to refuse, and returns what it said.
fn refused(home: &Home, start: &Start, code: i32) -> String {
    let mut process = start.spawn(home);
    let status = process.wait("the daemon to refuse");
    assert_eq!(status.code(), Some(code), "{}", process.output());
    process.output()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn below(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            let mut found = if path.is_dir() {
                below(&path)
            } else {
                Vec::new()
            };
            found.push(path);
            found
        })
        .collect()
}

#[test]
fn every_bad_setting_is_printed_with_its_line_and_nothing_is_opened() {
    let home = Home::new();
    let file = home.write(
        "config.toml",
        "typo = 1\n[gateway]\nmax_connections = 0\ndrain_seconds = \"soon\"\n[log]\nlevel = \"loud\"\n",
    );
    let said = refused(
        &home,
        &Start::new().arg("--config").arg(&file),
        CONFIGURATION,
    );
    for line in [1, 3, 4, 6] {
        assert!(
            said.contains(&format!("config.toml:{line}:")),
            "line {line}:\n{said}"
        );
    }
    let said = refused(&home, &Start::new().gateway("0.0.0.0:80"), CONFIGURATION);
    assert!(said.contains("--gateway"), "{said}");
    let absent = home.path("work/absent.toml");
    let said = refused(
        &home,
        &Start::new().arg("--config").arg(absent),
        CONFIGURATION,
    );
    assert!(said.contains("absent.toml"), "{said}");
    assert!(!home.state().exists() && !home.runtime().exists());
}

#[test]
fn folders_and_files_are_the_owners_only_and_wider_modes_are_refused() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop").s3();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    for path in below(&world.home.state())
        .iter()
        .chain([&world.home.state(), &world.home.runtime()])
    {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(path), expected, "{}", path.display());
    }
    assert_eq!(mode(&world.cli().socket()), 0o600);

    world.daemon.stop();
    let again = Start::new().gateway(world.daemon.gateway_address());
    let files = ["", "root.key", "store.redb", "keys"];
    for path in files
        .map(|part| world.home.state().join(part))
        .iter()
        .chain([&world.home.runtime()])
    {
        let proper = mode(path);
        fs::set_permissions(path, Permissions::from_mode(proper | 0o044)).unwrap();
        // The state folder is what a setting names; what lies in it is the store's.
        let is_set = *path == world.home.state().join("");
        let code = if is_set { CONFIGURATION } else { 1 };
        let said = refused(&world.home, &again, code);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(name), "{name}:\n{said}");
        fs::set_permissions(path, Permissions::from_mode(proper)).unwrap();
    }
    world.daemon.restart(&world.home);
    assert_eq!(key.get(&bucket, "kept").unwrap().body, "x");
}

#[test]
fn a_second_daemon_says_who_holds_the_state_and_touches_nothing() {
    let home = Home::new();
    let first = Daemon::start(&home);
    let before = home.files("state");
    let said = refused(&home, &Start::new(), 1);
    assert!(
        said.contains(&first.pid().to_string()),
        "names the holder {}:\n{said}",
        first.pid()
    );
    assert_eq!(home.files("state"), before);
    assert_eq!(Cli::new(&home).run(&["status"]).ok()["pid"], first.pid());
}

#[test]
fn a_store_that_lost_something_is_refused_and_never_begun_anew() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let _ = world.issue("photos", "laptop");
    world.daemon.stop();
    let state = world.home.state();
    let again = Start::new().gateway(world.daemon.gateway_address());
    let key_file = below(&state.join("keys"))
        .pop()
        .expect("the connection's key file");
    for path in [state.join("root.key"), state.join("store.redb"), key_file] {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = fs::read(&path).unwrap();
        let aside = world.home.path("work/aside");
        // Missing.
        fs::rename(&path, &aside).unwrap();
        let said = refused(&world.home, &again, 1);
        assert!(
            said.contains(&name) && said.contains("reset --yes-lose-everything"),
            "{said}"
        );
        assert!(!path.exists(), "{name} was begun anew");
        fs::rename(&aside, &path).unwrap();
        // Truncated.
        fs::write(&path, &content[..content.len() / 2]).unwrap();
        refused(&world.home, &again, 1);
        // Wrong.
        let mut wrong = content.clone();
        for byte in &mut wrong[..64.min(content.len())] {
            *byte ^= 0x55;
        }
        fs::write(&path, &wrong).unwrap();
        refused(&world.home, &again, 1);
        assert_eq!(fs::read(&path).unwrap(), wrong, "{name} was replaced");
        fs::write(&path, &content).unwrap();
    }
    world.daemon.restart(&world.home);
    assert_eq!(
        world.cli().run(&["list"]).ok()["connections"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn reset_is_the_way_on_and_needs_to_be_meant() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let old = world.issue("photos", "laptop").s3();
    let state = world.home.state().to_str().unwrap().to_owned();
    let reset = ["reset", "--yes-lose-everything", "--state-dir", &state];
    assert_ne!(
        world.cli().say(&reset).code,
        Some(0),
        "refused while the daemon runs"
    );
    world.daemon.stop();
    assert_ne!(
        world.cli().say(&["reset", "--state-dir", &state]).code,
        Some(0)
    );
    fs::remove_file(world.home.state().join("root.key")).unwrap();
    world.cli().say(&reset).exits(0);
    world.daemon.restart(&world.home);
    assert_eq!(
        world.cli().run(&["list"]).ok()["connections"],
        serde_json::json!([])
    );
    let reply = old
        .call(Method::GET, &format!("/{bucket}/kept"), "")
        .unwrap();
    assert_eq!(reply.status, 403);
    assert_eq!(world.minio.s3().get(&bucket, "kept").unwrap().body, "x");
}

#[test]
fn the_gateways_port_is_kept_and_its_taker_is_named() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let address = daemon.gateway_address().to_owned();
    assert!(daemon.stop().success());
    // Port 0 is asked for again, and the stored one is used.
    let mut daemon = Daemon::start(&home);
    assert_eq!(daemon.gateway_address(), address);
    daemon.stop();
    let taken = TcpListener::bind(&address).unwrap();
    let said = refused(&home, &Start::new(), 1);
    let port = address.rsplit(':').next().unwrap();
    assert!(said.contains(port), "{said}");
    if cfg!(target_os = "linux") {
        assert!(
            said.contains(&std::process::id().to_string()),
            "names this process:\n{said}"
        );
    }
    drop(taken);
    assert_eq!(Daemon::start(&home).gateway_address(), address);
}

#[test]
fn a_stale_socket_is_replaced_and_anything_else_is_refused() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let socket = Cli::new(&home).socket();
    daemon.kill();
    assert!(socket.exists(), "kill -9 leaves the socket");
    daemon.restart(&home);
    daemon.stop();
    assert!(!socket.exists(), "a proper end removes it");

    let start = Start::new().gateway(daemon.gateway_address());
    fs::write(&socket, "a file").unwrap();
    refused(&home, &start, 1);
    assert_eq!(fs::read(&socket).unwrap(), b"a file");
    fs::remove_file(&socket).unwrap();
    std::os::unix::fs::symlink(home.path("work/elsewhere"), &socket).unwrap();
    refused(&home, &start, 1);
    fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    refused(&home, &start, 1);
    drop(other);
    fs::remove_file(&socket).unwrap();
    daemon.restart(&home);
}

#[test]
fn j3_sigterm_lets_an_upload_end_and_takes_nothing_new() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop").s3();
    let upload = key.upload(&bucket, "under way", 2 << 20).unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    wait::until("the upload to be open", || {
        (world.cli().run(&["status"]).ok()["open_requests"] == 1).then_some(())
    });
    world.daemon.terminate();
    wait::until("the gateway to take nothing new", || {
        std::net::TcpStream::connect(world.daemon.gateway_address())
            .is_err()
            .then_some(())
    });
    upload.push(vec![2; 1 << 20]).unwrap();
    assert_eq!(upload.finish().unwrap().status, 200);
    assert!(world.daemon.wait().success());
    assert_eq!(world.minio.s3().list(&bucket).unwrap()[0].size, 2 << 20);
}

#[test]
fn j3_a_second_sigterm_ends_at_once() {
    let Some(mut world) = World::configured("[gateway]\ndrain_seconds = 300\n") else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let upload = world
        .issue("photos", "laptop")
        .s3()
        .upload(&bucket, "stuck", 2 << 20)
        .unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    wait::until("the upload to be open", || {
        (world.cli().run(&["status"]).ok()["open_requests"] == 1).then_some(())
    });
    world.daemon.terminate();
    wait::until("the gateway to take nothing new", || {
        std::net::TcpStream::connect(world.daemon.gateway_address())
            .is_err()
            .then_some(())
    });
    assert!(world.daemon.runs(), "it waits for the upload");
    world.daemon.terminate();
    assert!(!was_killed(world.daemon.wait()));
    assert!(upload.finish().is_err());
}

/// The client is killed at other instants of the call; the daemon must neither lose the change
/// half-made nor be unable to delete the connection afterwards.
#[test]
fn a_change_is_made_whole_when_its_caller_is_killed() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("left", &[&bucket]);
    let cli = world.cli();
    for round in 0..24_u32 {
        let mut caller = cli.command();
        caller.args(["key", "issue", "left", "--label", &format!("k{round}")]);
        caller
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut caller = caller.spawn().unwrap();
        // Not a wait for anything: it only spreads the kills over the call's steps.
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round) * 700));
        caller.kill().unwrap();
        caller.wait().unwrap();
    }
    let living = || {
        let listed = cli.run(&["key", "list", "left"]).ok();
        listed["keys"].as_array().unwrap().len()
    };
    let before = living();
    world.daemon.kill();
    world.daemon.restart(&world.home);
    assert!(
        living() >= before,
        "a key that was listed is gone after a restart"
    );
    world.delete("left", &[]).verdict("intact");
}
