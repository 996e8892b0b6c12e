//! What whoever counts is told: by which key, through which connection, by which client, and what
//! came of each request.

use http::Method;

use crate::harness::{World, wait};

/// What was told so far, once so many entries have come.
async fn told(world: &World, entries: usize) -> Vec<String> {
    wait(|| world.meter.told.lock().unwrap().len() >= entries).await;
    world.meter.told.lock().unwrap().clone()
}

#[tokio::test]
async fn a_client_is_asked_for_once_and_again_when_it_calls_itself_otherwise() {
    let world = World::new().await;
    let mut client = world.dial().await;
    for agent in ["one/1", "one/1", "two/2"] {
        let ask = world.ask("GET", "/photos/a").header("user-agent", agent);
        client.write(&ask.wire(&world)).await;
        assert_eq!(client.reply(false).await.unwrap().status, 200);
    }
    let told = told(&world, 12).await;
    let connected = told.iter().filter(|line| *line == "connected 127.0.0.1");
    assert_eq!(connected.count(), 1, "{told:?}");
    let named: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("names"))
        .collect();
    assert_eq!(named, ["names one/1", "names two/2"], "{told:?}");
    for what in ["used", "answered GetObject"] {
        let times = told.iter().filter(|line| *line == what).count();
        assert_eq!(times, 3, "{what}: {told:?}");
    }
    let moved = told
        .iter()
        .filter(|line| line.starts_with("moved GetObject"));
    assert_eq!(moved.count(), 3, "{told:?}");
}

#[tokio::test]
async fn a_refusal_counts_with_its_reason_and_only_a_signature_is_a_use() {
    let world = World::new().await;
    let denied = world.ask("PUT", "/photos").query("acl", "");
    assert_eq!(world.send(&denied).await.status, 403);
    let seen = told(&world, 4).await;
    assert_eq!(seen[1..], ["names ", "used", "refused NOT-PERMITTED"]);

    world.meter.told.lock().unwrap().clear();
    let mut wire = world.ask("GET", "/photos/a").head(&world);
    let at = wire.windows(10).position(|w| w == b"Signature=").unwrap() + 10;
    wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
    let mut client = world.dial().await;
    client.write(&wire).await;
    assert_eq!(client.reply(false).await.unwrap().status, 403);
    let seen = told(&world, 3).await;
    assert_eq!(seen[1..], ["names ", "refused NOT-AUTHENTICATED"]);

    world.meter.told.lock().unwrap().clear();
    world.revoke();
    assert_eq!(world.send(&world.ask("GET", "/photos/a")).await.status, 403);
    let seen = told(&world, 3).await;
    assert_eq!(seen[1..], ["names ", "refused KEY-REVOKED"]);
}

#[tokio::test]
async fn an_answer_of_our_own_counts_and_strangers_do_not() {
    let world = World::new().await;
    let mut buckets = world.ask("GET", "/");
    buckets.method = Method::GET;
    assert_eq!(world.send(&buckets).await.status, 200);
    let seen = told(&world, 4).await;
    assert_eq!(seen[1..], ["names ", "used", "answered ListBuckets"]);
    let mut stranger = World::new().await;
    let id = crate::harness::key(9, bascule_domain::key::Permission::Read).access_key_id;
    stranger.credentials.access_key_id = id;
    let reply = stranger.send(&stranger.ask("GET", "/photos/a")).await;
    assert_eq!(reply.status, 403);
    assert_eq!(told(&stranger, 1).await, ["connected 127.0.0.1"]);
}
