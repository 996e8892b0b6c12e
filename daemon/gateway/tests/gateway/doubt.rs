//! What a revoked key leaves in doubt at the provider (gateway.md 53).

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use bascule_domain::{ids::KeyId, operation::Action};
use bascule_gateway::{InDoubt, Keyring};
use tokio::sync::Notify;

use crate::harness::{CONNECTION, PATIENCE, Script, World, wait};

const KEY: KeyId = KeyId::from_random([1; 10]);

/// What a revocation answers.
async fn in_doubt(keyring: &Keyring, key: KeyId, limit: Duration) -> Vec<InDoubt> {
    keyring.changes_ended(CONNECTION, key, limit).await;
    keyring.in_doubt_of(CONNECTION, key)
}

/// An upload that the provider has whole and does not answer.
async fn handed_over(world: &World) -> Arc<Notify> {
    let hold = Arc::new(Notify::new());
    world.provider.script(Script {
        hold: Some(Arc::clone(&hold)),
        ..Script::new(200, "")
    });
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/photos/a").body("whole");
    client.write(&ask.wire(world)).await;
    wait(|| world.provider.received.load(Ordering::SeqCst) == 5).await;
    wait(|| world.provider.seen().len() == 1).await;
    hold
}

#[tokio::test]
async fn r53_an_upload_whose_outcome_is_not_known_is_named_with_its_key() {
    let world = World::new().await;
    let hold = handed_over(&world).await;
    world.revoke();
    let doubt = in_doubt(&world.keyring, KEY, Duration::from_millis(1)).await;
    let [change] = &doubt[..] else {
        panic!("{doubt:?}");
    };
    assert_eq!(change.action, Action::PutObject);
    assert_eq!(change.bucket.as_str(), "photos");
    assert_eq!(change.key.as_ref().unwrap().as_str(), "a");
    let others = KeyId::from_random([2; 10]);
    let doubt = in_doubt(&world.keyring, others, PATIENCE).await;
    assert_eq!(doubt, [], "another key's changes are not its own");
    hold.notify_one();
    world.idle().await;
}

#[tokio::test]
async fn r53_an_outcome_that_arrives_in_time_is_not_in_doubt() {
    let world = World::new().await;
    let hold = handed_over(&world).await;
    world.revoke();
    let keyring = Arc::clone(&world.keyring);
    let asked = tokio::spawn(async move { in_doubt(&keyring, KEY, PATIENCE).await });
    hold.notify_one();
    assert_eq!(asked.await.unwrap(), []);
}

#[tokio::test]
async fn r53_an_upload_cut_before_its_end_is_not_in_doubt() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/photos/a").body(vec![0; 100_000]);
    client.write(&ask.head(&world)).await;
    client.write(&ask.body[..50_000]).await;
    wait(|| world.provider.received.load(Ordering::SeqCst) == 50_000).await;
    world.revoke();
    let doubt = in_doubt(&world.keyring, KEY, PATIENCE).await;
    assert_eq!(doubt, []);
    assert!(!world.provider.only().complete);
}
