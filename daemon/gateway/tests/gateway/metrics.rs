//! What the meters count, and what they never name.

use bascule_gateway::UpstreamErrorKind;
use tokio::sync::mpsc;

use crate::harness::{CONNECTION, Script, World, wait};

/// The value of the one sample with all of these label values; 0 when there is none.
fn value(world: &World, name: &str, labels: &[&str]) -> u64 {
    let families = world.keyring.metrics();
    let family = families.iter().find(|family| family.name == name).unwrap();
    family
        .samples
        .iter()
        .find(|sample| {
            labels
                .iter()
                .all(|wanted| sample.labels.iter().any(|(_, value)| value == wanted))
        })
        .map_or(0, |sample| sample.value)
}

#[tokio::test]
async fn requests_and_bytes_are_counted_by_operation_and_status() {
    let world = World::new().await;
    world.provider.script(Script::new(200, "12345"));
    world.provider.script(Script::new(200, ""));
    world.provider.script(Script::new(404, ""));
    world.send(&world.ask("GET", "/photos/a")).await;
    world.send(&world.ask("PUT", "/photos/a").body("123")).await;
    world.send(&world.ask("GET", "/photos/b")).await;
    world.idle().await;
    let requests = |operation, status| {
        value(
            &world,
            "bascule_requests_total",
            &["vault", operation, status],
        )
    };
    assert_eq!(requests("GetObject", "2xx"), 1);
    assert_eq!(requests("GetObject", "4xx"), 1);
    assert_eq!(requests("PutObject", "2xx"), 1);
    assert_eq!(value(&world, "bascule_sent_bytes_total", &["vault"]), 5);
    assert_eq!(value(&world, "bascule_received_bytes_total", &["vault"]), 3);
    assert_eq!(value(&world, "bascule_cut_streams_total", &["vault"]), 0);
}

#[tokio::test]
async fn refusals_are_counted_by_reason_and_name_no_key_bucket_or_object() {
    let world = World::new().await;
    world
        .send(&world.ask("GET", "/strangers/secret-name"))
        .await;
    let mut nameless = world.dial().await;
    nameless
        .write(b"GET /photos/secret-name HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(nameless.reply(false).await.unwrap().status, 403);
    world.provider.script(Script {
        fails: Some(UpstreamErrorKind::Timeout),
        ..Script::new(200, "")
    });
    world.send(&world.ask("GET", "/photos/secret-name")).await;
    let refusals = |labels: &[&str]| value(&world, "bascule_refusals_total", labels);
    assert_eq!(refusals(&["vault", "NOT-PERMITTED"]), 1);
    assert_eq!(refusals(&["", "NOT-AUTHENTICATED"]), 1);
    assert_eq!(refusals(&["vault", "PROVIDER-UNAVAILABLE"]), 1);
    let errors = value(
        &world,
        "bascule_upstream_errors_total",
        &["vault", "timeout"],
    );
    assert_eq!(errors, 1);
    let all = format!("{:?}", world.keyring.metrics());
    for secret in [
        world.credentials.access_key_id.as_str(),
        "PROVIDERKEY",
        "secret-name",
        "strangers",
        "photos",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn open_and_cut_streams_are_counted_also_after_their_connection_is_gone() {
    let world = World::new().await;
    let (send, receive) = mpsc::channel(1);
    world.provider.script(
        Script {
            stream: Some(receive),
            ..Script::new(200, "begin")
        }
        .header("content-length", "1000000"),
    );
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply_head().await.unwrap().status, 200);
    assert_eq!(value(&world, "bascule_open_streams", &["vault"]), 1);
    world.keyring.remove_connection(CONNECTION);
    assert!(client.ends().await);
    send.closed().await;
    wait(|| value(&world, "bascule_cut_streams_total", &["vault"]) == 1).await;
    assert_eq!(value(&world, "bascule_open_streams", &["vault"]), 0);
}
