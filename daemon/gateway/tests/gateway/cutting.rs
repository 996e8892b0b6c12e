//! Revocations and pauses while requests run.

use std::{sync::Arc, time::Duration};

use bascule_domain::operation::Action;
use bascule_gateway::{Outcome, UpstreamErrorKind};
use tokio::{io::AsyncReadExt, sync::Notify};

use crate::harness::{CONNECTION, PATIENCE, Script, World, access, wait};

#[tokio::test]
async fn c2_a_kept_connection_is_refused_on_its_next_request() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let wire = world.ask("GET", "/photos/a").wire(&world);
    client.write(&wire).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    world.idle().await;
    world.revoke();
    client.write(&wire).await;
    assert_eq!(
        client.reply(false).await.unwrap().code(),
        "InvalidAccessKeyId"
    );
    assert_eq!(world.provider.requests(), 1);
}

#[tokio::test]
async fn c3_a_download_in_flight_is_cut() {
    let world = World::new().await;
    let (mut client, send) = world.downloading(1_000_000).await;
    world.revoke();
    assert!(
        client.ends().await,
        "the client saw the end, short of the announced length"
    );
    // The provider's half is gone too.
    send.closed().await;
    world.idle().await;
}

#[tokio::test]
async fn c3_a_download_whose_client_does_not_read_is_cut_too() {
    let world = World::new().await;
    let (mut client, send) = world.downloading(1_000_000_000).await;
    // Fill every buffer on the way, until nothing moves any more.
    let piece = bytes::Bytes::from(vec![0; 1 << 20]);
    while tokio::time::timeout(Duration::from_millis(300), send.send(piece.clone()))
        .await
        .is_ok()
    {}
    world.revoke();
    tokio::time::timeout(PATIENCE, send.closed())
        .await
        .expect("the provider's half ended");
    world.idle().await;
    let mut scratch = vec![0; 1 << 16];
    let end = loop {
        match client.stream.read(&mut scratch).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(
        end,
        Some(std::io::ErrorKind::ConnectionReset),
        "a cut is an error, not an end"
    );
}

#[tokio::test]
async fn c3_an_upload_cut_before_its_last_frame_leaves_no_object() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/photos/a").body(vec![0; 100_000]);
    client.write(&ask.head(&world)).await;
    client.write(&ask.body[..50_000]).await;
    wait(|| {
        world
            .provider
            .received
            .load(std::sync::atomic::Ordering::SeqCst)
            == 50_000
    })
    .await;
    let in_doubt = world
        .keyring
        .cut_and_drain(CONNECTION, PATIENCE)
        .await
        .unwrap();
    assert_eq!(in_doubt, []);
    assert_eq!(world.keyring.open_requests(), 0);
    assert!(!world.provider.only().complete);
    assert!(client.ends().await);
    assert_eq!(
        world.meter.exchanges.lock().unwrap().last().unwrap().1,
        Outcome::Aborted
    );
}

#[tokio::test]
async fn an_upload_cut_after_its_last_frame_is_awaited() {
    let world = World::new().await;
    let hold = Arc::new(Notify::new());
    world.provider.script(Script {
        hold: Some(Arc::clone(&hold)),
        ..Script::new(200, "")
    });
    let mut client = world.dial().await;
    client
        .write(&world.ask("PUT", "/photos/a").body("whole").wire(&world))
        .await;
    wait(|| world.provider.seen().len() == 1).await;
    let drain = {
        let keyring = Arc::clone(&world.keyring);
        tokio::spawn(async move { keyring.cut_and_drain(CONNECTION, PATIENCE).await.unwrap() })
    };
    assert!(client.ends().await, "the client is cut at once");
    assert_eq!(
        world.keyring.open_requests(),
        1,
        "the provider is still at it"
    );
    hold.notify_one();
    assert_eq!(drain.await.unwrap(), []);
    assert!(world.provider.only().complete);
    assert_eq!(
        world.meter.exchanges.lock().unwrap().last().unwrap().1,
        Outcome::Answered
    );
}

#[tokio::test]
async fn a_change_without_an_answer_is_in_doubt() {
    let world = World::new().await;
    world.provider.script(Script {
        fails: Some(UpstreamErrorKind::Broken),
        ..Script::new(0, "")
    });
    assert_eq!(
        world
            .send(&world.ask("DELETE", "/photos/broken"))
            .await
            .status,
        503
    );
    let hold = Arc::new(Notify::new());
    world.provider.script(Script {
        hold: Some(hold),
        ..Script::new(200, "")
    });
    let mut client = world.dial().await;
    client
        .write(&world.ask("PUT", "/photos/slow").body("whole").wire(&world))
        .await;
    wait(|| world.provider.seen().len() == 2).await;
    let mut in_doubt = world
        .keyring
        .cut_and_drain(CONNECTION, Duration::ZERO)
        .await
        .unwrap();
    in_doubt.sort_by_key(|change| change.key.clone());
    let named: Vec<_> = in_doubt
        .iter()
        .map(|c| (c.action, c.key.as_ref().unwrap().as_str()))
        .collect();
    assert_eq!(
        named,
        [
            (Action::DeleteObject, "broken"),
            (Action::PutObject, "slow")
        ]
    );
}

#[tokio::test]
async fn a_provider_that_was_never_reached_leaves_no_doubt() {
    let world = World::new().await;
    world.provider.script(Script {
        fails: Some(UpstreamErrorKind::Unreachable),
        ..Script::new(0, "")
    });
    assert_eq!(
        world.send(&world.ask("DELETE", "/photos/a")).await.status,
        503
    );
    assert_eq!(
        world
            .keyring
            .cut_and_drain(CONNECTION, PATIENCE)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_client_that_leaves_after_the_last_frame_aborts_nothing() {
    let world = World::new().await;
    let hold = Arc::new(Notify::new());
    world.provider.script(Script {
        hold: Some(Arc::clone(&hold)),
        ..Script::new(200, "")
    });
    let mut client = world.dial().await;
    client
        .write(&world.ask("PUT", "/photos/a").body("whole").wire(&world))
        .await;
    wait(|| world.provider.seen().len() == 1).await;
    drop(client);
    hold.notify_one();
    world.idle().await;
    assert_eq!(
        world.meter.exchanges.lock().unwrap().last().unwrap().1,
        Outcome::Answered
    );
}

#[tokio::test]
async fn c5_a_revocation_between_lookup_and_signing_wins() {
    let world = World::new().await;
    let keyring = Arc::clone(&world.keyring);
    let id = world.credentials.access_key_id.clone();
    world.bury();
    // The clock is asked once to verify, and once more right before signing.
    *world.clock.hook.lock().unwrap() =
        Some((1, Box::new(move || assert!(keyring.remove_key(&id)))));
    let mut client = world.dial().await;
    client
        .write(&world.ask("PUT", "/photos/a").body("x").wire(&world))
        .await;
    if let Some(reply) = client.reply(false).await {
        assert_eq!(reply.code(), "InvalidAccessKeyId");
    }
    assert!(
        world
            .keyring
            .key(&world.credentials.access_key_id)
            .is_none(),
        "the hook ran"
    );
    assert_eq!(world.provider.requests(), 0);
    world.idle().await;
}

#[tokio::test]
async fn credentials_are_swapped_under_load_without_a_failed_request() {
    let world = Arc::new(World::new().await);
    let stop = tokio_util::sync::CancellationToken::new();
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (world, stop) = (Arc::clone(&world), stop.clone());
            tokio::spawn(async move {
                let mut client = world.dial().await;
                let wire = world.ask("PUT", "/photos/a").body("x").wire(&world);
                while !stop.is_cancelled() {
                    client.write(&wire).await;
                    assert_eq!(client.reply(false).await.unwrap().status, 200);
                }
            })
        })
        .collect();
    for generation in 2..30 {
        let before = world.provider.requests();
        world
            .keyring
            .swap_credentials(CONNECTION, access("OTHERKEY", generation))
            .unwrap();
        wait(|| world.provider.requests() > before + 4).await;
    }
    stop.cancel();
    for client in load {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_removed_connection_takes_its_keys_along() {
    let world = World::new().await;
    world.bury();
    assert!(world.keyring.remove_connection(CONNECTION));
    assert_eq!(
        world.send(&world.ask("GET", "/photos/a")).await.code(),
        "InvalidAccessKeyId"
    );
    assert_eq!(world.provider.requests(), 0);
    assert!(!world.keyring.remove_connection(CONNECTION));
}
