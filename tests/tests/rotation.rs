//! Rotations: both keys work during the grace, the old one dies when it should and never by a
//! clock alone, and whatever is repeated or interrupted leaves neither two keys nor none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Answer, Clock, Daemon, Home, Issued, Minio, S3, World, cli::REFUSED, wait};
use http::Method;
use serde_json::Value;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A connection with a bucket, an object in it, and a clock to turn.
struct Scene {
    world: World,
    clock: Clock,
    bucket: String,
}

impl Scene {
    fn new() -> Option<Self> {
        let minio = Minio::shared()?;
        let home = Home::new();
        let clock = Clock::new(&home);
        let daemon: Daemon = clock.start().run(&home);
        let world = World {
            daemon,
            home,
            minio,
        };
        let bucket = world.minio.bucket();
        world.minio.s3().put(&bucket, "object", "x").unwrap();
        world.connect("photos", &[&bucket]);
        Some(Self {
            world,
            clock,
            bucket,
        })
    }

    fn run(&self, args: &[&str]) -> Answer {
        self.world.cli().run(args)
    }

    fn rotate(&self, args: &[&str]) -> Value {
        self.run(&[&["key", "rotate"], args].concat()).ok()
    }

    fn rotation(&self, id: &str) -> Value {
        self.run(&["key", "rotation", id]).ok()["rotation"].clone()
    }

    /// Living keys of the connection, by access key id.
    fn living(&self) -> Vec<String> {
        let list = self.run(&["key", "list", "photos"]).ok();
        list["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| key["state"] != "dead")
            .map(|key| key["access_key_id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn wait_for_death(&self, id: &str) {
        wait::until("the old key to die", || {
            (!self.living().iter().any(|living| living == id)).then_some(())
        });
    }

    fn restart(&mut self) {
        self.world.daemon.kill();
        let start = self.clock.start();
        self.world.daemon.restart_as(&self.world.home, &start);
    }

    fn works(&self, s3: &S3) -> bool {
        s3.get(&self.bucket, "object").is_ok()
    }

    /// The code of a refusal. A dead key is known for one before its signature is looked at.
    fn refused_as(&self, s3: &S3) -> String {
        let path = format!("/{}/object", self.bucket);
        s3.call(Method::GET, &path, "").unwrap().code()
    }
}

fn issued(answer: &Value) -> Issued {
    Issued::of(&answer["issued"])
}

#[test]
fn both_keys_work_until_the_deadline_and_then_the_old_one_is_dead_by_itself() {
    let Some(scene) = Scene::new() else { return };
    let answer = scene.run(&[
        "key",
        "issue",
        "photos",
        "--label",
        "viewer",
        "--permission",
        "read",
        "--bucket",
        &scene.bucket,
    ]);
    let old = Issued::of(&answer.ok());
    assert!(scene.works(&old.s3()));
    let answer = scene.rotate(&[&old.id]);
    let rotation = &answer["rotation"];
    assert_eq!(rotation["grace_seconds"], DAY, "{answer}");
    let because = rotation["grace_because"].as_str().unwrap();
    assert!(because.contains("too briefly"), "{because}");
    let new = issued(&answer);
    let key = &answer["issued"]["key"];
    assert_eq!(
        (&key["label"], &key["permission"], &key["buckets"][0]),
        (
            &"viewer".into(),
            &"read".into(),
            &scene.bucket.clone().into()
        )
    );
    assert!(scene.works(&old.s3()) && scene.works(&new.s3()));
    assert!(new.s3().put(&scene.bucket, "object", "y").is_err());

    let entries = scene.run(&["audit", &new.id]).ok()["entries"].clone();
    assert_eq!(entries[0]["change"], "rotation-begun", "{entries}");
    assert_eq!(entries[0]["successor_id"], answer["issued"]["key"]["id"]);
    let two = scene.run(&["key", "show", "photos/viewer"]).error()["message"].to_string();
    assert!(two.contains("stands for two keys"), "{two}");
    let both = scene.run(&["audit", "photos/viewer"]).ok()["entries"].clone();
    assert_eq!(both[0]["change"], "key-issued", "{both}");
    assert_eq!(both[1], entries[0]);

    let shown = scene.rotation(&new.id);
    // The look at the machine may not be done yet, or not be whole.
    let mut not_known = shown["not_known"].as_array().unwrap().iter();
    assert!(
        not_known.all(|what| what.as_str().unwrap().starts_with("which key is held")),
        "{shown}"
    );
    assert_eq!(shown["old"]["access_key_id"], old.id.as_str());
    assert_eq!(shown["old"]["state"], "retiring");
    assert_eq!(shown["old_use"]["requests"], 1, "since it began: {shown}");
    assert_eq!(shown["successor_use"]["requests"], 2, "{shown}");

    // Recorded within a second or so.
    wait::until("the ledger to know who has moved", || {
        let shown = scene.rotation(&old.id);
        let consumers = shown["consumers"].as_array().unwrap().clone();
        let local = consumers.into_iter().find(|c| c["name"] == "127.0.0.1")?;
        (local["last_with_old"].is_string() && local["last_with_successor"].is_string())
            .then_some(())
    });

    scene.clock.pass(DAY - 3_600);
    assert_eq!(scene.living().len(), 2);
    scene.clock.pass(DAY + 60);
    scene.wait_for_death(&old.id);
    assert_eq!(scene.living(), std::slice::from_ref(&new.id));
    assert_eq!(scene.refused_as(&old.s3()), "InvalidAccessKeyId");
    let ended = scene.rotation(&old.id);
    assert_eq!(ended["ended"], "its grace was over");
    let audit = scene.run(&["audit"]).ok();
    let entry = |change: &str| {
        let entries = audit["entries"].as_array().unwrap().iter();
        let mut found = entries.filter(|entry| entry["change"] == change);
        found
            .next()
            .unwrap_or_else(|| panic!("{change} in {audit}"))
            .clone()
    };
    let (begun, over) = (entry("rotation-begun"), entry("rotation-ended"));
    assert!(begun["by"].is_object() && over["by"].is_null(), "{audit}");
    assert_eq!(over["reason"], "its grace was over");
    scene.clock.pass(0);
    assert!(scene.works(&new.s3()));
}

#[test]
fn a_rotation_cuts_nothing_that_is_open() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "laptop");
    let upload = old.s3().upload(&scene.bucket, "slow", 2_000_000).unwrap();
    upload.push(vec![7; 1_000_000]).unwrap();
    wait::until("the upload to be under way", || {
        let status = scene.run(&["status"]).ok();
        (status["open_requests"] == 1).then_some(())
    });
    scene.rotate(&[&old.id, "--until-silent", "1h"]);
    // The key is not silent as long as something is open with it.
    scene.clock.pass(HOUR * 2);
    wait::until("the daemon to have looked", || {
        let rotation = scene.rotation(&old.id);
        (rotation["old_use"]["open"] == 1).then_some(())
    });
    assert_eq!(scene.living().len(), 2);
    scene.clock.pass(0);
    upload.push(vec![7; 1_000_000]).unwrap();
    assert_eq!(upload.finish().unwrap().status, 200);
}

#[test]
fn the_old_key_dies_once_nobody_has_used_it_for_as_long_as_was_asked() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let old = scene.world.issue("photos", "laptop");
    let answer = scene.rotate(&[&old.id, "--grace", "7d", "--until-silent", "2h"]);
    assert_eq!(answer["rotation"]["until_silent_seconds"], 2 * HOUR);
    scene.clock.pass(HOUR + 60);
    // What was used before a kill is not known, so silence counts from the start.
    scene.restart();
    scene.clock.pass(2 * HOUR + 60);
    assert_eq!(scene.living().len(), 2);
    scene.clock.pass(3 * HOUR + 120);
    scene.wait_for_death(&old.id);
    let ended = scene.rotation(&old.id)["ended"].clone();
    assert!(ended.as_str().unwrap().contains("silent"), "{ended}");
}

#[test]
fn a_clock_that_jumps_a_day_parks_the_rotation_and_says_so() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    for jump in [DAY, -DAY] {
        let label = format!("laptop {jump}");
        let old = scene.world.issue("photos", &label);
        scene.rotate(&[&old.id, "--grace", "12h"]);
        scene.clock.jump(jump);
        let parked = wait::until("the rotation to be parked", || {
            scene.rotation(&old.id)["parked"]
                .as_str()
                .map(str::to_owned)
        });
        let by = if jump > 0 { "+1 d" } else { "-1 d" };
        assert!(parked.contains(by), "{parked}");
        assert!(scene.living().contains(&old.id));
        let troubles = scene.run(&["status"]).ok()["troubles"].to_string();
        assert!(troubles.contains(&old.id), "{troubles}");
        // It outlasts a kill, and time that passes.
        scene.restart();
        scene.clock.set(jump + DAY * 3, DAY * 3, 0);
        assert!(scene.rotation(&old.id)["parked"].is_string());
        assert!(scene.living().contains(&old.id));
        // The clock is set right again, and by it the deadline has passed.
        scene.clock.pass(DAY * 3 + 1);
        scene.wait_for_death(&old.id);
        scene.clock.pass(0);
    }
}

#[test]
fn a_person_can_say_that_the_clock_is_right() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "laptop");
    scene.rotate(&[&old.id, "--grace", "12h"]);
    let refused = scene.run(&["key", "rotation", &old.id, "--go-on"]);
    assert_eq!(refused.exits(REFUSED).error()["kind"], "REFUSED");
    scene.clock.jump(DAY);
    wait::until("the rotation to be parked", || {
        scene.rotation(&old.id)["parked"].as_str().map(drop)
    });
    let answer = scene.run(&["key", "rotation", &old.id, "--go-on"]).ok();
    assert!(answer["rotation"]["parked"].is_null(), "{answer}");
    assert_eq!(scene.living().len(), 2, "its twelve hours are not over");
    scene.clock.set(DAY + 13 * HOUR, 13 * HOUR, 0);
    scene.wait_for_death(&old.id);
}

#[test]
fn behind_a_reboot_the_old_key_waits_for_the_clocks_to_settle() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let old = scene.world.issue("photos", "laptop");
    scene.rotate(&[&old.id, "--grace", "1h"]);
    scene.world.daemon.kill();
    scene.clock.set(DAY * 300, 0, 1);
    let start = scene.clock.start();
    scene.world.daemon.restart_as(&scene.world.home, &start);
    assert_eq!(scene.living().len(), 2);
    scene.clock.set(DAY * 300 + 700, 700, 1);
    scene.wait_for_death(&old.id);
}

#[test]
fn a_repeated_rotation_makes_no_second_key_and_can_be_given_other_terms() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "laptop");
    let first = scene.rotate(&[&old.id]);
    let new = issued(&first);
    let again = scene.rotate(&[&old.id]);
    assert!(again["issued"].is_null(), "{again}");
    assert_eq!(
        again["rotation"]["successor"]["access_key_id"],
        new.id.as_str()
    );
    assert_eq!(again["rotation"]["deadline"], first["rotation"]["deadline"]);
    let next = again["rotation"]["next"].to_string();
    assert!(next.contains("--end"), "{next}");
    let repeat = |grace: &str| scene.run(&["key", "rotate", &old.id, "--grace", grace]);
    repeat("9d").exits(REFUSED);
    let shorter = repeat("12h").ok()["rotation"].clone();
    assert_eq!(shorter["grace_seconds"], 12 * HOUR);
    scene.clock.pass(HOUR);
    assert_eq!(
        repeat("12h").ok()["rotation"]["deadline"],
        shorter["deadline"]
    );
    scene.clock.pass(0);
    assert_eq!(scene.living().len(), 2);
    // A third generation would leave the first one without an end in sight.
    let refused = scene.run(&["key", "rotate", &new.id]).exits(REFUSED);
    let next = refused.error()["next"].to_string();
    assert!(next.contains("--end") && next.contains(&old.id), "{next}");
    // Issuing under the same label is still refused.
    scene
        .run(&["key", "issue", "photos", "--label", "laptop"])
        .exits(REFUSED);
    let ended = scene.rotate(&[&old.id, "--now"]);
    assert!(ended["issued"].is_null());
    assert_eq!(ended["rotation"]["old"]["state"], "dead");
    assert_eq!(scene.living(), std::slice::from_ref(&new.id));
    assert!(scene.works(&new.s3()));
    assert_eq!(scene.refused_as(&old.s3()), "InvalidAccessKeyId");
    // Asked once more, it is dead all the same.
    let twice = scene.rotate(&[&old.id, "--now"]);
    assert_eq!(twice["rotation"]["old"]["state"], "dead");
    assert_eq!(scene.living(), [new.id]);
}

#[test]
fn a_secret_that_never_arrived_is_replaced_unless_somebody_uses_it() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let old = scene.world.issue("photos", "laptop");
    let lost = issued(&scene.rotate(&[&old.id]));
    scene.restart();
    let new = issued(&scene.rotate(&[&old.id, "--again"]));
    assert_eq!(scene.refused_as(&lost.s3()), "InvalidAccessKeyId");
    assert_eq!(scene.living().len(), 2);
    assert!(scene.works(&new.s3()) && scene.works(&old.s3()));
    let refused = scene.run(&["key", "rotate", &old.id, "--again"]);
    let message = refused.exits(REFUSED).error()["message"].to_string();
    assert!(message.contains("in use"), "{message}");
    scene.run(&["key", "rotation", &old.id, "--end"]).ok();
    assert_eq!(scene.living(), std::slice::from_ref(&new.id));

    // At once, and the answer is lost: the dead key leads to its heir, however far.
    let lost = issued(&scene.rotate(&[&new.id, "--now"]));
    let last = issued(&scene.rotate(&[&new.id, "--again"]));
    assert_eq!(scene.living(), std::slice::from_ref(&last.id));
    assert_eq!(scene.refused_as(&lost.s3()), "InvalidAccessKeyId");
    let shown = scene.rotation(&old.id);
    assert_eq!(shown["successor"]["access_key_id"], last.id.as_str());
    assert!(scene.works(&last.s3()));
}

#[test]
fn whoever_leaks_first_the_older_key_goes_on_towards_the_newest() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "laptop");
    let leaked = issued(&scene.rotate(&[&old.id]));
    assert!(scene.works(&leaked.s3()));
    let new = issued(&scene.rotate(&[&leaked.id, "--now"]));
    assert_eq!(scene.refused_as(&leaked.s3()), "InvalidAccessKeyId");
    assert!(scene.works(&old.s3()) && scene.works(&new.s3()));
    let shown = scene.rotation(&old.id);
    assert_eq!(shown["successor"]["access_key_id"], new.id.as_str());
    scene.clock.pass(DAY + 1);
    scene.wait_for_death(&old.id);
    assert_eq!(scene.living(), [new.id]);
}

#[test]
fn a_key_whose_uses_are_not_known_is_not_taken_for_unused() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let old = scene.world.issue("photos", "laptop");
    let new = issued(&scene.rotate(&[&old.id]));
    assert!(scene.works(&new.s3()));
    let status = scene.run(&["status"]).ok();
    let state = status["state_dir"].as_str().unwrap();
    scene.world.daemon.kill();
    for file in std::fs::read_dir(state).unwrap().map(Result::unwrap) {
        if file.file_name().to_string_lossy().starts_with("ledger") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    let start = scene.clock.start();
    scene.world.daemon.restart_as(&scene.world.home, &start);
    for args in [
        ["rotate", &old.id, "--again"],
        ["rotation", &old.id, "--cancel"],
    ] {
        let refused = scene.run(&[&["key"][..], &args[..]].concat());
        let error = refused.exits(REFUSED).error().to_string();
        assert!(error.contains("not known"), "{error}");
    }
    let next = scene.rotation(&old.id)["next"].to_string();
    assert!(
        !next.contains("--again") && !next.contains("--cancel"),
        "{next}"
    );
    assert!(scene.works(&new.s3()) && scene.works(&old.s3()));
    // By either of its keys.
    let why = ["--end", "--reason", "all have moved"];
    scene
        .run(&[&["key", "rotation", &new.id][..], &why[..]].concat())
        .ok();
    assert_eq!(scene.living(), [new.id]);
    let audit = scene.run(&["audit"]).ok()["entries"].to_string();
    assert!(audit.contains("all have moved"), "{audit}");
}

#[test]
fn a_rotation_that_is_called_off_leaves_the_old_key_as_it_was() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "laptop");
    let new = issued(&scene.rotate(&[&old.id]));
    let answer = scene.run(&["key", "rotation", &old.id, "--cancel"]).ok();
    assert_eq!(answer["key"]["state"], "active");
    assert_eq!(scene.refused_as(&new.s3()), "InvalidAccessKeyId");
    assert_eq!(scene.living(), std::slice::from_ref(&old.id));

    let new = issued(&scene.rotate(&[&old.id]));
    assert!(scene.works(&new.s3()));
    let refused = scene.run(&["key", "rotation", &old.id, "--cancel"]);
    let next = refused.exits(REFUSED).error()["next"].to_string();
    assert!(next.contains("--end"), "{next}");
    // Revoked all the same: then the old key must not die as well.
    scene.run(&["key", "revoke", &new.id]).ok();
    assert_eq!(scene.living(), std::slice::from_ref(&old.id));
    scene.clock.pass(DAY * 2);
    assert_eq!(scene.living(), std::slice::from_ref(&old.id));
    scene.clock.pass(0);

    let new = issued(&scene.rotate(&[&old.id]));
    scene.run(&["key", "revoke", &old.id]).ok();
    assert_eq!(scene.living(), [new.id]);
}

#[test]
fn every_key_of_a_connection_is_replaced_and_an_interrupted_run_is_gone_on_with() {
    let Some(scene) = Scene::new() else { return };
    let old: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|label| scene.world.issue("photos", label))
        .collect();
    let retiring = scene.world.issue("photos", "d");
    let successor = issued(&scene.rotate(&[&retiring.id]));
    let answer = scene.rotate(&["--all", "photos", "--now"]);
    assert_eq!(answer["remaining"].as_array().unwrap().len(), 0, "{answer}");
    let new: Vec<_> = answer["rotated"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rotated| rotated["issued"].is_object())
        .map(issued)
        .collect();
    assert_eq!(new.len(), 4, "{answer}");
    assert!(new.iter().all(|key| scene.works(&key.s3())));
    for dead in old.iter().chain([&retiring, &successor]) {
        assert_eq!(scene.refused_as(&dead.s3()), "InvalidAccessKeyId");
    }
    assert_eq!(scene.living().len(), 4);
    // As if it had been interrupted after the second: only keys issued until then are replaced.
    let list = scene.run(&["key", "list", "photos"]).ok();
    let mut issued_at: Vec<_> = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["state"] == "active")
        .map(|key| key["issued_at"].as_str().unwrap())
        .collect();
    issued_at.sort_by_key(|time| time.parse::<jiff::Timestamp>().unwrap());
    let rest = scene.rotate(&["--all", "photos", "--now", "--issued-until", issued_at[1]]);
    assert_eq!(rest["rotated"].as_array().unwrap().len(), 2);
    assert_eq!(new.iter().filter(|key| scene.works(&key.s3())).count(), 2);
    assert_eq!(scene.living().len(), 4);
}

#[test]
fn rotations_end_with_their_connection() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let old = scene.world.issue("photos", "laptop");
    let new = issued(&scene.rotate(&[&old.id]));
    scene.world.delete("photos", &[]).verdict("intact");
    for key in [&old, &new] {
        assert_eq!(scene.refused_as(&key.s3()), "InvalidAccessKeyId");
    }
    scene.clock.pass(DAY * 2);
    scene.restart();
    assert_eq!(scene.refused_as(&old.s3()), "InvalidAccessKeyId");
}

#[test]
fn a_paused_connection_stays_paused_until_it_is_resumed() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let key = scene.world.issue("photos", "laptop");
    let paused = scene.run(&["pause", "photos"]).ok();
    assert!(paused["connection"]["paused_at"].is_string(), "{paused}");
    assert_eq!(scene.refused_as(&key.s3()), "AccessDenied");
    scene.restart();
    assert_eq!(scene.refused_as(&key.s3()), "AccessDenied");
    assert_eq!(
        scene.run(&["pause", "photos"]).ok(),
        paused,
        "twice is once"
    );
    let resumed = scene.run(&["resume", "photos"]).ok();
    assert!(resumed["connection"]["paused_at"].is_null());
    assert!(scene.works(&key.s3()));
    scene.restart();
    assert!(scene.works(&key.s3()));
}

#[test]
fn a_key_that_expires_follows_the_clock_that_is_set_and_a_retiring_one_too() {
    let Some(scene) = Scene::new() else { return };
    let issue = |label: &str| {
        let answer = scene.run(&[
            "key",
            "issue",
            "photos",
            "--label",
            label,
            "--expires",
            "12h",
        ]);
        Issued::of(&answer.ok())
    };
    let state = |id: &str| {
        let shown = scene.run(&["key", "show", id]).ok();
        shown["key"]["state"].as_str().unwrap().to_owned()
    };
    let (old, other) = (issue("laptop"), issue("desktop"));
    let answer = scene.rotate(&[&old.id, "--grace", "6h"]);
    let new = issued(&answer);
    assert!(
        answer["issued"]["key"]["expires_at"].is_string(),
        "inherited"
    );
    // Refusing is reversible, so expiry believes the clock; killing is not, so the grace does not.
    for (jump, expected) in [(DAY, "expired"), (-DAY, "active")] {
        scene.clock.jump(jump);
        assert_eq!(state(&other.id), expected);
        assert_eq!(state(&new.id), expected);
        assert!(scene.living().contains(&old.id));
    }
    scene.clock.pass(0);
    wait::until("the rotation to go on", || {
        scene.rotation(&old.id)["parked"].is_null().then_some(())
    });
    assert!(scene.works(&old.s3()) && scene.works(&new.s3()));
    scene.clock.pass(7 * HOUR);
    scene.wait_for_death(&old.id);
    assert_eq!(state(&new.id), "active");
}

#[test]
fn a_label_that_is_rotated_at_once_again_and_again_gets_one_new_key() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "viewer");
    let first = scene.rotate(&["photos/viewer", "--now"]);
    let new = issued(&first);
    assert_eq!(scene.living(), [&*new.id]);
    for _ in 0..3 {
        let again = scene.rotate(&["photos/viewer", "--now"]);
        assert!(again["issued"].is_null(), "{again}");
        assert_eq!(again["rotation"]["successor"]["access_key_id"], *new.id);
        assert_eq!(scene.living(), [&*new.id]);
    }
    let said = scene
        .world
        .cli()
        .say(&["key", "rotate", "photos/viewer", "--now"]);
    let said = said.exits(0).stderr;
    assert!(said.contains("No new key was made"), "{said}");
    assert!(
        said.contains("if the new key's secret never arrived"),
        "{said}"
    );
    // The secret never arrived: its key is dead, and there is another one.
    let another = issued(&scene.rotate(&["photos/viewer", "--again"]));
    assert_eq!(scene.living(), [&*another.id]);
    assert!(scene.works(&another.s3()));
    // What is used is a key like any other: it can be replaced, and its secret did arrive.
    let refused = scene.run(&["key", "rotate", "photos/viewer", "--again"]);
    assert_eq!(refused.error()["kind"], "REFUSED");
    let third = issued(&scene.rotate(&["photos/viewer", "--now"]));
    assert_eq!(scene.living(), [&*third.id]);
    for dead in [old, new, another] {
        assert_eq!(scene.refused_as(&dead.s3()), "InvalidAccessKeyId");
    }
}

#[test]
fn a_paused_key_that_is_replaced_is_paused_still_and_says_so() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "viewer");
    scene.run(&["key", "pause", &old.id]).ok();
    let said = scene.world.cli().say(&["key", "rotate", &old.id, "--now"]);
    let said = said.exits(0).stderr;
    assert!(said.contains("The new key is paused"), "{said}");
    let new = scene.living().remove(0);
    assert!(
        said.contains(&format!("bascule key resume {new}")),
        "{said}"
    );
    let shown = scene.run(&["key", "show", &new]).ok();
    assert_eq!(shown["key"]["state"], "paused");
}

#[test]
fn a_rotation_that_is_called_off_is_why_its_new_key_is_dead() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "viewer");
    let new = issued(&scene.rotate(&[&old.id]));
    scene.run(&["key", "rotation", &old.id, "--cancel"]).ok();
    let shown = scene.run(&["key", "show", &new.id]).ok();
    assert_eq!(shown["key"]["cause"], "rotation called off");
    let path = format!("/{}/object", scene.bucket);
    let refused = new.s3().call(Method::GET, &path, "").unwrap();
    assert_eq!(refused.code(), "InvalidAccessKeyId");
    assert!(refused.text().contains("called off"), "{}", refused.text());
}

#[test]
fn a_rotation_names_what_leads_to_either_key_here_and_what_could_not_be_looked_at() {
    let Some(scene) = Scene::new() else { return };
    let old = scene.world.issue("photos", "nightly");
    scene.world.rclone_config(&old.rclone_section("gate"));
    scene.run(&["findings", "--look"]).ok();
    let new = issued(&scene.rotate(&[&old.id]));
    let holders = |scene: &Scene| {
        let rotation = scene.rotation(&old.id);
        assert!(rotation["looked_at"].is_string(), "{rotation:#}");
        rotation["holders"].as_array().unwrap().clone()
    };
    let before = holders(&scene);
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before[0]["key"], "old");
    let chain = before[0]["chain"].as_array().unwrap();
    let place = chain.last().unwrap().as_str().unwrap();
    assert!(place.ends_with("rclone.conf:4"), "{place}");
    let said = scene.world.cli().say(&["key", "rotation", &old.id]);
    assert!(said.stdout.contains("gate: (s3)"), "{said}");

    scene.world.rclone_config(&new.rclone_section("gate"));
    wait::until("the configuration to have moved", || {
        let now = holders(&scene);
        (now.len() == 1 && now[0]["key"] == "new").then_some(())
    });

    // Encrypted: what is in it can't be told.
    scene.world.rclone_config("RCLONE_ENCRYPT_V0:\nabc\n");
    wait::until("it to be said", || {
        let not_known = scene.rotation(&old.id)["not_known"].to_string();
        not_known.contains("rclone.conf").then_some(())
    });
    assert_eq!(holders(&scene), Vec::<Value>::new());
}
