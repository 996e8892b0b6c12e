//! Refusals that reach a human (gateway.md 54): through the headers that tools print, and as
//! findings.

use bascule_domain::{
    Timestamp,
    key::{IpRule, Key, KeyState, Permission},
};
use bascule_gateway::{Reason, Settings};

use crate::harness::{CONNECTION, World, key};

/// Asks with HEAD and GET, and checks what either tells of this reason.
async fn told(world: &World, reason: Reason) {
    for method in ["GET", "HEAD"] {
        let ask = world
            .ask(method, "/photos/a")
            .header("user-agent", "tool/1.0 (test)");
        let reply = world.send(&ask).await;
        assert_eq!(reply.status, 403);
        let id = reply.header("x-amz-request-id").unwrap();
        assert!(id.starts_with(&format!("{reason}-")), "{id}");
        let count = world.knocks.0.lock().unwrap().len();
        let command = format!("bascule findings show F{count}");
        assert_eq!(
            reply.header("x-amz-id-2"),
            Some(&*format!("run: {command}"))
        );
        if method == "HEAD" {
            assert_eq!(reply.body, b"");
            assert_eq!(reply.header("x-minio-error-code"), Some("AccessDenied"));
            let description = reply.header("x-minio-error-desc").unwrap();
            assert!(description.contains(&command), "{description}");
        } else {
            assert!(reply.text().contains(&command), "{}", reply.text());
        }
    }
    let knocks = world.knocks.0.lock().unwrap().clone();
    assert_eq!(knocks.len(), 2);
    for (why, label, peer, agent) in knocks {
        assert_eq!(
            (why, &*label, &*agent),
            (reason, "laptop", "tool/1.0 (test)")
        );
        assert!(peer.is_loopback());
    }
    assert_eq!(world.provider.requests(), 0);
}

async fn with(change: impl FnOnce(&mut Key)) -> World {
    let mut changed = key(1, Permission::ReadWrite);
    change(&mut changed);
    World::with(changed, Settings::default()).await
}

#[tokio::test]
async fn r54_a_revoked_key_is_a_finding() {
    let world = World::new().await;
    world.revoke();
    told(&world, Reason::KeyRevoked).await;
}

#[tokio::test]
async fn r54_a_paused_key_is_a_finding() {
    let world = with(|key| key.state = KeyState::Paused).await;
    told(&world, Reason::KeyPaused).await;
}

#[tokio::test]
async fn r54_a_paused_connection_is_a_finding() {
    let world = World::new().await;
    world
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    told(&world, Reason::KeyPaused).await;
}

#[tokio::test]
async fn r54_an_expired_key_is_a_finding() {
    let world = with(|key| key.expires_at = Some(Timestamp::UNIX_EPOCH)).await;
    told(&world, Reason::KeyExpired).await;
}

#[tokio::test]
async fn r54_an_address_that_is_not_allowed_is_a_finding() {
    let elsewhere = IpRule("192.0.2.0/24".parse().unwrap());
    let world = with(|key| key.scope.addresses = vec![elsewhere]).await;
    told(&world, Reason::AddressNotAllowed).await;
}

#[tokio::test]
async fn r54_a_missing_right_is_a_finding() {
    let world = with(|key| key.scope.buckets = ["music".parse().unwrap()].into()).await;
    told(&world, Reason::NotPermitted).await;
}

#[tokio::test]
async fn r54_strangers_and_served_requests_make_no_finding() {
    let world = World::new().await;
    assert_eq!(world.send(&world.ask("GET", "/photos/a")).await.status, 200);
    let mut wire = world.ask("GET", "/photos/a").head(&world);
    let at = wire.windows(10).position(|w| w == b"Signature=").unwrap() + 10;
    wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
    let mut client = world.dial().await;
    client.write(&wire).await;
    assert_eq!(client.reply(false).await.unwrap().status, 403);
    let mut stranger = World::new().await;
    stranger.credentials.access_key_id = key(9, Permission::Read).access_key_id;
    let reply = stranger.send(&stranger.ask("GET", "/photos/a")).await;
    assert_eq!(reply.status, 403);
    for world in [world, stranger] {
        assert!(world.knocks.0.lock().unwrap().is_empty());
    }
}
