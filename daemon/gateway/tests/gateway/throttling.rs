//! Limits on a connection's requests and bandwidth.

use std::{num::NonZeroU32, sync::atomic::Ordering, time::Duration};

use bascule_domain::limits::Limits;
use tokio::sync::mpsc;

use crate::harness::{CONNECTION, PATIENCE, Script, World, wait};

fn requests(number: u32) -> Limits {
    Limits {
        requests: NonZeroU32::new(number),
        bandwidth: None,
    }
}

fn bandwidth(bytes: u64) -> Limits {
    Limits {
        requests: None,
        bandwidth: Some(bytes.try_into().unwrap()),
    }
}

/// An answer that goes on until the sender is dropped.
fn endless(world: &World) -> mpsc::Sender<bytes::Bytes> {
    let (send, receive) = mpsc::channel(1);
    world.provider.script(
        Script {
            stream: Some(receive),
            ..Script::new(200, "begin")
        }
        .header("content-length", "1000000000"),
    );
    send
}

#[tokio::test]
async fn a_request_over_the_limit_is_told_to_slow_down_and_the_provider_is_not_asked() {
    let world = World::new().await;
    world.keyring.limit(CONNECTION, requests(1)).unwrap();
    let send = endless(&world);
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply_head().await.unwrap().status, 200);
    let reply = world.send(&world.ask("GET", "/photos/b")).await;
    assert_eq!((reply.status, &*reply.code()), (503, "SlowDown"));
    let id = reply.header("x-amz-request-id").unwrap();
    assert!(id.starts_with("CONNECTION-BUSY-"), "{id}");
    assert!(
        reply.text().contains("as its limit allows, 1;"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.header("x-amz-id-2"), Some("run: bascule limit vault"));
    assert_eq!(world.provider.requests(), 1);
    // Lifted, and the next one passes at once.
    world.keyring.limit(CONNECTION, Limits::default()).unwrap();
    assert_eq!(world.send(&world.ask("GET", "/photos/b")).await.status, 200);
    world.keyring.limit(CONNECTION, requests(1)).unwrap();
    drop((client, send));
    world.idle().await;
    assert_eq!(world.send(&world.ask("GET", "/photos/b")).await.status, 200);
}

#[tokio::test]
async fn a_limit_never_hides_that_a_connection_is_paused() {
    let world = World::new().await;
    world.keyring.limit(CONNECTION, requests(1)).unwrap();
    world
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    let reply = world.send(&world.ask("GET", "/photos/b")).await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn bodies_arrive_whole_under_a_limit_in_both_directions() {
    let world = World::new().await;
    world.keyring.limit(CONNECTION, bandwidth(4 << 20)).unwrap();
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    world.provider.script(Script::new(200, ""));
    let put = world.ask("PUT", "/photos/a").body(body.clone());
    assert_eq!(world.send(&put).await.status, 200);
    assert_eq!(world.provider.only().body, body);
    let length = body.len().to_string();
    let script = Script::new(200, body.clone()).header("content-length", length);
    world.provider.script(script);
    let reply = world.send(&world.ask("GET", "/photos/a")).await;
    assert_eq!((reply.status, reply.body == body), (200, true));
}

#[tokio::test]
async fn an_upload_that_waits_for_bandwidth_is_cut_at_once_and_leaves_no_object() {
    let world = World::new().await;
    world.keyring.limit(CONNECTION, bandwidth(1024)).unwrap();
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/photos/a").body(vec![0; 60_000]);
    client.write(&ask.wire(&world)).await;
    wait(|| world.provider.received.load(Ordering::SeqCst) > 0).await;
    let in_doubt = world
        .keyring
        .cut_and_drain(CONNECTION, PATIENCE)
        .await
        .unwrap();
    assert_eq!(in_doubt, []);
    let seen = world.provider.only();
    assert!(!seen.complete && seen.body.len() < 60_000);
    assert!(client.ends().await);
}

#[tokio::test]
async fn a_download_that_waits_for_bandwidth_is_cut_at_once() {
    let world = World::new().await;
    world.keyring.limit(CONNECTION, bandwidth(1024)).unwrap();
    let send = endless(&world);
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply_head().await.unwrap().status, 200);
    send.send(vec![0; 1 << 20].into()).await.unwrap();
    // Minutes of waiting lie ahead of it.
    world.revoke();
    tokio::time::timeout(PATIENCE, send.closed()).await.unwrap();
    assert!(client.ends().await);
    world.idle().await;
}

#[tokio::test]
async fn a_limit_is_in_force_for_streams_that_run_and_lifted_for_those_that_wait() {
    let world = World::new().await;
    let send = endless(&world);
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply_head().await.unwrap().status, 200);
    assert_eq!(client.take(5).await.unwrap(), b"begin");
    world.keyring.limit(CONNECTION, bandwidth(1024)).unwrap();
    let large = bytes::Bytes::from(vec![1; 1 << 20]);
    send.send(large.clone()).await.unwrap();
    // The whole would take seventeen minutes.
    let early = tokio::time::timeout(Duration::from_millis(500), client.take(large.len()));
    assert!(early.await.is_err(), "the limit holds a running stream");
    world.keyring.limit(CONNECTION, Limits::default()).unwrap();
    assert_eq!(client.take(large.len()).await.unwrap(), large);
}
