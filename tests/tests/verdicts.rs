//! What a verdict says when something happens during a deletion: others change the bucket, an
//! upload is in doubt, the provider goes away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use bascule_tests::{
    Answer, Minio, Recorded, Recorder, Seen, Treat, World,
    cli::{REFUSED, VERDICT_PENDING},
    process::Process,
    wait,
    world::deletions,
};
use http::Method;
use serde_json::Value;

/// A connection that reaches the MinIO through a recorder, to a bucket with 20 objects.
fn recorded(minio: Arc<Minio>, settings: &str) -> (World, Recorder, String) {
    let Recorded {
        world,
        recorder,
        bucket,
    } = Recorded::on(minio, settings).with_objects(20, "object ");
    (world, recorder, bucket)
}

/// Holds what the daemon asks for while a deletion is in a phase.
fn hold_in_phase(world: &World, recorder: &Recorder, phase: &'static str, what: fn(&Seen) -> bool) {
    let cli = world.cli();
    recorder.rule(move |seen| {
        let reached = |found: &[Value]| found.iter().any(|deletion| deletion["phase"] == phase);
        if what(seen) && !seen.may_mutate() && reached(&deletions(&cli)) {
            Treat::Wait
        } else {
            Treat::Pass
        }
    });
}

/// Deletes in a thread, runs `meanwhile` once the second survey is held, and lets it go on.
fn delete_while(world: &World, recorder: &Recorder, meanwhile: impl FnOnce()) -> Answer {
    delete_while_held(world, recorder, |_| true, meanwhile)
}

/// [`delete_while`], with a say in what is held.
fn delete_while_held(
    world: &World,
    recorder: &Recorder,
    what: fn(&Seen) -> bool,
    meanwhile: impl FnOnce(),
) -> Answer {
    hold_in_phase(world, recorder, "revoked", what);
    thread::scope(|scope| {
        let deleting = scope.spawn(|| world.delete("photos", &["--ack", "no-open-transfers"]));
        recorder.wait_until_held(1);
        meanwhile();
        recorder.pass();
        deleting.join().unwrap()
    })
}

fn named(receipt: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let differences = receipt["differences"].as_array().unwrap();
    differences
        .iter()
        .map(|one| (text(&one["key"]), text(&one["kind"])))
        .collect()
}

#[test]
fn what_others_change_meanwhile_is_named() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    let s3 = world.minio.s3();
    let done = delete_while(&world, &recorder, || {
        s3.delete(&bucket, "object 07").unwrap();
    })
    .verdict("changed-by-others");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    assert_eq!(
        named(&receipt),
        [("object 07".to_owned(), "removed".to_owned())]
    );
    assert_eq!(receipt["own_changes"], Value::Array(vec![]));
    assert_eq!(receipt["journal_gap"], Value::Null);
}

#[test]
fn additions_and_replacements_by_others_are_told_apart() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    let s3 = world.minio.s3();
    let done = delete_while(&world, &recorder, || {
        s3.put(&bucket, "object 03", "another").unwrap();
        s3.put(&bucket, "zzz new", "new").unwrap();
    })
    .verdict("changed-by-others");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    let expected = [("object 03", "replaced"), ("zzz new", "added")];
    assert_eq!(
        named(&receipt),
        expected.map(|(key, kind)| (key.to_owned(), kind.to_owned()))
    );
}

#[test]
fn a_sibling_that_changes_something_is_named() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    world.connect_at(
        "sibling",
        &[&bucket],
        &recorder.endpoint(),
        world.minio.credentials(),
    );
    let sibling = world.issue("sibling", "writer").s3();
    let done = delete_while(&world, &recorder, || {
        sibling.delete(&bucket, "object 11").unwrap();
    })
    .verdict("changed-by-others");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    assert_eq!(
        receipt["siblings"],
        serde_json::json!(["sibling"]),
        "{receipt}"
    );
    assert_eq!(
        named(&receipt),
        [("object 11".to_owned(), "removed".to_owned())]
    );
}

#[test]
fn an_upload_cut_after_its_last_frame_is_in_doubt() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "[gateway]\ndrain_seconds = 1\n");
    let s3 = world.issue("photos", "writer").s3();
    // The provider takes the whole upload, and its answer never comes.
    recorder.rule(|seen| {
        if seen.method == Method::PUT {
            Treat::KeepAnswer
        } else {
            Treat::Pass
        }
    });
    let (done, upload) = thread::scope(|scope| {
        let upload = scope.spawn(|| s3.put(&bucket, "doubtful", vec![1; 1 << 20]));
        recorder.wait_until_held(1);
        let done = world.delete("photos", &["--ack", "no-open-transfers"]);
        recorder.pass();
        (done, upload.join().unwrap())
    });
    upload.expect_err("a cut upload must not look complete");
    let done = done.verdict("intact");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    let doubts = receipt["own_changes"].as_array().unwrap();
    assert_eq!(doubts.len(), 1, "{receipt}");
    assert_eq!(doubts[0]["key"], "doubtful");
    assert_eq!(doubts[0]["in_doubt"], true);
    assert_eq!(doubts[0]["action"], "PutObject");
}

#[test]
fn an_upload_cut_before_its_last_frame_leaves_no_object() {
    let Some(minio) = Minio::shared() else { return };
    let (world, _recorder, bucket) = recorded(minio, "");
    let upload = world
        .issue("photos", "writer")
        .s3()
        .upload(&bucket, "half", 8 << 20)
        .unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    world
        .delete("photos", &["--ack", "no-open-transfers"])
        .verdict("intact");
    assert!(upload.finish().map_or(true, |reply| reply.status == 403));
    assert!(
        world
            .minio
            .s3()
            .list(&bucket)
            .unwrap()
            .iter()
            .all(|object| object.key != "half")
    );
}

#[test]
fn a_provider_that_goes_away_leaves_the_verdict_pending_and_it_completes_by_itself() {
    let Some(minio) = Minio::start() else { return };
    let (world, recorder, bucket) = recorded(Arc::new(minio), "");
    let s3 = world.issue("photos", "laptop").s3();
    assert_eq!(s3.get(&bucket, "object 00").unwrap().body, "x");

    let answer = delete_while(&world, &recorder, || world.minio.stop()).exits(VERDICT_PENDING);
    assert!(answer.text().contains("pending"), "{answer}");
    let [deletion] = &world.deletions()[..] else {
        panic!("one deletion")
    };
    assert_eq!(deletion["phase"], "revoked", "{deletion}");
    assert!(deletion["pending"].is_string(), "{deletion}");
    let reply = s3
        .call(Method::GET, &format!("/{bucket}/object 00"), "")
        .unwrap();
    assert_eq!(reply.code(), "InvalidAccessKeyId");
    let id = deletion["id"].as_str().unwrap();
    let late = world.cli().run(&["deletion", "cancel", id]);
    assert_ne!(late.code, Some(0), "what is revoked can't be called off");

    world.minio.start_again();
    let finished = world.wait_for_phase(id, "finished");
    assert_eq!(finished["verdict"], "intact", "{finished}");
    assert_eq!(world.receipt(id)["verdict"], "intact");
}

#[test]
fn a_pending_verdict_survives_a_restart() {
    let Some(minio) = Minio::start() else { return };
    let (mut world, recorder, _bucket) = recorded(Arc::new(minio), "");
    delete_while(&world, &recorder, || world.minio.stop()).exits(VERDICT_PENDING);
    let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
    world.daemon.kill();
    world.daemon.restart(&world.home);
    world.minio.start_again();
    assert_eq!(world.wait_for_phase(&id, "finished")["verdict"], "intact");
}

#[test]
fn whoever_does_not_wait_for_a_pending_verdict_ends_it_unverified() {
    let Some(minio) = Minio::start() else { return };
    let (mut world, recorder, _bucket) = recorded(Arc::new(minio), "");
    delete_while(&world, &recorder, || world.minio.stop()).exits(VERDICT_PENDING);
    let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
    let finish = ["deletion", "finish-unverified", &id];
    // Without a terminal nothing is taken for a yes.
    let refused = world.cli().run(&finish).exits(REFUSED);
    assert!(refused.text().contains("--yes"), "{refused}");
    assert_eq!(world.deletions()[0]["phase"], "revoked");
    let yes = ["--yes", "--reason", "the provider is gone"];
    let ended = world.cli().run(&[&finish[..], &yes].concat());
    let done = ended.verdict("unverifiable");
    assert_eq!(done["phase"], "finished", "{done}");
    let check = |world: &World| {
        let receipt = world.receipt(&id);
        assert_eq!(receipt["verdict"], "unverifiable");
        let reason = receipt["reason"].as_str().unwrap();
        assert!(
            reason.contains("ended by the user before the second survey"),
            "{receipt}"
        );
        assert!(receipt["erased_at"].is_string(), "{receipt}");
        let audit = world.cli().run(&["audit"]).ok();
        let entries = audit["entries"].as_array().unwrap();
        let judged = entries.iter().find(|entry| entry["phase"] == "judged");
        assert!(judged.unwrap()["by"]["pid"].is_number(), "{audit}");
        let keys = world.home.files("state/keys");
        assert!(keys.is_empty(), "{}", keys.len());
    };
    check(&world);
    world.daemon.kill();
    world.daemon.restart(&world.home);
    check(&world);
    // What has ended does not end again.
    let again = world.cli().run(&[&finish[..], &["--yes"]].concat());
    assert!(again.exits(REFUSED).text().contains("already finished"));
}

#[test]
fn manifests_are_kept_when_the_user_leaves_before_the_verdict_and_again_when_it_stands() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    let kept = world.home.path("kept");
    let run = |name: &str, args: &[&str]| {
        let mut command = world.cli().command();
        command.args(args);
        Process::start(command, &world.home.path(name))
    };
    hold_in_phase(&world, &recorder, "revoked", |_| true);
    let folder = ["--keep-manifests", kept.to_str().unwrap()];
    let delete = ["delete", "photos", "--yes", "--ack", "no-open-transfers"];
    let vouch = bascule_tests::cli::IN_USE
        .iter()
        .flat_map(|b| ["--ack", *b]);
    let vouch: Vec<_> = vouch.collect();
    let mut deleting = run("deleting", &[&delete[..], &folder, &vouch].concat());
    recorder.wait_until_held(1);
    let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
    let file = |round: &str| kept.join(format!("{id}.{bucket}.{round}.jsonl"));
    let lines = |round: &str| std::fs::read_to_string(file(round)).map(|text| text.lines().count());

    wait::until("the client to hear of the revocation", || {
        deleting.output().contains("revoked").then_some(())
    });
    deleting.interrupt();
    let left = deleting.wait("the client to leave");
    assert_eq!(left.code(), Some(VERDICT_PENDING), "{}", deleting.output());
    let said = deleting.output();
    assert!(said.contains("manifest written to"), "{said}");
    assert!(said.contains("--watch --keep-manifests"), "{said}");
    assert_eq!(lines("before").unwrap(), 20);
    assert!(!file("after").exists());

    // Taken again it is the same file, and elsewhere another.
    let other = world.home.path("other");
    for folder in [&kept, &other, &other] {
        let folder = folder.to_str().unwrap();
        let taken = world
            .cli()
            .run(&["deletion", "manifests", &id, folder])
            .ok();
        assert_eq!(taken["manifests"].as_array().unwrap().len(), 1, "{taken}");
    }
    let show = ["deletion", "show", &id, "--watch"];
    // The erasure waits for each of two, and no longer than for both.
    let third = world.home.path("third");
    let of_another = ["--keep-manifests", third.to_str().unwrap()];
    let mut watching = [
        run("watching", &[&show[..], &folder].concat()),
        run("also watching", &[&show[..], &of_another].concat()),
    ];
    for watching in &watching {
        wait::until("the client to follow", || {
            watching.output().contains("revoked").then_some(())
        });
    }
    recorder.rule(|_| Treat::Drop);
    for watching in &watching {
        wait::until("the follower to be told what it waits for", || {
            watching.output().contains("waits: ").then_some(())
        });
    }
    recorder.pass();
    for watching in &mut watching {
        let ended = watching.wait("the verdict");
        assert_eq!(ended.code(), Some(0), "{}", watching.output());
    }
    assert_eq!(std::fs::read_dir(&third).unwrap().count(), 2);
    assert_eq!(lines("before").unwrap(), 20);
    assert_eq!(lines("after").unwrap(), 20);
    assert!(world.home.files("state/manifests").is_empty());
    assert!(world.home.files("state/keys").is_empty());
    let late = world
        .cli()
        .run(&["deletion", "manifests", &id, other.to_str().unwrap()]);
    assert!(late.exits(REFUSED).text().contains("erased"));
}

#[test]
fn a_second_survey_that_hangs_can_be_given_up_and_a_first_one_only_called_off() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, _bucket) = recorded(minio, "");
    let held = |phase, then: &dyn Fn(&str)| {
        hold_in_phase(&world, &recorder, phase, |_| true);
        thread::scope(|scope| {
            let deleting = scope.spawn(|| world.delete("photos", &[]));
            recorder.wait_until_held(1);
            let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
            then(&id);
            let answer = deleting.join().unwrap();
            recorder.pass();
            answer
        })
    };
    let finish = |id: &str| {
        world
            .cli()
            .run(&["deletion", "finish-unverified", id, "--yes"])
    };
    held("drained", &|id| {
        let refused = finish(id).exits(REFUSED);
        assert!(refused.text().contains("can still be cancelled"));
        world.cli().run(&["deletion", "cancel", id]).ok();
    })
    .exits(REFUSED);
    held("revoked", &|id| {
        finish(id).verdict("unverifiable");
    })
    .verdict("unverifiable");
    assert!(world.home.files("state/manifests").is_empty());
}

/// One kind of request of each part of a survey.
const ASKED: [&str; 3] = ["list-type=2", "uploads=", "versioning"];

/// Deletes; once a survey in this phase is held, runs `meanwhile`, and then drops what asks for this.
fn delete_while_dropped(
    world: &World,
    recorder: &Recorder,
    (phase, asked): (&'static str, &'static str),
    meanwhile: impl FnOnce(),
) -> (Answer, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    hold_in_phase(world, recorder, phase, |_| true);
    let answer = thread::scope(|scope| {
        let deleting = scope.spawn(|| world.delete("photos", &["--ack", "no-open-transfers"]));
        recorder.wait_until_held(1);
        meanwhile();
        let count = dropped.clone();
        recorder.rule(move |seen| match seen.target.contains(asked) {
            true => {
                count.fetch_add(1, SeqCst);
                Treat::Drop
            }
            false => Treat::Pass,
        });
        deleting.join().unwrap()
    });
    (answer, dropped)
}

#[test]
fn d3_whatever_a_second_survey_fails_to_ask_parks_it_twice_and_makes_no_better_verdict() {
    let Some(minio) = Minio::shared() else { return };
    for asked in ASKED {
        let (world, recorder, bucket) = recorded(minio.clone(), "");
        recorder.forget();
        let (answer, dropped) = delete_while_dropped(&world, &recorder, ("revoked", asked), || {
            world.minio.s3().delete(&bucket, "object 07").unwrap();
        });
        answer.exits(VERDICT_PENDING);
        let first = dropped.load(SeqCst);
        assert!(first > 0, "{asked}");
        wait::until("the next try to fail too", || {
            (dropped.load(SeqCst) > first).then_some(())
        });
        recorder.pass();
        let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
        let finished = world.wait_for_phase(&id, "finished");
        assert_eq!(finished["verdict"], "changed-by-others", "{asked}");
        assert!(recorder.seen().iter().all(|seen| !seen.may_mutate()));
    }
}

#[test]
fn d3_whatever_a_first_survey_fails_to_ask_calls_it_off_and_the_keys_work_as_before() {
    let Some(minio) = Minio::shared() else { return };
    for asked in ASKED {
        let (world, recorder, bucket) = recorded(minio.clone(), "");
        let s3 = world.issue("photos", "laptop").s3();
        for _ in 0..2 {
            let (answer, dropped) =
                delete_while_dropped(&world, &recorder, ("drained", asked), || ());
            answer.exits(REFUSED);
            assert!(dropped.load(SeqCst) > 0, "{asked}");
            recorder.pass();
            assert_eq!(s3.get(&bucket, "object 00").unwrap().body, "x");
            assert!(world.home.files("state/manifests").is_empty());
        }
        world.delete("photos", &[]).verdict("intact");
    }
}

#[test]
fn without_the_provider_a_deletion_needs_the_users_word_and_proves_nothing() {
    let Some(minio) = Minio::start() else { return };
    let (world, _recorder, bucket) = recorded(Arc::new(minio), "");
    let s3 = world.issue("photos", "laptop").s3();
    world.minio.stop();
    let refused = world.delete("photos", &[]).exits(REFUSED);
    assert!(refused.text().contains("survey-complete"), "{refused}");
    let done = world
        .delete("photos", &["--ack", "survey-complete"])
        .verdict("unverifiable");
    assert_eq!(
        (&done["verdict"], &done["phase"]),
        (&"unverifiable".into(), &"finished".into())
    );
    let reply = s3
        .call(Method::GET, &format!("/{bucket}/object 00"), "")
        .unwrap();
    assert_eq!(reply.code(), "InvalidAccessKeyId");
}

#[test]
fn an_emergency_revokes_first_and_says_so() {
    let Some(minio) = Minio::shared() else { return };
    let (world, _recorder, bucket) = recorded(minio, "");
    let s3 = world.issue("photos", "laptop").s3();
    let done = world
        .delete("photos", &["--emergency"])
        .verdict("unverifiable");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    assert_eq!(receipt["emergency"], true);
    assert!(
        receipt["reason"].as_str().unwrap().contains("emergency"),
        "{receipt}"
    );
    let reply = s3
        .call(Method::GET, &format!("/{bucket}/object 00"), "")
        .unwrap();
    assert_eq!(reply.code(), "InvalidAccessKeyId");
}

#[test]
fn a_bucket_that_is_gone_is_missing() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    delete_while(&world, &recorder, || {
        world
            .minio
            .mc(&["rb", "--force", &format!("here/{bucket}")]);
    })
    .verdict("missing");
}

fn make_anew(world: &World, bucket: &str) {
    world
        .minio
        .mc(&["rb", "--force", &format!("here/{bucket}")]);
    let s3 = world.minio.s3();
    s3.make_bucket(bucket).unwrap();
    for number in 0..20 {
        s3.put(bucket, &format!("object {number:02}"), "x").unwrap();
    }
}

#[test]
fn a_bucket_that_was_made_anew_is_missing() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    delete_while(&world, &recorder, || make_anew(&world, &bucket)).verdict("missing");
}

#[test]
fn a_bucket_that_is_made_anew_during_the_second_survey_is_missing() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    delete_while_held(&world, &recorder, Seen::lists_objects, || {
        make_anew(&world, &bucket);
    })
    .verdict("missing");
}

#[test]
fn a_deletion_that_is_called_off_leaves_everything_as_before() {
    let Some(minio) = Minio::shared() else { return };
    let (world, recorder, bucket) = recorded(minio, "");
    let s3 = world.issue("photos", "laptop").s3();
    hold_in_phase(&world, &recorder, "drained", |_| true);
    thread::scope(|scope| {
        let deleting = scope.spawn(|| world.delete("photos", &[]));
        recorder.wait_until_held(1);
        let id = wait::until("the first survey", || {
            let found = world.deletions();
            let drained = found
                .iter()
                .find(|deletion| deletion["phase"] == "drained")?;
            Some(drained["id"].as_str()?.to_owned())
        });
        let paused = s3
            .call(Method::GET, &format!("/{bucket}/object 00"), "")
            .unwrap();
        assert_eq!(
            (paused.status, &*paused.code()),
            (403, "AccessDenied"),
            "paused meanwhile"
        );
        world.cli().run(&["deletion", "cancel", &id]).ok();
        recorder.pass();
        deleting.join().unwrap().exits(REFUSED);
    });
    assert_eq!(s3.get(&bucket, "object 00").unwrap().body, "x");
    assert_eq!(world.deletions()[0]["phase"], "cancelled");
    world.delete("photos", &[]).verdict("intact");
}
