//! Clients that try to wear the gateway out (threats.md H1, H4).

use std::{fmt::Write, time::Duration};

use bascule_domain::key::Permission;
use bascule_gateway::Settings;
use bascule_sigv4::Payload;

use crate::harness::{World, key, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h1_a_thousand_slow_clients_end_on_their_deadline_and_others_are_served() {
    // Both ends of a thousand connections are this process's.
    let limit = bascule_os::raise_descriptor_limit();
    assert!(limit > 2200, "the limit on open files is {limit}");
    let settings = Settings {
        header_timeout: Duration::from_secs(2),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let good = world.ask("GET", "/photos/a").wire(&world);
    let mut slow = Vec::new();
    for number in 0..1000 {
        let mut client = world.dial().await;
        match number % 4 {
            0 => {}
            1 => client.write(b"GET /photos/a HTTP/1.1\r\nhost: x\r\n").await,
            2 => client.write(b"GET /pho").await,
            // One request, and then nothing: an idle connection.
            _ => {
                client.write(&good).await;
                assert_eq!(client.reply(false).await.unwrap().status, 200);
            }
        }
        slow.push(client);
    }
    let mut client = world.dial().await;
    for _ in 0..10 {
        client.write(&good).await;
        assert_eq!(client.reply(false).await.unwrap().status, 200);
    }
    for (number, client) in slow.iter_mut().enumerate() {
        assert!(client.ends().await);
        assert!(client.read.is_empty(), "client {number} got an answer");
    }
    assert_eq!(world.provider.requests(), 260);
}

/// A drip must not renew the deadline.
#[tokio::test]
async fn h1_a_head_that_drips_ends_on_its_deadline() {
    let settings = Settings {
        header_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let mut client = world.dial().await;
    client.write(b"GET /photos/a HTTP/1.1\r\n").await;
    // Without a deadline this would go on for ever.
    while client.try_write(b"x: y\r\n").await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.provider.requests(), 0);
}

fn delete(inner: &str) -> String {
    format!("<Delete>{inner}</Delete>")
}

fn object(key: &str) -> String {
    format!("<Object><Key>{key}</Key></Object>")
}

#[tokio::test]
async fn h4_bombs_of_xml_are_refused() {
    let world = World::new().await;
    let repeat = |text: &str, times: usize| text.repeat(times);
    let mut entities = String::from("<!DOCTYPE Delete [<!ENTITY e0 \"boom\">");
    for level in 1..20 {
        let inner = repeat(&format!("&e{};", level - 1), 10);
        let _ = write!(entities, "<!ENTITY e{level} \"{inner}\">");
    }
    entities.push_str("]>");
    let attributes: String = (0..60_000).fold(String::new(), |mut text, number| {
        let _ = write!(text, " a{number}=\"b\"");
        text
    });
    let namespaces: String = (0..40_000).fold(String::new(), |mut text, number| {
        let _ = write!(text, " xmlns:n{number}=\"urn:{number}\"");
        text
    });
    let one = object("a");
    for body in [
        format!("{entities}{}", delete(&object("&e19;"))),
        format!(
            "<!DOCTYPE Delete SYSTEM \"file:///etc/passwd\">{}",
            delete(&one)
        ),
        format!("<Delete{attributes}>{one}</Delete>"),
        format!("<Delete{namespaces}>{one}</Delete>"),
        delete(&format!("<Object{attributes}><Key>a</Key></Object>")),
        delete(&format!("<Object><Key{namespaces}>a</Key></Object>")),
        format!("<Delete{}>{one}</Delete>", repeat(" xmlns=\"a\"", 100_000)),
        repeat("<Delete>", 200_000),
        delete(&repeat("<Object>", 200_000)),
        delete(&repeat("<a>", 500_000)),
        delete(&repeat(&one, 1001)),
        delete(&repeat("<Quiet>true</Quiet>", 100_000)),
        delete(&object(&repeat("a", 1_900_000))),
        delete(&object(&repeat("&#97;", 300_000))),
        delete(&object(&repeat("&amp;", 300_000))),
        format!("<!--{}-->{}", repeat("x", 1_900_000), delete(&one)),
        delete(&format!("<![CDATA[{}]]>{one}", repeat("x", 1_900_000))),
        format!("<{}>", repeat("d", 1_900_000)),
    ] {
        let ask = world
            .ask("POST", "/photos")
            .query("delete", "")
            .payload(Payload::Unsigned)
            .body(body);
        refused(&world, &ask, 400, "MalformedXML").await;
    }
}

#[tokio::test]
async fn h4_a_huge_body_is_refused_unread() {
    let world = World::new().await;
    let ask = world
        .ask("POST", "/photos")
        .query("delete", "")
        .announce(1 << 40)
        .payload(Payload::Unsigned);
    let mut client = world.dial().await;
    client.write(&ask.head(&world)).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "MaxMessageLengthExceeded")
    );
    assert_eq!(world.provider.requests(), 0);
}
