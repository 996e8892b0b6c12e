//! Providers that are away, broken or not who they say they are, on real sockets.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure")]

use std::{net::Ipv4Addr, path::Path, process::Command, sync::Arc, time::Duration};

use bascule_adapters::{Guard, HttpTransport, RequestBody, Transport, TransportErrorKind};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn client(url: &str) -> HttpTransport {
    HttpTransport::new(&url.parse().unwrap(), None, Guard::default()).unwrap()
}

fn get(url: &str) -> Request<RequestBody> {
    let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(empty).unwrap()
}

async fn fails(transport: &HttpTransport, request: Request<RequestBody>) -> TransportErrorKind {
    let sent = tokio::time::timeout(PATIENCE, transport.send(request)).await;
    sent.unwrap().err().unwrap().kind()
}

/// Reads a head; false if the connection ended before.
async fn head(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
            return false;
        }
    }
    true
}

/// Whether somebody else has knocked.
fn knocked(listener: TcpListener) -> bool {
    listener.into_std().unwrap().accept().is_ok()
}

#[tokio::test]
async fn i1_a_refused_connection_and_a_name_without_address_are_told_apart() {
    let unused = TcpSocket::new_v4().unwrap();
    unused.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = format!("http://{}", unused.local_addr().unwrap());
    let kind = fails(&client(&url), get(&url)).await;
    assert_eq!(kind, TransportErrorKind::Unreachable);
    let url = "http://nowhere.invalid:9000";
    assert_eq!(fails(&client(url), get(url)).await, TransportErrorKind::Dns);
}

fn certificate(folder: &Path) -> bool {
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
        .args([
            "-subj",
            "/CN=stranger",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output();
    made.is_ok_and(|made| made.status.success())
}

#[tokio::test]
async fn i1_a_strangers_certificate_is_refused_and_nothing_goes_in_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    if !certificate(folder.path()) {
        println!("skipped: no openssl to make a certificate with");
        return;
    }
    let chain = CertificateDer::from_pem_file(folder.path().join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listening().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let refused = acceptor.accept(stream).await.is_err();
        (refused, listener)
    });
    let url = format!("https://{address}");
    let transport = client(&url);
    assert_eq!(fails(&transport, get(&url)).await, TransportErrorKind::Tls);
    let (refused, listener) = server.await.unwrap();
    assert!(refused, "the handshake did not come to its end");
    assert!(!knocked(listener), "no second attempt, in whatever form");
}

#[tokio::test]
async fn i1_a_server_without_tls_gets_a_handshake_and_no_request() {
    let (listener, address) = listening().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = [0; 1024];
        let read = stream.read(&mut seen).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        (seen[..read].to_vec(), listener)
    });
    let url = format!("https://{address}");
    let transport = client(&url);
    assert_eq!(
        fails(&transport, get(&url)).await,
        TransportErrorKind::NotTls
    );
    let (seen, listener) = server.await.unwrap();
    assert_eq!(seen[0], 0x16, "a TLS handshake");
    // Not even if the request itself asks for plain text.
    let plain = get(&format!("http://{address}"));
    assert!(transport.send(plain).await.is_err());
    assert!(!knocked(listener));
}

#[tokio::test]
async fn i2_a_pooled_connection_that_died_ends_in_an_answer_or_an_error() {
    for reads_the_second in [true, false] {
        let (listener, address) = listening().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(head(&mut stream).await);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            if reads_the_second {
                assert!(head(&mut stream).await);
                drop(stream);
                return knocked(listener);
            }
            drop(stream);
            // A new connection, if the client noticed in time.
            if let Ok((mut stream, _)) = listener.accept().await
                && head(&mut stream).await
            {
                stream.write_all(answer).await.unwrap();
            }
            false
        });
        let url = format!("http://{address}");
        let transport = client(&url);
        let first = transport.send(get(&url)).await.unwrap();
        first.into_body().collect().await.unwrap();
        let second = tokio::time::timeout(PATIENCE, transport.send(get(&url))).await;
        match second.expect("it hangs") {
            Ok(_) => assert!(!reads_the_second),
            Err(error) => assert_eq!(error.kind(), TransportErrorKind::Broken),
        }
        if reads_the_second {
            assert!(!server.await.unwrap(), "what was read is not sent again");
        } else {
            server.abort();
        }
    }
}

#[tokio::test]
async fn i4_a_reset_after_the_body_began_is_not_replayed() {
    let (listener, address) = listening().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"xxxx") {
            stream.read_buf(&mut seen).await.unwrap();
        }
        stream.set_zero_linger().unwrap();
        drop(stream);
        listener
    });
    let url = format!("http://{address}");
    let body = Full::new(Bytes::from(vec![b'x'; 10_000_000]));
    let put = Request::put(&url)
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .unwrap();
    assert_eq!(fails(&client(&url), put).await, TransportErrorKind::Broken);
    assert!(!knocked(server.await.unwrap()));
}

#[tokio::test]
async fn i5_a_short_body_is_an_error_and_not_an_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let (listener, address) = listening().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let url = format!("http://{address}");
        let response = client(&url).send(get(&url)).await.unwrap();
        assert!(response.into_body().collect().await.is_err(), "{answer}");
        server.await.unwrap();
    }
}
