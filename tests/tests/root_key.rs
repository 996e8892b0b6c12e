//! Where the root key is kept, with a real GNOME Keyring: it opens the store from there, is in one place only,
//! and a keychain that is locked or absent ends a start with what helps (threats.md, section d).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, os::unix::net::UnixDatagram};

use bascule_tests::{Cli, Daemon, Home, cli, daemon::Start, keyring::Keyring, tools, wait};
use serde_json::{Value, json};

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

/// What doctor says of the root key.
fn diagnosis(cli: &Cli) -> Value {
    let doctor = cli.run(&["doctor", "--offline"]);
    let checks = doctor.json["checks"].as_array().unwrap().clone();
    let mut about = checks.into_iter().filter(|one| one["area"] == "root-key");
    let only = about.next().unwrap();
    assert_eq!(about.next(), None, "{doctor}");
    only
}

/// While the state folder is where everybody expects it: who has no daemon to ask looks there.
fn at_the_default<T>(home: &Home, act: impl FnOnce() -> T) -> T {
    let default = home.path("home/.state/bascule");
    fs::create_dir_all(default.parent().unwrap()).unwrap();
    fs::rename(home.state(), &default).unwrap();
    let done = act();
    fs::rename(&default, home.state()).unwrap();
    done
}

/// A command that is printed, in a shell of the person's who reads it, with what it leaves to them.
fn follow(home: &Home, command: &str, given: &[(&str, &str)]) {
    let given = given
        .iter()
        .fold(command.to_owned(), |command, (word, value)| {
            command.replace(word, value)
        });
    let mut shell = home.command(std::path::Path::new("/bin/sh"));
    let path = std::env::var("PATH").unwrap();
    shell
        .env("PATH", format!("{}:{path}", tools::bin_dir().display()))
        .env("BASCULE_SOCKET", Cli::new(home).socket())
        .args(["-c", &given]);
    let _ = cli::finish(shell, "", given.clone()).exits(0);
}

/// Puts a file of the root key's into the state folder.
fn put(home: &Home, name: &str, content: &[u8]) {
    let path = home.state().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn what_doctor_says_about_a_move_that_is_not_over_ends_it() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let key = fs::read(scene.home.state().join("root.key")).unwrap();
    let store = scene.cli().run(&["root-key", "show"]).ok()["store"].clone();
    let start = scene.start.clone();
    // What a move that was cut off leaves, and a start that finds the keychain locked, or none.
    for (leaving, keychain, told, remedy, ends) in [
        (
            true,
            "locked",
            "still to be removed",
            "bascule root-key move file",
            "file",
        ),
        (
            false,
            "locked",
            "on its way to",
            "bascule root-key move keychain",
            "keychain",
        ),
        (
            true,
            "absent",
            "may still be in the keychain",
            "bascule root-key move file",
            "file",
        ),
    ] {
        scene.cli().run(&["root-key", "move", "keychain"]).exits(0);
        scene.daemon.stop();
        put(&scene.home, "root.key", &key);
        let marker = json!({ "bascule_root_key_place": 1, "kept_in": "keychain", "store": store, "leaving": leaving });
        put(&scene.home, "root.key.place", marker.to_string().as_bytes());
        match keychain {
            "locked" => scene.keyring.lock(),
            _ => scene.keyring.end(),
        }
        scene.daemon.restart_as(&scene.home, &start);
        let line = diagnosis(&scene.cli());
        assert_eq!(line["standing"], "warning", "{line:#}");
        assert!(line["told"].as_str().unwrap().contains(told), "{line:#}");
        assert_eq!(line["remedy"], remedy, "{line:#}");
        let shown = scene.cli().say(&["root-key", "show"]);
        assert!(shown.stdout.contains(remedy), "{shown}");

        // Unlocked, as by a login.
        scene.keyring.end();
        scene.keyring.begin();
        follow(&scene.home, remedy, &[]);
        let line = diagnosis(&scene.cli());
        assert_eq!(line["standing"], "ok", "{line:#}");
        let shown = scene.cli().run(&["root-key", "show"]).ok();
        assert_eq!(shown["kept_in"], ends, "{shown:#}");
        assert_eq!(shown["left_in"], Value::Null, "{shown:#}");
        let in_keychain = usize::from(ends == "keychain");
        assert_eq!(scene.keyring.entries(), Some((in_keychain, 0)), "{told}");
        assert_eq!(scene.has_file(), ends == "file");
        // A daemon that is not there can't be asked, and the key is not lost for that.
        scene.daemon.stop();
        let line = at_the_default(&scene.home, || diagnosis(&scene.cli()));
        assert_eq!(line["standing"], "ok", "{line:#}");
        scene.daemon.restart_as(&scene.home, &start);
    }
}

#[test]
fn what_doctor_says_about_a_root_key_that_is_gone_brings_it_back() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let folder = home.path("storage");
    fs::create_dir_all(folder.join("pictures")).unwrap();
    let path = folder.to_str().unwrap();
    let connect = ["connect", "photos", "--provider", "local", "--path", path];
    cli.run(&[&connect[..], &["--bucket", "pictures"]].concat())
        .exits(0);
    let backup = home.path("b.backup");
    let words = "correct horse battery staple";
    cli.run_with(
        &["backup", backup.to_str().unwrap(), "--passphrase-stdin"],
        words,
    )
    .exits(0);
    let passphrase = home.write("passphrase", words);

    // What says that it is elsewhere is damaged, and it is not elsewhere.
    put(&home, "root.key.place", b"{}");
    let line = diagnosis(&cli);
    assert_eq!(line["standing"], "problem", "{line:#}");
    follow(&home, line["remedy"].as_str().unwrap(), &[]);
    assert_eq!(diagnosis(&cli)["standing"], "ok");

    let key = home.state().join("root.key");
    let copy = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let line = diagnosis(&cli);
    assert_eq!(line["standing"], "problem", "{line:#}");
    let remedy = line["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("put it back from a copy"), "{line:#}");
    put(&home, "root.key", &copy);
    assert_eq!(diagnosis(&cli)["standing"], "ok");

    // Or without a copy of the folder, by a backup.
    fs::remove_file(&key).unwrap();
    daemon.stop();
    at_the_default(&home, || {
        let line = diagnosis(&cli);
        assert_eq!(line["standing"], "problem", "{line:#}");
        let remedy = line["remedy"].as_str().unwrap();
        let (_, command) = remedy.split_once("or: ").unwrap();
        let given = [
            ("FILE", backup.to_str().unwrap()),
            ("PASSPHRASE", passphrase.to_str().unwrap()),
        ];
        follow(&home, command, &given);
    });
    daemon.restart(&home);
    assert_eq!(diagnosis(&cli)["standing"], "ok");
    assert_eq!(cli.run(&["status"]).ok()["connections"], 1);
}

#[test]
fn a_store_that_a_keychain_keeps_closed_tells_its_port_if_the_settings_do() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.cli().run(&["root-key", "move", "keychain"]).exits(0);
    scene.daemon.stop();
    scene.keyring.lock();
    let whereabouts = |more: &[&str]| {
        let mut asked = scene.home.command(&tools::program("basculed"));
        asked
            .env("DBUS_SESSION_BUS_ADDRESS", &scene.keyring.address)
            .arg("--state-dir")
            .arg(scene.home.state())
            .args(more)
            .arg("whereabouts");
        cli::finish(asked, "", "whereabouts".to_owned()).ok()
    };
    let told = whereabouts(&[]);
    assert_eq!(told["gateway"], Value::Null, "{told:#}");
    assert_eq!(told["closed"]["opens"], "later", "{told:#}");
    let cause = told["closed"]["cause"].as_str().unwrap();
    assert!(cause.contains("the keychain is locked"), "{told:#}");
    let port = bascule_tests::Port::new().address().to_string();
    let told = whereabouts(&["--gateway", &port]);
    assert_eq!(told["gateway"], port.as_str(), "{told:#}");
}
