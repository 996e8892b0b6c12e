//! Connections that are not deleted go on as if nothing happened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
};

use anyhow::{Result, ensure};
use bascule_tests::{S3, World, wait};

/// Works in its own corner of a bucket until told to stop. Every request has to succeed.
struct Load<'a> {
    stop: &'a AtomicBool,
    rounds: AtomicUsize,
}

impl<'a> Load<'a> {
    const fn new(stop: &'a AtomicBool) -> Self {
        Self {
            stop,
            rounds: AtomicUsize::new(0),
        }
    }

    fn run(&self, s3: &S3, bucket: &str, corner: &str) -> Result<()> {
        while !self.stop.load(SeqCst) {
            let number = self.rounds.load(SeqCst);
            let (key, body) = (
                format!("{corner}/{}", number % 7),
                format!("round {number}"),
            );
            s3.put(bucket, &key, body.clone())?;
            ensure!(s3.get(bucket, &key)?.body == body, "another body");
            ensure!(!s3.list(bucket)?.is_empty(), "an empty listing");
            s3.delete(bucket, &key)?;
            self.rounds.fetch_add(1, SeqCst);
        }
        Ok(())
    }

    /// Waits until so many further rounds have begun and ended.
    fn wait_for(&self, rounds: usize) {
        let goal = self.rounds.load(SeqCst) + rounds + 1;
        wait::until("the load to go on", || {
            (self.rounds.load(SeqCst) >= goal || self.stop.load(SeqCst)).then_some(())
        });
    }
}

/// Stops the load also when the test panics, so that its threads end.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn siblings_and_connections_with_two_buckets_work_throughout() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (one, two) = (world.minio.bucket(), world.minio.bucket());
    for number in 0..50 {
        world
            .minio
            .s3()
            .put(&one, &format!("kept {number}"), "x")
            .unwrap();
    }
    world.connect("photos", &[&one]);
    world.connect("sibling", &[&one]);
    world.connect("both", &[&one, &two]);
    let doomed = world.issue("photos", "doomed").s3();
    let (sibling, both) = (
        world.issue("sibling", "s").s3(),
        world.issue("both", "b").s3(),
    );

    let stop = AtomicBool::new(false);
    let loads = [(); 3].map(|()| Load::new(&stop));
    let (deleted, worked) = thread::scope(|scope| {
        let guard = StopOnDrop(&stop);
        let threads = [
            scope.spawn(|| loads[0].run(&sibling, &one, "sibling")),
            scope.spawn(|| loads[1].run(&both, &one, "both")),
            scope.spawn(|| loads[2].run(&both, &two, "both")),
        ];
        for load in &loads {
            load.wait_for(1);
        }
        let deleted = world.delete("photos", &[]);
        for load in &loads {
            load.wait_for(2);
        }
        drop(guard);
        (deleted, threads.map(|thread| thread.join().unwrap()))
    });
    for outcome in worked {
        outcome.expect("every request of the others succeeds");
    }
    // What the siblings left or took between the surveys is theirs, never ours.
    let verdict = deleted.json["deletion"]["verdict"]
        .as_str()
        .unwrap_or_default();
    assert!(
        ["intact", "changed-by-others"].contains(&verdict),
        "{deleted}"
    );
    assert!(doomed.get(&one, "kept 0").is_err());

    assert!(world.daemon.stop().success());
    world.daemon.restart(&world.home);
    assert_eq!(sibling.get(&one, "kept 0").unwrap().body, "x");
    assert_eq!(both.get(&one, "kept 49").unwrap().body, "x");
    both.put(&two, "after", "x").unwrap();
}

#[test]
fn buckets_of_one_name_at_two_servers_live_side_by_side() {
    let Some(world) = World::new() else { return };
    let Some(second) = bascule_tests::Minio::start() else {
        return;
    };
    let bucket = world.minio.bucket();
    second.s3().make_bucket(&bucket).unwrap();
    world.minio.s3().put(&bucket, "where", "first").unwrap();
    second.s3().put(&bucket, "where", "second").unwrap();
    world.connect("first", &[&bucket]);
    world.connect_at(
        "second",
        &[&bucket],
        &second.endpoint(),
        second.credentials(),
    );
    let (first, other) = (
        world.issue("first", "k").s3(),
        world.issue("second", "k").s3(),
    );
    assert_eq!(first.get(&bucket, "where").unwrap().body, "first");
    assert_eq!(other.get(&bucket, "where").unwrap().body, "second");
    world.delete("first", &[]).verdict("intact");
    assert!(first.get(&bucket, "where").is_err());
    assert_eq!(other.get(&bucket, "where").unwrap().body, "second");
}

#[test]
fn the_providers_credentials_are_swapped_under_load_without_one_failed_request() {
    let Some(world) = World::new() else { return };
    let (Some(old), Some(new)) = (world.minio.user(), world.minio.user()) else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&old.0, &old.1),
    );
    let key = world.issue("photos", "worker").s3();

    let stop = AtomicBool::new(false);
    let loads = [(); 4].map(|()| Load::new(&stop));
    let worked = thread::scope(|scope| {
        let guard = StopOnDrop(&stop);
        let threads = [0, 1, 2, 3].map(|n| {
            let (load, key, bucket) = (&loads[n], &key, &bucket);
            scope.spawn(move || load.run(key, bucket, &format!("corner {n}")))
        });
        loads.iter().for_each(|load| load.wait_for(3));
        let swapped = world.cli().run_with(
            &["credentials", "photos", "--credentials-stdin"],
            &format!("{}\n{}\n", new.0, new.1),
        );
        // What was signed with the old credentials has ended once each has gone round again.
        loads.iter().for_each(|load| load.wait_for(2));
        swapped.ok();
        world.minio.disable(&old.0);
        loads.iter().for_each(|load| load.wait_for(5));
        drop(guard);
        threads.map(|thread| thread.join().unwrap())
    });
    for outcome in worked {
        outcome.expect("every request succeeds");
    }
    let shown = world.cli().run(&["show", "photos"]).ok();
    assert_eq!(shown["connection"]["credentials_generation"], 2, "{shown}");
}

#[test]
fn credentials_that_do_not_work_are_refused_and_the_old_ones_stay() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "worker").s3();
    let wrong = format!("{}\nnot-the-secret-at-all\n", world.minio.credentials().0);
    let refused = world
        .cli()
        .run_with(&["credentials", "photos", "--credentials-stdin"], &wrong);
    assert_ne!(refused.code, Some(0), "{refused}");
    assert!(!refused.text().contains("not-the-secret"), "{refused}");
    assert_eq!(key.get(&bucket, "kept").unwrap().body, "x");
}

#[test]
fn a_renamed_connection_keeps_its_keys() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "worker").s3();
    world.cli().run(&["rename", "photos", "pictures"]).ok();
    assert_eq!(key.get(&bucket, "kept").unwrap().body, "x");
    assert_eq!(
        world.cli().run(&["show", "pictures"]).ok()["connection"]["name"],
        "pictures"
    );
}
