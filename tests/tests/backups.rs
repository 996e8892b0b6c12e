//! Backups through the real daemon and the real command line: a restore brings back what is missing
//! and never what died, and a state folder put back from outside is noticed (threats.md G9, G10).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use bascule_tests::{Cli, Daemon, Home, Issued, World};
use http::Method;
use serde_json::{Value, json};

const PASSPHRASE: &str = "correct horse battery staple";

/// Two connections to a bucket each, and keys.
struct Scene {
    world: World,
    bucket: String,
    photos: Issued,
    videos: Issued,
    revoked_later: Issued,
}

impl Scene {
    fn new() -> Option<Self> {
        let world = World::new()?;
        let bucket = world.minio.bucket();
        world.minio.s3().put(&bucket, "kept", "x").unwrap();
        world.connect("photos", &[&bucket]);
        world.connect("videos", &[&bucket]);
        let photos = world.issue("photos", "laptop");
        let videos = world.issue("videos", "laptop");
        let revoked_later = world.issue("videos", "phone");
        Some(Self {
            world,
            bucket,
            photos,
            videos,
            revoked_later,
        })
    }

    fn backup(&self, name: &str) -> PathBuf {
        let file = self.world.home.path("work").join(name);
        backup(&self.world.cli(), &file);
        file
    }

    /// Deletes one connection and revokes a key of the other.
    fn kill(&self) -> Value {
        let told = self.world.delete("photos", &[]).verdict("intact");
        self.world
            .cli()
            .run(&["key", "revoke", &self.revoked_later.id])
            .ok();
        told
    }

    fn status_of(&self, key: &Issued) -> u16 {
        self.answer_to(key).0
    }

    fn answer_to(&self, key: &Issued) -> (u16, String) {
        answer(key, self.world.daemon.gateway_address(), &self.bucket)
    }

    fn only_the_living_live(&self) {
        assert_eq!(self.status_of(&self.videos), 200);
        assert_eq!(self.status_of(&self.revoked_later), 403);
        assert_eq!(self.status_of(&self.photos), 403);
        assert_eq!(names(&self.world.cli()), ["videos"]);
    }
}

fn backup(cli: &Cli, file: &Path) -> Value {
    let args = ["backup", file.to_str().unwrap(), "--passphrase-stdin"];
    cli.run_with(&args, PASSPHRASE).ok()
}

fn answer(key: &Issued, gateway: &str, bucket: &str) -> (u16, String) {
    let s3 = bascule_tests::S3::new(&format!("http://{gateway}"), &key.id, &key.secret);
    let reply = s3
        .call(Method::GET, &format!("/{bucket}/kept"), "")
        .unwrap();
    (reply.status, reply.text())
}

fn restore(home: &Home, file: &Path) -> bascule_tests::Answer {
    restore_with(home, file, Some(PASSPHRASE))
}

fn restore_with(home: &Home, file: &Path, passphrase: Option<&str>) -> bascule_tests::Answer {
    let state = home.state();
    let mut args = vec![
        "restore",
        file.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
    ];
    args.extend(passphrase.map(|_| "--passphrase-stdin"));
    Cli::new(home).run_with(&args, passphrase.unwrap_or_default())
}

fn names(cli: &Cli) -> Vec<String> {
    let list = cli.run(&["list"]).ok();
    let connections = list["connections"].as_array().unwrap();
    connections
        .iter()
        .map(|connection| connection["name"].as_str().unwrap().to_owned())
        .collect()
}

fn restart(daemon: &mut Daemon, home: &Home) {
    daemon.stop();
    daemon.restart(home);
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

fn anchors(home: &Home) -> Vec<PathBuf> {
    let folder = fs::read_dir(home.path("home/.cache/bascule")).unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn g9_a_backup_made_during_writes_restores_consistently() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let stop = AtomicBool::new(false);
    let (file, before) = thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut issued = Vec::new();
            while !stop.load(SeqCst) {
                let label = format!("busy-{}", issued.len());
                issued.push(scene.world.issue("videos", &label));
            }
            issued
        });
        let files: Vec<_> = (0..5)
            .map(|number| scene.backup(&format!("{number}.backup")))
            .collect();
        stop.store(true, SeqCst);
        (files, busy.join().unwrap())
    });
    // Restored, the gateway has the same port.
    scene.world.daemon.stop();
    for file in &file {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let home = Home::new();
        restore(&home, file).ok();
        let daemon = Daemon::start(&home);
        let cli = Cli::new(&home);
        assert_eq!(names(&cli), ["photos", "videos"]);
        cli.run(&["activate"]).ok();
        let works = |key: &Issued| answer(key, daemon.gateway_address(), &scene.bucket).0 == 200;
        assert!(works(&scene.photos) && works(&scene.videos));
        // Those that were issued by then, and none after the first that was not.
        let known: Vec<bool> = before.iter().map(works).collect();
        assert!(known.is_sorted_by(|a, b| a >= b), "{known:?}");
    }
}

#[test]
fn g10_an_old_backup_brings_nothing_dead_back() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let file = scene.backup("old.backup");
    scene.kill();
    assert_ne!(
        restore(&scene.world.home, &file).code,
        Some(0),
        "refused while the daemon runs"
    );
    scene.world.daemon.stop();
    let told = restore(&scene.world.home, &file).ok();
    assert_eq!(told["restored"]["closed"], json!(false));
    assert_eq!(told["restored"]["stayed_deleted"], json!(1));
    assert_eq!(told["restored"]["stayed_dead"], json!(2));
    scene.world.daemon.restart(&scene.world.home);
    scene.only_the_living_live();
    // Nothing of what was replaced is left behind.
    let left: Vec<_> = scene
        .world
        .home
        .files("state")
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("restore."))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let audit = scene.world.cli().run(&["audit"]).ok().to_string();
    assert!(audit.contains("backed-up") && audit.contains("restored"));
}

#[test]
fn g10_a_state_folder_behind_its_backup_learns_from_it_who_is_dead() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (state, old) = (scene.world.home.state(), scene.world.home.path("old"));
    scene.world.daemon.stop();
    copy(&state, &old);
    scene.world.daemon.restart(&scene.world.home);
    scene.kill();
    let file = scene.backup("new.backup");
    scene.world.daemon.stop();
    fs::remove_dir_all(&state).unwrap();
    copy(&old, &state);
    restore(&scene.world.home, &file).ok();
    scene.world.daemon.restart(&scene.world.home);
    // The anchor has seen no more deaths than the state knows of by now.
    scene.only_the_living_live();
}

#[test]
fn on_a_new_machine_everything_is_paused_until_it_is_activated() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let file = scene.backup("moved.backup");
    scene.world.daemon.stop();
    let home = Home::new();
    let told = restore(&home, &file).ok();
    assert_eq!(told["restored"]["closed"], json!(true));
    assert_eq!(told["restored"]["brought_back"], json!(2));
    let mut daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    // A restart opens nothing either.
    for _ in 0..2 {
        let (status, text) = answer(&scene.videos, daemon.gateway_address(), &scene.bucket);
        assert_eq!(status, 403);
        assert!(text.contains("its state comes from a backup"), "{text}");
        assert_ne!(cli.run(&["resume", "videos"]).code, Some(0));
        let status = cli.run(&["status"]).text();
        assert!(status.contains("bascule activate"), "{status}");
        restart(&mut daemon, &home);
    }
    // The user's own pause outlives the activation.
    cli.run(&["pause", "photos"]).ok();
    let told = cli.run(&["activate"]).ok();
    assert_eq!(told["activated"], json!(["videos"]));
    for _ in 0..2 {
        let gateway = daemon.gateway_address();
        assert_eq!(answer(&scene.videos, gateway, &scene.bucket).0, 200);
        assert_eq!(answer(&scene.photos, gateway, &scene.bucket).0, 403);
        restart(&mut daemon, &home);
    }
    assert_eq!(cli.run(&["activate"]).ok()["was_active"], json!(true));
}

#[test]
fn without_its_passphrase_a_backup_opens_nowhere_else() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let portable = scene.backup("portable.backup");
    let here_only = scene.world.home.path("work").join("here.backup");
    let args = ["backup", here_only.to_str().unwrap()];
    let told = scene.world.cli().run(&args).ok();
    assert_eq!(told["backup"]["portable"], json!(false));
    let again = scene.world.cli().run(&args);
    assert_eq!(again.code, Some(4), "an existing file is never replaced");
    let short = scene.world.home.path("work").join("short.backup");
    let args = ["backup", short.to_str().unwrap(), "--passphrase-stdin"];
    scene.world.cli().run_with(&args, "short").exits(2);
    assert!(!short.exists());

    let home = Home::new();
    let wrong = restore_with(&home, &portable, Some("incorrect horse battery"));
    assert!(wrong.text().contains("passphrase is wrong"), "{wrong}");
    let none = restore_with(&home, &portable, None);
    assert!(none.text().contains("passphrase"), "{none}");
    let elsewhere = restore_with(&home, &here_only, None);
    assert!(
        elsewhere.text().contains("only in the installation"),
        "{elsewhere}"
    );
    assert!(!home.state().join("store.redb").exists());

    scene.world.daemon.stop();
    restore_with(&scene.world.home, &here_only, None).ok();
    // Into another installation that has a life of its own: never.
    Daemon::start(&home).stop();
    let other = restore(&home, &portable);
    assert!(other.text().contains("another installation"), "{other}");
    assert!(Daemon::start(&home).stop().success());
}

#[test]
fn a_cut_or_altered_backup_is_refused_and_changes_nothing() {
    let Some(scene) = Scene::new() else { return };
    let whole = fs::read(scene.backup("whole.backup")).unwrap();
    let home = Home::new();
    let file = home.path("work").join("damaged.backup");
    let refused = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        assert_ne!(restore(&home, &file).code, Some(0));
        assert!(!home.state().join("store.redb").exists());
        assert!(!home.state().join("root.key").exists());
    };
    for part in 0..4 {
        let at = whole.len() * part / 4;
        refused(&whole[..at]);
        let mut altered = whole.clone();
        altered[at] ^= 1;
        refused(&altered);
    }
    refused(&whole[..whole.len() - 1]);
    refused(&[&whole[..], b"x"].concat());
    let mut altered = whole.clone();
    *altered.last_mut().unwrap() ^= 1;
    refused(&altered);
    fs::write(&file, &whole).unwrap();
    restore(&home, &file).ok();
}

#[test]
fn g10_a_state_folder_put_back_from_outside_is_noticed() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let (state, old) = (scene.world.home.state(), scene.world.home.path("old"));
    scene.world.daemon.stop();
    copy(&state, &old);
    scene.world.daemon.restart(&scene.world.home);
    let id = &scene.revoked_later.id;
    scene.world.cli().run(&["key", "revoke", id]).ok();
    scene.world.daemon.kill();
    fs::remove_dir_all(&state).unwrap();
    copy(&old, &state);
    scene.world.daemon.restart(&scene.world.home);
    let cli = scene.world.cli();
    for key in [&scene.revoked_later, &scene.videos, &scene.photos] {
        assert_eq!(scene.status_of(key), 403);
    }
    let status = cli.run(&["status"]).text();
    assert!(status.contains("activate --accept-rollback"), "{status}");
    assert_eq!(cli.run(&["activate"]).code, Some(4));
    // More deaths do not make up for those that were forgotten.
    let extra = scene.world.issue("videos", "extra");
    cli.run(&["key", "revoke", &extra.id]).ok();
    restart(&mut scene.world.daemon, &scene.world.home);
    assert_eq!(scene.status_of(&scene.videos), 403);

    cli.run(&["activate", "--accept-rollback"]).ok();
    assert_eq!(scene.status_of(&scene.videos), 200);
    let audit = cli.run(&["audit"]).ok().to_string();
    assert!(audit.contains("rollback-accepted"));
    restart(&mut scene.world.daemon, &scene.world.home);
    assert_eq!(scene.status_of(&scene.videos), 200);

    // A lost anchor is told once, and made anew.
    let [anchor] = &anchors(&scene.world.home)[..] else {
        panic!("one anchor")
    };
    fs::remove_file(anchor).unwrap();
    restart(&mut scene.world.daemon, &scene.world.home);
    assert!(scene.world.daemon.log().contains("anchor was made anew"));
    assert_eq!(anchors(&scene.world.home).len(), 1);
    assert_eq!(scene.status_of(&scene.videos), 200);
}

#[test]
fn a_receipt_lists_the_backups_that_still_hold_the_connection() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    scene.backup("monday.backup");
    let told = scene.kill();
    let id = told["id"].as_str().unwrap();
    let receipt = scene.world.receipt(id);
    assert_eq!(receipt["backups"][0]["file"], json!("monday.backup"));
    assert_eq!(receipt["backups"][0]["portable"], json!(true));
    assert_eq!(
        receipt["backups"][0]["last_look"]["found"],
        json!("present")
    );
    // Nothing of it is in a backup made since.
    let home = Home::new();
    let file = scene.backup("tuesday.backup");
    scene.world.daemon.stop();
    restore(&home, &file).ok();
    let _daemon = Daemon::start(&home);
    assert_eq!(names(&Cli::new(&home)), ["videos"]);
}

fn listed(cli: &Cli) -> Vec<Value> {
    let list = cli.run(&["backup", "list"]).ok();
    list["backups"].as_array().unwrap().clone()
}

#[test]
fn the_list_of_backups_tells_what_they_hold_and_whether_they_are_there() {
    let Some(scene) = Scene::new() else { return };
    let cli = scene.world.cli();
    assert!(listed(&cli).is_empty());
    let files = ["kept", "lost", "overwritten", "unplugged/usb"].map(|name| {
        let file = scene.world.home.path("work").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        backup(&cli, &file);
        file
    });
    let deletion = scene.kill();
    fs::remove_file(&files[1]).unwrap();
    fs::copy(&files[0], &files[2]).unwrap();
    fs::remove_dir_all(files[3].parent().unwrap()).unwrap();

    let list = listed(&cli);
    let states: Vec<_> = list.iter().map(|known| &known["state"]).collect();
    assert_eq!(states, ["present", "gone", "changed", "not-checked"]);
    let held = &list[0]["holds"];
    let of = |name: &str| {
        let mut all = held.as_array().unwrap().iter();
        all.find(|held| held["name"] == name).unwrap().clone()
    };
    assert_eq!(of("videos")["standing"], json!("living"));
    assert_eq!(of("photos")["standing"], json!("deleted"));
    assert_eq!(of("photos")["deletion_id"], deletion["id"]);
    assert_eq!(list[0]["path"], json!(files[0].to_str().unwrap()));
    assert_eq!(list[0]["portable"], json!(true));
    // What could not be looked at is as it was known before.
    let again = listed(&cli);
    let known: Vec<_> = again
        .iter()
        .map(|known| &known["last_look"]["found"])
        .collect();
    assert_eq!(known, ["present", "gone", "changed", "present"]);

    // A receipt tells what was so when the deletion began.
    fs::remove_file(&files[0]).unwrap();
    let receipt = scene.world.receipt(
        scene.world.delete("videos", &[]).verdict("intact")["id"]
            .as_str()
            .unwrap(),
    );
    let told: Vec<_> = receipt["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|backup| &backup["last_look"]["found"])
        .collect();
    assert_eq!(told, ["gone", "gone", "changed", "present"]);
}

#[test]
fn only_a_backup_that_is_not_there_is_forgotten_and_receipts_stop_naming_it() {
    let Some(scene) = Scene::new() else { return };
    let cli = scene.world.cli();
    let ids = ["kept", "lost", "unplugged/usb"].map(|name| {
        let file = scene.world.home.path("work").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let told = backup(&cli, &file);
        told["backup"]["id"].as_str().unwrap().to_owned()
    });
    let work = scene.world.home.path("work");
    fs::remove_file(work.join("lost")).unwrap();
    fs::remove_dir_all(work.join("unplugged")).unwrap();

    // There is no flag that forgets what is there.
    cli.run(&["backup", "forget", &ids[0], "--yes"]).exits(4);
    cli.run(&["backup", "forget", &ids[1]]).ok();
    cli.run(&["backup", "forget", &ids[1]]).exits(3);
    cli.run(&["backup", "forget", &ids[2]]).exits(4);
    let why = ["backup", "forget", &ids[2], "--yes", "--reason", "shredded"];
    cli.run(&why).ok();

    let left: Vec<_> = listed(&cli)
        .iter()
        .map(|known| known["id"].clone())
        .collect();
    assert_eq!(left, [json!(ids[0])]);
    let deletion = scene.kill();
    let receipt = scene.world.receipt(deletion["id"].as_str().unwrap());
    assert_eq!(receipt["backups"].as_array().unwrap().len(), 1);
    assert_eq!(receipt["backups"][0]["id"], json!(ids[0]));

    let audit = cli.run(&["audit"]).ok();
    let told: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["change"] == "backup-forgotten")
        .map(|entry| (entry["backup_id"].clone(), entry["reason"].clone()))
        .collect();
    let expected = [
        (json!(ids[1]), Value::Null),
        (json!(ids[2]), json!("shredded")),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_audit_names_the_backup_that_was_made_put_back_and_activated() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let file = scene.world.home.path("work").join("moved.backup");
    let earlier = scene.backup("earlier.backup");
    let told = backup(&scene.world.cli(), &file);
    let id = told["backup"]["id"].as_str().unwrap();
    scene.world.daemon.stop();
    let home = Home::new();
    restore(&home, &file).ok();
    let _daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    cli.run(&["activate"]).ok();
    let audit = cli.run(&["audit"]).ok();
    let entries = audit["entries"].as_array().unwrap();
    for change in ["restored", "activated"] {
        let entry = entries.iter().find(|entry| entry["change"] == change);
        assert_eq!(entry.unwrap()["backup_id"], json!(id), "{change}");
    }
    let made = entries.iter().find(|entry| entry["change"] == "backed-up");
    assert!(
        made.unwrap()["backup_id"]
            .as_str()
            .unwrap()
            .starts_with("bak_")
    );

    // What was written on the other machine is out of sight here, even if its path is not.
    assert!(earlier.exists());
    let list = listed(&cli);
    assert_eq!(list[0]["state"], json!("not-checked"));
    assert_eq!(list[0]["path"], json!(earlier.to_str().unwrap()));
    assert_eq!(list[1]["id"], json!(id));
    assert_eq!(list[1]["state"], json!("present"));
}
