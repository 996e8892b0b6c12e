//! kill -9 at every step of a rotation. The steps are enumerated from the type: one that is added
//! is tested without anybody thinking of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_domain::rotation::Step;
use bascule_tests::{Clock, Home, Issued, Minio, World};
use http::Method;
use serde_json::Value;

const DAY: i64 = 24 * 3_600;

struct Scene {
    world: World,
    clock: Clock,
    bucket: String,
    old: Issued,
}

impl Scene {
    fn new(minio: std::sync::Arc<Minio>) -> Self {
        let home = Home::new();
        let clock = Clock::new(&home);
        let daemon = clock.start().run(&home);
        let world = World {
            daemon,
            home,
            minio,
        };
        let bucket = world.minio.bucket();
        world.minio.s3().put(&bucket, "object", "x").unwrap();
        world.connect("photos", &[&bucket]);
        let old = world.issue("photos", "laptop");
        Self {
            world,
            clock,
            bucket,
            old,
        }
    }

    fn run(&self, args: &[&str]) -> bascule_tests::Answer {
        self.world.cli().run(args)
    }

    fn living(&self) -> Vec<Value> {
        let list = self.run(&["key", "list", "photos"]).ok();
        let keys = list["keys"].as_array().unwrap().iter();
        keys.filter(|key| key["state"] != "dead").cloned().collect()
    }

    fn status(&self, key: &Issued) -> u16 {
        let path = format!("/{}/object", self.bucket);
        key.s3().call(Method::GET, &path, "").unwrap().status
    }

    /// What stands before the step, without it.
    fn lead_up_to(&self, step: Step) {
        match step {
            Step::Begun | Step::AtOnce => {}
            Step::Replaced
            | Step::Retimed
            | Step::Parked
            | Step::Rebooted
            | Step::Ended
            | Step::CalledOff => {
                self.run(&["key", "rotate", &self.old.id]).ok();
            }
            Step::WentOn => {
                self.run(&["key", "rotate", &self.old.id]).ok();
                self.clock.jump(DAY);
                bascule_tests::wait::until("the rotation to be parked", || {
                    let shown = self.run(&["key", "rotation", &self.old.id]).ok();
                    shown["rotation"]["parked"].as_str().map(drop)
                });
            }
        }
    }

    /// Takes the step, which the daemon does not survive.
    fn take(&mut self, step: Step, crash: &str) {
        self.world.daemon.stop();
        let start = self.clock.start().crash(crash);
        if step == Step::Rebooted {
            self.clock.set(DAY, 0, 1);
            let gateway = self.world.daemon.gateway_address().to_owned();
            let mut process = start.gateway(&gateway).spawn(&self.world.home);
            let status = process.wait("the daemon to kill itself");
            assert!(bascule_tests::process::was_killed(status), "{status}");
            return;
        }
        self.world.daemon.restart_as(&self.world.home, &start);
        let id = self.old.id.clone();
        match step {
            Step::Begun => drop(self.run(&["key", "rotate", &id])),
            Step::AtOnce => drop(self.run(&["key", "rotate", &id, "--now"])),
            Step::Replaced => drop(self.run(&["key", "rotate", &id, "--again"])),
            Step::Retimed => drop(self.run(&["key", "rotate", &id, "--grace", "1h"])),
            Step::CalledOff => drop(self.run(&["key", "rotation", &id, "--cancel"])),
            Step::Parked => self.clock.jump(-DAY),
            Step::WentOn => self.clock.pass(0),
            Step::Ended => self.clock.pass(DAY + 1),
            Step::Rebooted => {}
        }
        self.world.daemon.wait_for_crash();
    }
}

fn check(minio: &std::sync::Arc<Minio>, step: Step, side: &str) {
    let mut scene = Scene::new(std::sync::Arc::clone(minio));
    scene.lead_up_to(step);
    scene.take(step, &format!("{side}:{}", step.as_str()));
    // Nothing is due while it is looked at.
    scene.clock.pass(0);
    let start = scene.clock.start();
    scene.world.daemon.restart_as(&scene.world.home, &start);

    let context = format!("{side} {}", step.as_str());
    let living = scene.living();
    let state = |key: &Value| key["state"].as_str().unwrap().to_owned();
    let mut states: Vec<_> = living.iter().map(state).collect();
    states.sort();
    match &states[..] {
        [one] => assert_eq!(one, "active", "{context}"),
        [active, retiring] => {
            assert_eq!(
                (&**active, &**retiring),
                ("active", "retiring"),
                "{context}"
            );
            // The two are tied to an end.
            let shown = scene.run(&["key", "rotation", &scene.old.id]).ok();
            assert!(
                shown["rotation"]["deadline"].is_string(),
                "{context}: {shown}"
            );
        }
        other => panic!("{context}: {other:?}"),
    }
    let old_lives = living
        .iter()
        .any(|key| key["access_key_id"] == scene.old.id.as_str());
    assert_eq!(scene.status(&scene.old) == 200, old_lives, "{context}");
    let dead_by_then = matches!(step, Step::AtOnce | Step::Ended) && side == "after";
    assert_eq!(old_lives, !dead_by_then, "{context}");

    // Whatever the user was told or not: asked again, it comes to its end, with one working key.
    let again = scene
        .run(&["key", "rotate", &scene.old.id, "--again", "--now"])
        .ok();
    let new = Issued::of(&again["issued"]);
    assert_eq!(scene.status(&new), 200, "{context}");
    assert_eq!(scene.status(&scene.old), 403, "{context}");
    assert_eq!(scene.living().len(), 1, "{context}");

    // No later start brings a key back.
    scene.world.daemon.kill();
    scene.world.daemon.restart_as(&scene.world.home, &start);
    assert_eq!(scene.status(&scene.old), 403, "{context}");
    assert_eq!(scene.status(&new), 200, "{context}");
    assert_eq!(scene.living().len(), 1, "{context}");
}

fn check_every_step(side: &str) {
    let Some(minio) = Minio::shared() else { return };
    for step in Step::ALL {
        check(&minio, step, side);
    }
}

#[test]
fn a_rotation_is_whole_after_a_kill_right_before_any_journal_write() {
    check_every_step("before");
}

#[test]
fn a_rotation_is_whole_after_a_kill_right_after_any_journal_write() {
    check_every_step("after");
}
