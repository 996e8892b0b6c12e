//! The daemon's side of adoption over its socket: what a client needs to put files back is kept before it
//! changes them, survives what the connection does not have to take with it, and is gone with the rest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, path::Path};

use bascule_client::channel::Client;
use bascule_proto::v1;
use bascule_tests::{Cli, Daemon, Home, Issued, World, home::holds};
use serde_json::Value;
use tokio::runtime::Runtime;

/// What no file may hold once it is erased.
const MARKER: &[u8] = b"marker-of-what-stood-in-the-file";
const LAYOUT: &str = r#"{"files":[{"settings":["access_key_id"]}]}"#;

/// A client of the daemon in a home. What is refused is told in words.
struct Adoptions {
    runtime: Runtime,
    client: Client,
}

macro_rules! call {
    ($self:ident, $verb:ident, $request:expr) => {{
        let mut client = $self.client.adoptions();
        let answer = $self.runtime.block_on(client.$verb($request));
        answer
            .map(|answer| answer.into_inner())
            .map_err(|refused| refused.message().to_owned())
    }};
}

impl Adoptions {
    fn of(home: &Home) -> Self {
        let runtime = Runtime::new().unwrap();
        let socket = Cli::new(home).socket();
        let client = runtime.block_on(Client::connect(Some(&socket))).unwrap();
        Self { runtime, client }
    }

    fn prepare(
        &self,
        key: &Issued,
        consumer: &str,
        files: &[v1::OriginalFile],
        replaces: &str,
    ) -> Result<v1::Adoption, String> {
        let request = v1::PrepareAdoptionRequest {
            key: key.id.clone(),
            consumer: consumer.into(),
            layout: LAYOUT.into(),
            files: files.to_vec(),
            replaces: replaces.into(),
            reason: String::new(),
        };
        call!(self, prepare, request).map(|answer| answer.adoption.unwrap())
    }

    fn settle(&self, id: &str, outcome: &str) -> Result<v1::Adoption, String> {
        let request = v1::SettleAdoptionRequest {
            id: id.into(),
            outcome: outcome.into(),
            reason: String::new(),
            layout: String::new(),
        };
        call!(self, settle, request).map(|answer| answer.adoption.unwrap())
    }

    fn adopt(&self, key: &Issued, consumer: &str, path: &str, replaces: &str) -> v1::Adoption {
        let files = [file(path, MARKER)];
        let prepared = self.prepare(key, consumer, &files, replaces).unwrap();
        self.settle(&prepared.id, "adopted").unwrap()
    }

    fn list(&self, connection: &str) -> Vec<v1::Adoption> {
        let request = v1::ListAdoptionsRequest {
            connection: connection.into(),
        };
        call!(self, list, request).unwrap().adoptions
    }

    fn one(&self, id: &str) -> v1::Adoption {
        let mut all = self.list("").into_iter();
        all.find(|adoption| adoption.id == id).unwrap()
    }

    fn originals(&self, id: &str) -> Result<Vec<v1::OriginalFile>, String> {
        let request = v1::OriginalsRequest { id: id.into() };
        call!(self, originals, request).map(|answer| answer.files)
    }

    fn access(&self, connection: &str) -> Result<v1::AccessResponse, String> {
        let request = v1::AccessRequest {
            connection: connection.into(),
            consumer: "rclone:r2".into(),
            reason: "leaving".into(),
        };
        call!(self, access, request)
    }
}

fn file(path: &str, content: &[u8]) -> v1::OriginalFile {
    v1::OriginalFile {
        path: path.into(),
        content: content.to_vec(),
    }
}

/// All that the daemon keeps, and what it has logged.
fn kept(world: &World) -> Vec<Vec<u8>> {
    let files = world.home.files("state").into_iter();
    let mut kept: Vec<_> = files.map(|(_, content)| content).collect();
    kept.push(world.daemon.log().into_bytes());
    kept
}

fn nowhere(world: &World, text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap();
    assert!(kept(world).iter().all(|content| !holds(content, text)));
}

fn audit(world: &World, of: &str) -> Vec<Value> {
    let document = world.cli().run(&["audit", of]).ok();
    document["entries"].as_array().unwrap().clone()
}

fn plan(world: &World) -> Value {
    world.cli().run(&["delete", "photos", "--plan"]).ok()
}

fn the_box<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let mut boxes = plan["boxes"].as_array().unwrap().iter();
    boxes.find(|one| one["name"] == name).unwrap()
}

#[test]
fn what_stood_in_files_is_durable_when_the_answer_arrives_and_comes_back_byte_for_byte() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.connect("photos", &[&world.minio.bucket()]);
    let key = world.issue("photos", "laptop");
    let adoptions = Adoptions::of(&world.home);
    // As much as is kept of one.
    let bytes = |seed: u32| {
        let mut content: Vec<_> = (0..(1 << 20) as u32)
            .map(|n| (n.wrapping_mul(seed) >> 7) as u8)
            .collect();
        content[..MARKER.len()].copy_from_slice(MARKER);
        content
    };
    let files: Vec<_> = (1..=8)
        .map(|n: u32| {
            file(
                &format!("/home/a/{n}.conf"),
                &bytes(n.wrapping_mul(2_654_435_761)),
            )
        })
        .collect();
    let prepared = adoptions.prepare(&key, "rclone:r2", &files, "").unwrap();
    assert_eq!(prepared.state, "prepared");
    world.daemon.kill();
    world.daemon.restart(&world.home);

    let adoptions = Adoptions::of(&world.home);
    let [found] = &adoptions.list("photos")[..] else {
        panic!("one is open")
    };
    assert_eq!(*found, prepared);
    assert_eq!(
        (&*found.connection, &*found.label, &*found.consumer),
        ("photos", "laptop", "rclone:r2")
    );
    assert_eq!(found.layout, LAYOUT);
    assert_eq!(found.connection_state, "living");
    let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(found.paths, paths);
    // The beginning of its id is enough.
    assert_eq!(adoptions.originals(&found.id[..6]), Ok(files));
    let adopted = adoptions.settle(&found.id, "adopted").unwrap();
    assert_eq!(adopted.state, "adopted");
    assert_eq!(adoptions.settle(&found.id, "adopted"), Ok(adopted));
    assert!(adoptions.settle(&found.id, "rolled-back").is_err());
    assert!(adoptions.settle(&found.id, "gone").is_err());
    nowhere(&world, MARKER);
    adoptions.settle(&found.id, "undone").unwrap();
    let gone = adoptions.originals(&found.id).unwrap_err();
    assert!(gone.contains("undone"), "{gone}");
    assert!(!adoptions.one(&found.id).originals_kept);

    let told = audit(&world, "photos");
    let told: Vec<_> = told
        .iter()
        .filter(|entry| entry["adoption_id"] == *found.id)
        .collect();
    let changes: Vec<_> = told.iter().map(|entry| entry["change"].clone()).collect();
    assert_eq!(changes, ["adoption-prepared", "adopted", "adoption-undone"]);
    for entry in told {
        assert_eq!(entry["consumer"], "rclone:r2", "{entry}");
        assert_eq!(entry["label"], "laptop", "{entry}");
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(entry["by"]["uid"], uid, "{entry}");
    }
}

#[test]
fn what_can_not_be_put_back_later_is_not_prepared() {
    let Some(world) = World::new() else { return };
    world.connect("photos", &[&world.minio.bucket()]);
    let key = world.issue("photos", "laptop");
    let adoptions = Adoptions::of(&world.home);
    let large = vec![b'x'; (1 << 20) + 1];
    for (files, why) in [
        (vec![], "1 to 64 files"),
        (vec![file("/a", b""), file("/a", b"")], "each named once"),
        (vec![file("a", b"")], "absolute"),
        (vec![file("/a", &large)], "1 MiB"),
    ] {
        let refused = adoptions.prepare(&key, "rclone:r2", &files, "");
        assert!(refused.as_ref().unwrap_err().contains(why), "{refused:?}");
    }
    let request = v1::PrepareAdoptionRequest {
        key: key.id.clone(),
        consumer: "rclone:r2".into(),
        layout: format!("{{{}", std::str::from_utf8(MARKER).unwrap()),
        files: vec![file("/a", b"")],
        ..v1::PrepareAdoptionRequest::default()
    };
    let refused = call!(adoptions, prepare, request).unwrap_err();
    assert!(
        refused.contains("JSON") && !refused.contains("marker"),
        "{refused}"
    );

    let files = [file("/home/a/rclone.conf", MARKER)];
    let first = adoptions.prepare(&key, "rclone:r2", &files, "").unwrap();
    let refused = adoptions
        .prepare(&key, "rclone:r2", &files, "")
        .unwrap_err();
    assert!(refused.contains(&first.id), "{refused}");
    adoptions.prepare(&key, "rclone:b2", &files, "").unwrap();
    adoptions.settle(&first.id, "rolled-back").unwrap();
    adoptions.prepare(&key, "rclone:r2", &files, "").unwrap();

    world.cli().run(&["key", "revoke", &key.id]).ok();
    let refused = adoptions.prepare(&key, "aws:a", &files, "").unwrap_err();
    assert!(refused.contains("dead for good"), "{refused}");
    assert!(adoptions.originals("Affffffffffffffff").is_err());
    assert!(adoptions.originals("../..").is_err());
}

#[test]
fn d1_what_stood_in_files_is_erased_with_the_connection_and_the_way_out_is_not() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    world.connect("videos", &[&bucket]);
    let (old, new) = (
        world.issue("photos", "laptop"),
        world.issue("videos", "laptop"),
    );
    let adoptions = Adoptions::of(&world.home);
    let path = "/home/a/rclone.conf";
    let adopted = adoptions.adopt(&old, "rclone:r2", path, "");
    world.delete("photos", &[]).verdict("intact");

    nowhere(&world, MARKER);
    let erased = adoptions.originals(&adopted.id).unwrap_err();
    assert!(erased.contains("erased"), "{erased}");
    let left = adoptions.one(&adopted.id);
    assert_eq!(
        (&*left.state, &*left.connection_state),
        ("adopted", "deleted")
    );
    assert!(!left.originals_kept);
    assert_eq!(
        (left.layout, left.paths),
        (LAYOUT.into(), vec![path.into()])
    );

    // Moved to another connection, it takes the former one's place.
    let repaired = adoptions.adopt(&new, "rclone:r2", path, &adopted.id);
    assert_eq!(repaired.replaces, adopted.id);
    assert_eq!(adoptions.one(&adopted.id).state, "replaced");
    let refused = adoptions.settle(&adopted.id, "ejected").unwrap_err();
    assert!(refused.contains(&repaired.id), "{refused}");
    let again = adoptions.adopt(&new, "rclone:r2", path, &repaired.id);
    assert_eq!(
        (again.replaces, adoptions.one(&repaired.id).originals_kept),
        (adopted.id.clone(), false),
        "what lies between is closed"
    );
    let refused = adoptions.prepare(&new, "aws:r2", &[file(path, b"")], &again.id);
    assert!(refused.unwrap_err().contains("rclone:r2"));
    assert!(adoptions.settle(&again.id, "replaced").is_err());

    adoptions.settle(&again.id, "ejected").unwrap();
    for id in [&adopted.id, &again.id] {
        assert_eq!(adoptions.one(id).state, "ejected");
    }
    assert_eq!(adoptions.one(&repaired.id).state, "replaced");
    let told = audit(&world, "videos");
    let changes: Vec<_> = told.iter().map(|entry| &entry["change"]).collect();
    assert!(changes.contains(&&Value::from("repaired")), "{told:?}");
    assert!(changes.contains(&&Value::from("ejected")), "{told:?}");
}

#[test]
fn a_backup_carries_adoptions_to_another_machine() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.connect("photos", &[&world.minio.bucket()]);
    let key = world.issue("photos", "laptop");
    let adoptions = Adoptions::of(&world.home);
    let adopted = adoptions.adopt(&key, "rclone:r2", "/home/a/rclone.conf", "");
    let other = adoptions.adopt(&key, "aws:a", "/home/a/credentials", "");
    let saved = world.home.path("work").join("all.backup");
    let passphrase = "correct horse battery staple";
    let arguments = ["backup", saved.to_str().unwrap(), "--passphrase-stdin"];
    world.cli().run_with(&arguments, passphrase).ok();
    assert!(!holds(
        &fs::read(&saved).unwrap(),
        std::str::from_utf8(MARKER).unwrap()
    ));
    let restore = |home: &Home, file: &Path| {
        let state = home.state();
        let arguments = [
            "restore",
            file.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
            "--passphrase-stdin",
        ];
        Cli::new(home).run_with(&arguments, passphrase).ok();
    };
    adoptions.settle(&other.id, "ejected").unwrap();
    world.daemon.stop();

    let home = Home::new();
    restore(&home, &saved);
    {
        let _daemon = Daemon::start(&home);
        let elsewhere = Adoptions::of(&home);
        assert_eq!(elsewhere.one(&other.id).state, "adopted");
        let files = elsewhere.originals(&adopted.id).unwrap();
        assert_eq!(files, [file("/home/a/rclone.conf", MARKER)]);
    }
    // Here, what was settled since stays settled.
    restore(&world.home, &saved);
    world.daemon.restart(&world.home);
    let adoptions = Adoptions::of(&world.home);
    assert_eq!(adoptions.one(&other.id).state, "ejected");
    assert_eq!(adoptions.one(&adopted.id), adopted);
    assert!(adoptions.originals(&adopted.id).is_ok());
    assert!(adoptions.originals(&other.id).is_err());
}

#[test]
fn a_connections_own_credentials_are_handed_out_on_record_and_never_while_it_is_deleted() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let folder = world.home.path("work/buckets");
    fs::create_dir_all(folder.join("shelf")).unwrap();
    let local = ["--provider", "local", "--bucket", "shelf", "--path"];
    let connect = [
        &["connect", "shelf"],
        &local[..],
        &[folder.to_str().unwrap()],
    ]
    .concat();
    world.cli().run(&connect).ok();
    let adoptions = Adoptions::of(&world.home);

    let access = adoptions.access("photos").unwrap();
    let (id, secret) = world.minio.credentials();
    let credentials = access.credentials.unwrap();
    assert_eq!(
        (&*credentials.access_key_id, &*credentials.secret_access_key),
        (id, secret)
    );
    assert_eq!(access.endpoint, world.minio.endpoint());
    assert_eq!(access.provider, i32::from(v1::Provider::Minio));
    assert_eq!(
        (&*access.addressing, &access.buckets[..]),
        ("path", &[bucket][..])
    );
    assert!(!access.region.is_empty());
    let handed_out = || {
        let told = audit(&world, "photos").into_iter();
        told.filter(|entry| entry["change"] == "credentials-handed-out")
            .collect::<Vec<_>>()
    };
    let [told] = &handed_out()[..] else {
        panic!("{:?}", audit(&world, "photos"))
    };
    assert_eq!(told["consumer"], "rclone:r2");
    assert_eq!(told["reason"], "leaving");
    assert_eq!(told["by"]["uid"], rustix::process::geteuid().as_raw());
    adoptions.access("photos").unwrap();
    assert_eq!(handed_out().len(), 2, "each time");
    assert!(!format!("{:?}", handed_out()).contains(secret));
    nowhere(&world, secret.as_bytes());

    let refused = adoptions.access("shelf").unwrap_err();
    assert!(refused.contains("folder of this machine"), "{refused}");
    assert!(adoptions.access("nothing").is_err());
    world.delete("photos", &["--scream", "14d"]).ok();
    let refused = adoptions.access("photos").unwrap_err();
    assert!(refused.contains("being deleted"), "{refused}");
    assert_eq!(handed_out().len(), 2, "what is refused is not handed out");
}

#[test]
fn an_adopted_consumer_counts_as_not_moved_until_it_is_ejected_or_has_another_connections_key() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    world.connect("videos", &[&bucket]);
    let (key, other) = (
        world.issue("photos", "laptop"),
        world.issue("videos", "laptop"),
    );
    let seen = plan(&world);
    assert_eq!(the_box(&seen, "jobs-moved")["state"], "met", "{seen}");

    // One that no look sees, since its file is not there.
    let adoptions = Adoptions::of(&world.home);
    let hidden = adoptions.adopt(&key, "aws:my profile", "/nowhere/credentials", "");
    let seen = plan(&world);
    assert_eq!(the_box(&seen, "jobs-moved")["state"], "open", "{seen}");
    let held = &seen["consumers"][0];
    assert_eq!(held["adopted"], "aws:my profile", "{seen}");
    assert_eq!(held["chain"][1], "/nowhere/credentials", "{seen}");
    let next = format!("{}", held["next"]);
    assert!(next.contains("bascule eject 'aws:my profile'"), "{next}");
    assert!(
        next.contains(&format!("bascule repair {}", key.id)),
        "{next}"
    );
    adoptions.settle(&hidden.id, "ejected").unwrap();
    let seen = plan(&world);
    assert_eq!(the_box(&seen, "jobs-moved")["state"], "met", "{seen}");

    // One that is seen is named once.
    let conf = world.rclone_config(&key.rclone_section("gate"));
    let path = conf.to_str().unwrap();
    let adopted = adoptions.adopt(&key, "rclone:gate", path, "");
    let seen = plan(&world);
    assert_eq!(seen["consumers"].as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen["consumers"][0]["adopted"], "rclone:gate", "{seen}");
    let remedy = the_box(&seen, "jobs-moved")["remedy"].as_str().unwrap();
    assert!(remedy.contains("bascule eject rclone:gate"), "{remedy}");
    let said = world.cli().say(&["delete", "photos", "--plan"]).exits(0);
    assert!(said.stdout.contains("adopted as rclone:gate"), "{said}");
    assert!(said.stdout.contains("bascule eject rclone:gate"), "{said}");

    // Repaired: the file holds the other connection's key.
    let replaced = adoptions.prepare(&other, "rclone:gate", &[file(path, MARKER)], &adopted.id);
    world.rclone_config(&other.rclone_section("gate"));
    let seen = plan(&world);
    assert_eq!(
        the_box(&seen, "jobs-moved")["state"],
        "open",
        "it may be rolled back: {seen}"
    );
    adoptions.settle(&replaced.unwrap().id, "adopted").unwrap();
    let seen = plan(&world);
    assert_eq!(the_box(&seen, "jobs-moved")["state"], "met", "{seen}");

    // One that goes around is to be adopted.
    let (id, secret) = world.minio.credentials();
    let section = format!(
        "[direct]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\nsecret_access_key = {secret}\nendpoint = {}\n",
        world.minio.endpoint()
    );
    world.rclone_config(&section);
    let seen = plan(&world);
    let remedy = the_box(&seen, "no-bypass")["remedy"].as_str().unwrap();
    assert!(
        remedy.contains(&format!("bascule adopt {path}")),
        "{remedy}"
    );
}
