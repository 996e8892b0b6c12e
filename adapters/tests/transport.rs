//! What the HTTP client never does: follow redirects, dial the daemon itself, or let a cut upload
//! look complete.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure")]

use std::net::Ipv4Addr;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bascule_adapters::{
    Guard, HttpTransport, OwnAddresses, Refusal, RequestBody, Transport, TransportErrorKind,
};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
};

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn client(url: &str, own: OwnAddresses) -> HttpTransport {
    let guard = Guard {
        allow_link_local: false,
        own,
    };
    HttpTransport::new(&url.parse().unwrap(), None, guard).unwrap()
}

fn get(url: &str) -> Request<RequestBody> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(empty).unwrap()
}

/// Reads until the text is there.
async fn read_until(stream: &mut TcpStream, text: &str) -> Vec<u8> {
    let mut seen = Vec::new();
    while !seen
        .windows(text.len())
        .any(|window| window == text.as_bytes())
    {
        assert_ne!(
            stream.read_buf(&mut seen).await.unwrap(),
            0,
            "ended before {text}"
        );
    }
    seen
}

/// A body that gives four of ten bytes, then waits, or breaks.
fn started(then: Option<&'static str>) -> RequestBody {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"some")))]);
    let rest = match then {
        Some(error) => stream::iter([Err(error.into())]).boxed(),
        None => stream::pending().boxed(),
    };
    StreamBody::new(first.chain(rest)).boxed_unsync()
}

#[tokio::test]
async fn a_dropped_upload_ends_the_connection_before_its_length_is_reached() {
    for then in [None, Some("revoked")] {
        let (listener, url) = listening().await;
        let transport = client(&url, OwnAddresses::default());
        let reached = Arc::new(Notify::new());
        let seen = reached.clone();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut taken = Vec::new();
            // Ends only when the client closes the connection.
            while matches!(stream.read_buf(&mut taken).await, Ok(1..)) {
                if taken.ends_with(b"some") {
                    seen.notify_one();
                }
            }
            taken
        });
        let upload = Request::put(&url)
            .header("content-length", "10")
            .body(started(then))
            .unwrap();
        tokio::select! {
            outcome = transport.send(upload) => assert!(then.is_some() && outcome.is_err()),
            () = reached.notified() => {}
        }
        let taken = server.await.unwrap();
        assert!(
            taken.is_empty() || taken.ends_with(b"\r\n\r\n") || taken.ends_with(b"some"),
            "nothing follows what was sent"
        );
    }
}

#[tokio::test]
async fn i3_redirects_are_answers_and_lead_nowhere() {
    let (listener, url) = listening().await;
    let (elsewhere, target) = listening().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {target}/x\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    });
    let transport = client(&url, OwnAddresses::default());
    let response = transport.send(get(&url)).await.unwrap();
    assert_eq!(response.status(), 307);
    drop(server.await.unwrap());
    let elsewhere = elsewhere.into_std().unwrap();
    assert!(elsewhere.accept().is_err(), "nobody knocks there");
}

#[tokio::test]
async fn i6_the_daemons_own_gateway_is_not_dialled_under_any_name() {
    let (listener, url) = listening().await;
    let own = OwnAddresses::default();
    own.add(listener.local_addr().unwrap());
    let by_name = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let mapped = format!(
        "http://[::ffff:127.0.0.1]:{}",
        listener.local_addr().unwrap().port()
    );
    for url in [url, mapped] {
        let refused = client(&url, own.clone()).send(get(&url)).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            TransportErrorKind::Refused(Refusal::Own),
            "{url}"
        );
    }
    // `localhost` may have other addresses too, where nobody listens.
    let refused = client(&by_name, own).send(get(&by_name)).await.unwrap_err();
    assert!(matches!(
        refused.kind(),
        TransportErrorKind::Refused(Refusal::Own) | TransportErrorKind::Unreachable
    ));
}

#[tokio::test]
async fn errors_never_show_the_query() {
    let unused = TcpSocket::new_v4().unwrap();
    unused.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = format!("http://{}", unused.local_addr().unwrap());
    let error = client(&url, OwnAddresses::default())
        .send(get(&format!("{url}/b?X-Amz-Signature=marker")))
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::Unreachable);
    assert!(!format!("{error} {error:?}").contains("marker"));
}

/// Answers so many requests on each connection, and tells how many connections there were.
async fn serving(listener: TcpListener, answer: &'static str, connections: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            loop {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                        return;
                    }
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

/// How many connections three requests take, each answer being used as said.
async fn connections_of_three(answer: &'static str, to_its_end: bool) -> usize {
    let (listener, url) = listening().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(serving(listener, answer, Arc::clone(&connections)));
    let transport = client(&url, OwnAddresses::default());
    for _ in 0..3 {
        let response = transport.send(get(&url)).await.unwrap();
        if to_its_end {
            response.into_body().collect().await.unwrap();
        }
    }
    server.abort();
    connections.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_connection_is_used_again_once_its_answer_was_read() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        assert_eq!(connections_of_three(answer, true).await, 1, "{answer}");
    }
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(connections_of_three(closing, true).await, 3);
}

#[tokio::test]
async fn a_connection_whose_answer_was_left_is_never_used_again() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsome";
    assert_eq!(connections_of_three(answer, false).await, 3);
}
