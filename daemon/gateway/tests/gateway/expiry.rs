//! The end of a key's time: to the second for what comes then, and at once for what is open.

use bascule_domain::{
    Timestamp,
    key::{Key, Permission},
};
use bascule_gateway::{Reason, Settings};

use crate::harness::{World, key, wait};

const END: &str = "2026-11-23T12:00:01Z";

fn expiring(permission: Permission) -> Key {
    let mut key = key(1, permission);
    key.expires_at = Some(END.parse().unwrap());
    key
}

fn at(world: &World, time: &str) {
    *world.clock.now.lock().unwrap() = time.parse::<Timestamp>().unwrap();
}

#[tokio::test]
async fn a_request_of_the_last_second_is_served_and_one_of_the_next_is_not() {
    let world = World::with(expiring(Permission::ReadWrite), Settings::default()).await;
    let get = world.ask("GET", "/photos/a");
    let mut client = world.dial().await;
    at(&world, "2026-11-23T12:00:00.999999999Z");
    client.write(&get.wire(&world)).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    // The same open connection, a second later.
    at(&world, END);
    client.write(&get.wire(&world)).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));
    let id = reply.header("x-amz-request-id").unwrap();
    assert!(id.starts_with("KEY-EXPIRED-"), "{id}");
    assert_eq!(world.provider.requests(), 1);
    assert_eq!(world.knocks.0.lock().unwrap()[0].0, Reason::KeyExpired);
}

#[tokio::test]
async fn a_download_ends_with_its_keys_time() {
    let world = World::with(expiring(Permission::Read), Settings::default()).await;
    let (mut client, send) = world.downloading(1_000_000).await;
    at(&world, END);
    assert!(client.ends().await, "short of the announced length");
    send.closed().await;
    world.idle().await;
}

#[tokio::test]
async fn an_upload_ends_with_its_keys_time_and_leaves_nothing() {
    for permission in [Permission::ReadWrite, Permission::Append] {
        let world = World::with(expiring(permission), Settings::default()).await;
        world.provider.stock(true, &[]);
        let mut client = world.dial().await;
        let ask = world.ask("PUT", "/photos/a").body("the whole of it");
        client.write(&ask.head(&world)).await;
        client.write(b"the whole").await;
        wait(|| world.keyring.open_requests() == 1).await;
        at(&world, END);
        assert!(client.ends().await);
        world.idle().await;
        assert_eq!(world.provider.stored("/photos/a"), None);
    }
}
