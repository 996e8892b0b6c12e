//! Connections that are served by threads of their own, as in the daemon.

use bascule_domain::key::Permission;
use bascule_gateway::{Settings, Workers};
use tokio::sync::mpsc;

use crate::harness::{Client, PATIENCE, Script, World, key};

async fn on(workers: &Workers) -> World {
    let key = key(1, Permission::ReadWrite);
    World::served_by(workers, key, Settings::default()).await
}

/// A download that has begun and does not end.
async fn downloading(world: &World) -> (Client, mpsc::Sender<bytes::Bytes>) {
    let (send, receive) = mpsc::channel(1);
    world.provider.script(
        Script {
            stream: Some(receive),
            ..Script::new(200, "begin")
        }
        .header("content-length", "1000000"),
    );
    let mut client = world.dial().await;
    let wire = world.ask("GET", "/photos/a").wire(world);
    client.write(&wire).await;
    assert_eq!(client.reply_head().await.unwrap().status, 200);
    assert_eq!(client.take(5).await.unwrap(), b"begin");
    (client, send)
}

#[tokio::test]
async fn c3_a_revocation_cuts_what_any_thread_serves() {
    let workers = Workers::start().unwrap();
    let world = on(&workers).await;
    let mut open = Vec::new();
    // More than there are threads here or anywhere.
    for _ in 0..40 {
        open.push(downloading(&world).await);
    }
    world.revoke();
    for (mut client, send) in open {
        assert!(client.ends().await, "short of the announced length");
        tokio::time::timeout(PATIENCE, send.closed()).await.unwrap();
    }
    world.idle().await;
}

#[tokio::test]
async fn a_change_is_carried_out_there_too() {
    let workers = Workers::start().unwrap();
    let world = on(&workers).await;
    let ask = world.ask("PUT", "/photos/a").body(b"whole".to_vec());
    assert_eq!(world.send(&ask).await.status, 200);
    assert_eq!(world.provider.requests(), 1);
    world.idle().await;
}

#[tokio::test]
async fn nothing_is_served_any_more_once_the_threads_are_gone() {
    let workers = Workers::start().unwrap();
    let world = on(&workers).await;
    let (mut client, send) = downloading(&world).await;
    drop(workers);
    assert!(client.ends().await, "short of the announced length");
    assert!(send.is_closed());
}
