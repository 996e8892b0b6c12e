//! Where the root key is kept, with a real GNOME Keyring: it opens the store from there, is in one place only,
//! and a keychain that is locked or absent ends a start with what helps (threats.md, section d).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, os::unix::net::UnixDatagram};

use bascule_tests::{Cli, Daemon, Home, daemon::Start, keyring::Keyring, wait};
use serde_json::json;

/// `EX_TEMPFAIL`: the unit starts it again.
const TRY_AGAIN: i32 = 75;

struct Scene {
    // Dropped last: what the others have open is in it.
    daemon: Daemon,
    keyring: Keyring,
    start: Start,
    home: Home,
}

impl Scene {
    fn new() -> Option<Self> {
        let home = Home::new();
        let keyring = Keyring::start(&home)?;
        let start = Start::new().env("DBUS_SESSION_BUS_ADDRESS", &keyring.address);
        Some(Self {
            daemon: start.run(&home),
            keyring,
            start,
            home,
        })
    }

    fn cli(&self) -> Cli {
        Cli::new(&self.home)
    }

    fn has_file(&self) -> bool {
        self.home.state().join("root.key").exists()
    }

    /// A start that must fail; returns what was said.
    fn refused(&self) -> String {
        let mut process = self.start.spawn(&self.home);
        let ended = process.wait("the start to be given up");
        assert_eq!(ended.code(), Some(TRY_AGAIN), "{}", process.output());
        process.output()
    }
}

/// A service manager's socket, without the manager.
fn notified(home: &Home) -> (UnixDatagram, String) {
    let path = home.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::LIMIT)).unwrap();
    (socket, path.to_str().unwrap().to_owned())
}

fn told(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = manager.recv(&mut buffer).expect("something to be told");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn the_root_key_goes_to_the_keychain_opens_the_store_from_there_and_comes_back() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let shown = scene.cli().run(&["root-key", "show"]).ok();
    assert_eq!(shown["kept_in"], "file", "{shown:#}");
    let moved = scene.cli().run(&["root-key", "move", "keychain"]);
    let moved = moved.ok();
    assert_eq!(moved["kept_in"], "keychain", "{moved:#}");
    assert_eq!(scene.keyring.entries(), Some((1, 0)));
    assert!(!scene.has_file());
    // Killed, not stopped.
    scene.daemon.kill();
    let start = scene.start.clone();
    scene.daemon.restart_as(&scene.home, &start);
    let doctor = scene.cli().run(&["doctor", "--offline"]);
    assert!(doctor.stdout.contains("kept in the keychain"), "{doctor}");
    let audit = scene.cli().run(&["audit"]);
    assert!(
        audit.stdout.contains("root-key-moved-to-keychain"),
        "{audit}"
    );

    // A backup under a passphrase holds the key, wherever it is kept.
    let file = scene.home.path("work").join("b.backup");
    let file = file.to_str().unwrap();
    let backup = ["backup", file, "--passphrase-stdin"];
    scene
        .cli()
        .run_with(&backup, "correct horse battery staple")
        .exits(0);
    scene.daemon.stop();
    let mut restore = scene
        .home
        .command(&bascule_tests::tools::program("basculed"));
    restore
        .env("DBUS_SESSION_BUS_ADDRESS", &scene.keyring.address)
        .arg("--state-dir")
        .arg(scene.home.state())
        .args(["restore", file]);
    let restored = restore.output().unwrap();
    assert!(restored.status.success(), "{restored:?}");
    assert!(!scene.has_file(), "a restore leaves no key in the folder");
    scene.daemon.restart_as(&scene.home, &start);

    let moved = scene.cli().run(&["root-key", "move", "file"]);
    assert_eq!(moved.ok()["kept_in"], json!("file"));
    assert_eq!(scene.keyring.entries(), Some((0, 0)));
    assert!(scene.has_file());
    scene.keyring.end();
    scene.daemon.kill();
    scene.daemon.restart_as(&scene.home, &Start::new());
}

#[test]
fn a_keychain_that_is_locked_or_absent_ends_the_start_and_loses_nothing() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.cli().run(&["root-key", "move", "keychain"]).exits(0);
    scene.daemon.stop();
    scene.keyring.lock();
    assert_eq!(scene.keyring.entries(), Some((0, 1)));
    let said = scene.refused();
    assert!(said.contains("the keychain is locked"), "{said}");
    scene.keyring.end();
    let said = scene.refused();
    assert!(said.contains("no keychain can be reached"), "{said}");
    // A service manager, which starts it again at once, hears of it first; it is not in its way.
    let (manager, path) = notified(&scene.home);
    let watched = scene.start.clone().env("NOTIFY_SOCKET", &path);
    let mut process = watched.spawn(&scene.home);
    while !told(&manager).contains("no keychain can be reached") {}
    process.terminate();
    assert_ne!(
        process.wait("the start to be ended").code(),
        Some(TRY_AGAIN)
    );
    scene.keyring.begin();
    let start = scene.start.clone();
    scene.daemon.restart_as(&scene.home, &start);

    // A move that is refused changes nothing.
    scene.cli().run(&["root-key", "move", "file"]).exits(0);
    scene.keyring.end();
    let refused = scene.cli().run(&["root-key", "move", "keychain"]);
    assert_eq!(refused.code, Some(4), "{refused}");
    assert!(scene.has_file());
    assert!(!scene.home.state().join("root.key.place").exists());
    // Without a service of systemd's nobody lends a credential.
    let refused = scene.cli().run(&["root-key", "move", "credential"]);
    assert_ne!(refused.code, Some(0), "{refused}");
    assert!(refused.stderr.contains("service"), "{refused}");
    assert!(scene.has_file());
}

#[test]
fn a_move_that_was_cut_off_is_finished_at_the_next_start_and_a_reset_empties_the_keychain() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (key, place) = ("root.key", "root.key.place");
    let state = scene.home.state();
    let kept = fs::read(state.join(key)).unwrap();
    scene.cli().run(&["root-key", "move", "keychain"]).exits(0);
    scene.daemon.kill();
    // Killed before the old place was emptied.
    fs::write(state.join(key), &kept).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(state.join(key), private).unwrap();
    let start = scene.start.clone();
    scene.daemon.restart_as(&scene.home, &start);
    assert!(!scene.has_file());
    let shown = scene.cli().run(&["root-key", "show"]).ok();
    assert_eq!(shown["kept_in"], "keychain", "{shown:#}");
    scene.daemon.stop();

    let mut reset = scene
        .home
        .command(&bascule_tests::tools::program("basculed"));
    reset
        .env("DBUS_SESSION_BUS_ADDRESS", &scene.keyring.address)
        .arg("--state-dir")
        .arg(&state)
        .args(["reset", "--yes-lose-everything"]);
    let ended = reset.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(scene.keyring.entries(), Some((0, 0)));
    assert!(!state.join(place).exists());
}
