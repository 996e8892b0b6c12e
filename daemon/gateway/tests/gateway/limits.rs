//! Bounds and the manners of HTTP.

use std::time::Duration;

use bascule_domain::key::Permission;
use bascule_gateway::Settings;
use bascule_sigv4::Payload;

use crate::harness::{World, key, wait};

#[tokio::test]
async fn h1_a_slow_head_is_closed_on_its_deadline() {
    let settings = Settings {
        header_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let mut client = world.dial().await;
    client.write(b"GET /photos/a HTTP/1.1\r\nhost: x\r\n").await;
    assert!(
        client.ends().await,
        "hyper's timeout is inert without a timer"
    );
}

#[tokio::test]
async fn h3_an_endless_head_is_refused() {
    let world = World::new().await;
    let mut client = world.dial().await;
    client.write(b"GET / HTTP/1.1\r\nx: ").await;
    client.write(&vec![b'a'; 256 * 1024]).await;
    let reply = client.reply_head().await.unwrap();
    assert_eq!(reply.status, 431);
}

#[tokio::test]
async fn r38_a_permit_comes_before_100_continue() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let denied = world
        .ask("PUT", "/secrets/a")
        .announce(5)
        .payload(Payload::Unsigned)
        .unsigned("expect", "100-continue");
    client.write(&denied.head(&world)).await;
    assert_eq!(client.reply(false).await.unwrap().status, 403, "not 100");

    let mut client = world.dial().await;
    let allowed = world
        .ask("PUT", "/photos/a")
        .announce(5)
        .payload(Payload::Unsigned)
        .unsigned("expect", "100-continue");
    client.write(&allowed.head(&world)).await;
    assert_eq!(client.reply_head().await.unwrap().status, 100);
    client.write(b"hello").await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    assert_eq!(world.provider.only().body, b"hello");
}

#[tokio::test]
async fn r40_a_refusal_reaches_a_client_that_is_still_sending() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/secrets/a").body(vec![0; 800_000]);
    client.write(&ask.wire(&world)).await;
    let reply = client
        .reply(false)
        .await
        .expect("no reset hides the answer");
    assert_eq!(
        (reply.status, reply.header("connection")),
        (403, Some("close"))
    );
    assert!(client.ends().await);
}

#[tokio::test]
async fn a_refusal_without_body_keeps_the_connection() {
    let world = World::new().await;
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/secrets/a").wire(&world))
        .await;
    assert_eq!(client.reply(false).await.unwrap().status, 403);
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let settings = Settings {
        max_connections: 1,
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let mut first = world.dial().await;
    let wire = world.ask("GET", "/photos/a").wire(&world);
    first.write(&wire).await;
    assert_eq!(first.reply(false).await.unwrap().status, 200);
    let mut second = world.dial().await;
    second.write(&wire).await;
    first.write(&wire).await;
    assert_eq!(first.reply(false).await.unwrap().status, 200);
    assert_eq!(
        world.provider.requests(),
        2,
        "the second one is not served yet"
    );
    drop(first);
    assert_eq!(second.reply(false).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_shutdown_lets_open_requests_end() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/photos/a").body("hello");
    client.write(&ask.head(&world)).await;
    wait(|| world.keyring.open_requests() == 1).await;
    world.shutdown.cancel();
    client.write(&ask.body).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    assert!(client.ends().await);
}
