//! The small server that metrics are read from: one path, no body, nothing that changes anything. It knows
//! no key, and must never answer a web page that was pointed at it by a foreign name.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// Where it is read from.
#[derive(Debug)]
pub enum ScrapeListener {
    /// A loopback port.
    Tcp(TcpListener),
    /// A socket.
    Unix(UnixListener),
}

/// A text with its content type, for what an `Accept` header asks for.
pub type Render = Arc<dyn Fn(&str) -> (&'static str, String) + Send + Sync>;

/// More at a time wait to be accepted.
const AT_ONCE: usize = 8;
/// How long a head may take, and a connection stay open in between.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failed accept (threats.md H2).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is told to stop.
pub async fn scrape(listener: ScrapeListener, render: Render, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            let stream: std::io::Result<Box<dyn Stream>> = match &listener {
                ScrapeListener::Tcp(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>)
                }
                ScrapeListener::Unix(listener) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>)
                }
            };
            (stream, place)
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        let Ok(stream) = stream else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (render, stop) = (Arc::clone(&render), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &render);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // Whatever ended it, there is nobody to tell.
                _ = connection => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

fn answer(request: &Request<Incoming>, render: &Render) -> Response<Full<Bytes>> {
    let head = Head {
        method: request.method(),
        path: request.uri().path(),
        host: request.headers().get(header::HOST),
    };
    match decide(&head) {
        Ok(()) => {
            let accept = request.headers().get(header::ACCEPT);
            let accept = accept.and_then(|accept| accept.to_str().ok());
            let (kind, text) = render(accept.unwrap_or_default());
            let mut response = Response::new(Full::new(Bytes::from(text)));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(status) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = status;
            response
        }
    }
}

struct Head<'a> {
    method: &'a Method,
    path: &'a str,
    host: Option<&'a HeaderValue>,
}

fn decide(head: &Head<'_>) -> Result<(), StatusCode> {
    // A foreign name was pointed here by a web page (threats.md E4).
    if let Some(host) = head.host
        && !host.to_str().is_ok_and(is_ours)
    {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    if head.path != "/metrics" {
        return Err(StatusCode::NOT_FOUND);
    }
    match *head.method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// An address or `localhost`, with a port or without.
fn is_ours(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.is_empty() || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4_only_a_question_for_metrics_under_our_own_name_is_answered() {
        let ask = |method: &Method, path: &str, host: &'static str| {
            let host = HeaderValue::from_static(host);
            decide(&Head {
                method,
                path,
                host: Some(&host),
            })
            .err()
        };
        for host in ["127.0.0.1:9100", "[::1]:9100", "localhost", ""] {
            assert_eq!(ask(&Method::GET, "/metrics", host), None, "{host}");
        }
        for host in ["evil.test", "evil.test:9100", "127.0.0.1.evil.test"] {
            let refused = Some(StatusCode::MISDIRECTED_REQUEST);
            assert_eq!(ask(&Method::GET, "/metrics", host), refused, "{host}");
        }
        assert_eq!(
            ask(&Method::GET, "/", "localhost"),
            Some(StatusCode::NOT_FOUND)
        );
        let refused = Some(StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(&Method::POST, "/metrics", "localhost"), refused);
    }
}
