//! Which hosts are ours (gateway.md 51, threats.md A14, E4).

use bascule_domain::key::Permission;
use bascule_gateway::Settings;

use crate::harness::{World, key, refused};

async fn world() -> World {
    let settings = Settings {
        host_suffix: Some("s3.local".into()),
        hosts: vec!["host.docker.internal".into()],
        ..Settings::default()
    };
    World::with(key(1, Permission::ReadWrite), settings).await
}

#[tokio::test]
async fn e4_a_foreign_host_is_refused_before_anything_else() {
    let world = world().await;
    for host in [
        "evil.example",
        "evil.example:8642",
        "photos.evil.example",
        "s3.local.evil.example",
        "127.0.0.1.nip.io",
        "localhost.evil.example:80",
    ] {
        let mut ask = world.ask("GET", "/photos/a");
        ask.host = host.into();
        let reply = refused(&world, &ask, 403, "AccessDenied").await;
        assert!(
            reply.text().contains("hosts under [gateway]") && reply.text().contains(host),
            "{}",
            reply.text()
        );
        let id = reply.header("x-amz-request-id").unwrap();
        assert!(id.starts_with("HOST-NOT-ALLOWED-"), "{id}");
        // Even what is answered without looking at a key: OPTIONS, and requests that nobody signed.
        for line in ["OPTIONS /photos/a", "GET /", "POST /photos", "HEAD /"] {
            let mut client = world.dial().await;
            let wire = format!("{line} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n\r\n");
            client.write(wire.as_bytes()).await;
            let reply = client.reply(line.starts_with("HEAD")).await.unwrap();
            let id = reply.header("x-amz-request-id").unwrap();
            assert!(id.starts_with("HOST-NOT-ALLOWED-"), "{line}: {id}");
            assert!(
                !reply
                    .headers
                    .iter()
                    .any(|(name, _)| name.starts_with("access-control"))
            );
        }
    }
}

#[tokio::test]
async fn r51_addresses_and_configured_names_are_path_style() {
    let world = world().await;
    let hosts = [
        "127.0.0.1",
        "127.0.0.1:1",
        "192.0.2.7:8642",
        "[::1]",
        "[::1]:8642",
        "localhost",
        "LOCALHOST:8642",
        "host.docker.internal:8642",
        "s3.local:8642",
    ];
    for (number, host) in hosts.iter().enumerate() {
        let mut ask = world.ask("GET", "/photos/a");
        ask.host = (*host).to_owned();
        assert_eq!(world.send(&ask).await.status, 200, "{host}");
        assert_eq!(world.provider.requests(), number + 1, "{host}");
    }
}

#[tokio::test]
async fn a14_host_bucket_and_path_bucket_have_one_meaning() {
    let world = world().await;
    let mut ask = world.ask("GET", "/music/a");
    ask.host = "photos.s3.local:8642".into();
    assert_eq!(world.send(&ask).await.status, 200);
    assert_eq!(
        world.provider.only().uri,
        "http://provider.test:9000/photos/music/a",
        "the path is the key, whatever bucket it looks like"
    );
    // Signed for one host and sent to another: the signature is of the first.
    let wire = String::from_utf8(ask.wire(&world)).unwrap();
    let moved = wire.replace("photos.s3.local:8642", "music.s3.local:8642");
    let mut client = world.dial().await;
    client.write(moved.as_bytes()).await;
    assert_eq!(client.reply(false).await.unwrap().status, 403);
    assert_eq!(world.provider.requests(), 1);
}

#[tokio::test]
async fn a14_no_host_two_hosts_and_an_absolute_target_are_refused() {
    let world = world().await;
    let host = world.address;
    for wire in [
        "GET /photos/a HTTP/1.1\r\n\r\n".to_owned(),
        "GET /photos/a HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET /photos/a HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n"),
        format!("GET /photos/a HTTP/1.1\r\nhost: {host}\r\nhost: evil.example\r\n\r\n"),
        format!("GET http://{host}/photos/a HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("GET http://evil.example/photos/a HTTP/1.1\r\nhost: {host}\r\n\r\n"),
        format!("CONNECT {host} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
    ] {
        let mut client = world.dial().await;
        client.write(wire.as_bytes()).await;
        assert_eq!(client.reply(false).await.unwrap().status, 400, "{wire}");
    }
    assert_eq!(world.provider.requests(), 0);
}
