//! kill -9 at every transition of a deletion's journal. The transitions are enumerated from the
//! type: one that is added is tested without anybody thinking of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::thread;

use bascule_domain::deletion::Phase;
use bascule_tests::{
    Answer, Daemon, Home, Issued, Minio, Recorder, S3, Treat, World, cli::VERDICT_PENDING,
    daemon::Start, wait,
};
use http::Method;

/// When the daemon dies, seen from the write that reaches a phase.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Before,
    After,
}

/// A connection that is to be deleted, and two that have to go on.
struct Scene {
    world: World,
    recorder: Recorder,
    buckets: [String; 2],
    doomed: S3,
    others: [Issued; 2],
}

impl Scene {
    fn new(minio: std::sync::Arc<Minio>) -> Self {
        let home = Home::new();
        let daemon = Daemon::start(&home);
        let world = World {
            daemon,
            home,
            minio,
        };
        let buckets = [world.minio.bucket(), world.minio.bucket()];
        let s3 = world.minio.s3();
        for bucket in &buckets {
            for number in 0..5 {
                s3.put(bucket, &format!("object {number}"), "x").unwrap();
            }
        }
        let recorder = Recorder::start(&world.minio.address());
        let root = world.minio.credentials();
        world.connect_at("photos", &[&buckets[0]], &recorder.endpoint(), root);
        world.connect("sibling", &[&buckets[0]]);
        world.connect("both", &[&buckets[0], &buckets[1]]);
        let doomed = world.issue("photos", "laptop").s3();
        let others = [
            world.issue("sibling", "other"),
            world.issue("both", "other"),
        ];
        Self {
            world,
            recorder,
            buckets,
            doomed,
            others,
        }
    }

    fn doomed_status(&self) -> u16 {
        let path = format!("/{}/object 0", self.buckets[0]);
        self.doomed.call(Method::GET, &path, "").unwrap().status
    }

    fn check_the_others(&self) {
        for other in &self.others {
            assert_eq!(
                other.s3().get(&self.buckets[0], "object 0").unwrap().body,
                "x"
            );
        }
        assert_eq!(
            self.others[1]
                .s3()
                .get(&self.buckets[1], "object 4")
                .unwrap()
                .body,
            "x"
        );
    }

    /// Starts a deletion that the daemon does not survive, and returns what the user was told.
    fn delete_and_crash(&mut self, phase: Phase) -> Answer {
        let Self {
            world, recorder, ..
        } = self;
        if phase == Phase::Cancelled {
            // Held in its first survey, so that there is time to call it off.
            recorder.rule(|seen| {
                if seen.lists_objects() {
                    Treat::Wait
                } else {
                    Treat::Pass
                }
            });
        }
        let World { daemon, home, .. } = world;
        let home = &*home;
        thread::scope(|scope| {
            let cli = bascule_tests::Cli::new(home);
            let mut more = vec!["--ack", "no-open-transfers", "--ack", "survey-complete"];
            if phase == Phase::Listening {
                more.extend(["--scream", "1s"]);
            }
            let deleting = cli.clone();
            let told = scope.spawn(move || deleting.delete("photos", &more));
            if phase == Phase::Cancelled {
                let id = wait::until("the deletion to be under way", || {
                    let found = bascule_tests::world::deletions(&cli);
                    let drained = found.iter().find(|d| d["phase"] == "drained")?;
                    Some(drained["id"].as_str()?.to_owned())
                });
                cli.run(&["deletion", "cancel", &id]);
            }
            daemon.wait_for_crash();
            recorder.pass();
            told.join().unwrap()
        })
    }
}

/// Kills the daemon at one transition, starts it again, and checks what must hold.
fn check(minio: &std::sync::Arc<Minio>, phase: Phase, side: Side) {
    let mut scene = Scene::new(std::sync::Arc::clone(minio));
    let before = scene.world.minio.s3().list(&scene.buckets[0]).unwrap();
    let side_name = if side == Side::Before {
        "before"
    } else {
        "after"
    };
    scene.world.daemon.stop();
    let crashing = Start::new().crash(&format!("{side_name}:{}", phase.as_str()));
    scene.world.daemon.restart_as(&scene.world.home, &crashing);
    scene.check_the_others();
    assert_eq!(scene.doomed_status(), 200);
    scene.recorder.forget();

    let told = scene.delete_and_crash(phase);
    scene.world.daemon.restart(&scene.world.home);
    if matches!(told.code, Some(0 | VERDICT_PENDING)) {
        assert_eq!(
            scene.doomed_status(),
            403,
            "the user was told that the keys are dead: {told}"
        );
    }
    scene.check_the_others();

    let journalled = scene.world.deletions();
    if matches!(phase, Phase::Listening | Phase::Requested) && side == Side::Before {
        // Nothing was durable: everything is as it was, and the user can ask again.
        assert!(journalled.is_empty(), "{journalled:?}");
        assert_eq!(scene.doomed_status(), 200);
        scene.world.delete("photos", &[]).verdict("intact");
    } else {
        let [deletion] = &journalled[..] else {
            panic!("one deletion, not {journalled:?}")
        };
        let id = deletion["id"].as_str().unwrap().to_owned();
        if phase.keys_are_dead() && side == Side::After {
            assert_eq!(scene.doomed_status(), 403, "dead from the first moment on");
        }
        if (phase, side) == (Phase::Cancelled, Side::After) {
            assert_eq!(deletion["phase"], "cancelled");
            assert_eq!(scene.doomed_status(), 200, "everything is as before");
            scene.world.delete("photos", &[]).verdict("intact");
        } else {
            let finished = scene.world.wait_for_phase(&id, "finished");
            assert_eq!(finished["verdict"], "intact", "{finished}");
            assert_eq!(scene.world.receipt(&id)["verdict"], "intact");
        }
    }
    assert_eq!(scene.doomed_status(), 403);
    scene.check_the_others();
    let mutating: Vec<_> = scene
        .recorder
        .seen()
        .into_iter()
        .filter(|s| s.may_mutate())
        .collect();
    assert!(
        mutating.is_empty(),
        "the daemon changed something: {mutating:?}"
    );
    assert_eq!(
        scene.world.minio.s3().list(&scene.buckets[0]).unwrap(),
        before
    );

    // No later start brings a key back, and nothing is left to do.
    scene.world.daemon.kill();
    scene.world.daemon.restart(&scene.world.home);
    assert_eq!(scene.doomed_status(), 403);
    let names = scene.world.cli().run(&["list"]).ok();
    assert_eq!(names["connections"].as_array().unwrap().len(), 2, "{names}");
    assert!(
        scene
            .world
            .deletions()
            .iter()
            .all(|d| d["phase"] == "finished" || d["phase"] == "cancelled")
    );
}

fn check_every_phase(side: Side) {
    let Some(minio) = Minio::shared() else { return };
    for phase in Phase::ALL {
        check(&minio, phase, side);
    }
}

#[test]
fn d3_a_deletion_finishes_after_a_kill_right_before_any_journal_write() {
    check_every_phase(Side::Before);
}

#[test]
fn d3_a_deletion_finishes_after_a_kill_right_after_any_journal_write() {
    check_every_phase(Side::After);
}

#[test]
fn d3_a_deletion_survives_being_killed_again_and_again() {
    let Some(minio) = Minio::shared() else { return };
    let mut scene = Scene::new(minio);
    scene.world.daemon.stop();
    scene
        .world
        .daemon
        .restart_as(&scene.world.home, &Start::new().crash("after:requested"));
    scene.delete_and_crash(Phase::Requested);
    for phase in [
        Phase::Drained,
        Phase::Surveyed,
        Phase::Revoked,
        Phase::Judged,
    ] {
        // It may die before it answers, so nothing is waited for but its end.
        let start = Start::new().crash(&format!("after:{}", phase.as_str()));
        let start = start.gateway(scene.world.daemon.gateway_address());
        let mut process = start.spawn(&scene.world.home);
        let status = process.wait("the daemon to kill itself");
        assert!(
            bascule_tests::process::was_killed(status),
            "{}: {status}",
            phase.as_str()
        );
    }
    scene.world.daemon.restart(&scene.world.home);
    let id = scene.world.deletions()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        scene.world.wait_for_phase(&id, "finished")["verdict"],
        "intact"
    );
    assert_eq!(scene.doomed_status(), 403);
    scene.check_the_others();
}
