//! Whether requests are still answered: the threads that serve connections are asked one each, over
//! a connection in memory. It must count nowhere, need no port and wait for no free place, or a busy
//! gateway would be taken for a dead one.

use std::{convert::Infallible, sync::Arc};

use bascule_domain::access_key::AccessKeyId;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::serve::Gateway;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 403 ";
/// Never issued: ids of ours have another alphabet.
const NOBODYS: &str = "LIVENESS0000000000000";

impl Gateway {
    /// Returns once each thread that serves connections has read a request, looked for its key among
    /// the living and the dead, and answered. Says whether all did; never returns while one hangs.
    pub async fn answers_itself(self: &Arc<Self>) -> bool {
        let mut asked = Vec::new();
        for thread in self.runtimes() {
            let (near, far) = tokio::io::duplex(1024);
            let gateway = Arc::clone(self);
            let serving = thread.spawn(async move { serve(&gateway, far).await });
            asked.push((near, serving));
        }
        let mut well = true;
        for (near, serving) in asked {
            well &= ask(near)
                .await
                .is_ok_and(|answer| answer.starts_with(ANSWER));
            // What it answered is known already.
            let _ = serving.await;
        }
        well
    }
}

async fn ask(mut near: DuplexStream) -> std::io::Result<Vec<u8>> {
    near.write_all(REQUEST).await?;
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn serve(gateway: &Gateway, far: DuplexStream) {
    let service = service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(answer(gateway)) });
    // Whoever asks sees what came of it.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(far), service)
        .await;
}

fn answer(gateway: &Gateway) -> Response<Empty<Bytes>> {
    let _now = gateway.clock.now();
    let known = NOBODYS.parse::<AccessKeyId>().is_ok_and(|id| {
        gateway.keyring.key(&id).is_some() || gateway.dead_keys.find(&id).is_some()
    });
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = if known {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::FORBIDDEN
    };
    answer
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use bascule_domain::{Timestamp, tombstone::Tombstone};

    use super::*;
    use crate::{
        keyring::Keyring,
        ports::{Clock, DeadKeys, Exchange, FindingSink, Knock, UsageSink},
        serve::Settings,
        workers::Workers,
    };

    struct Quiet;

    impl Clock for Quiet {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    impl DeadKeys for Quiet {
        fn find(&self, _: &AccessKeyId) -> Option<Tombstone> {
            None
        }
    }

    impl UsageSink for Quiet {
        fn began(&self, _: &Exchange<'_>) {}
        fn ended(&self, _: &Exchange<'_>) {}
    }

    impl FindingSink for Quiet {
        fn knock(&self, _: &Knock<'_>) -> String {
            String::new()
        }
    }

    fn gateway(workers: &Workers) -> Arc<Gateway> {
        let quiet = || Arc::new(Quiet);
        let settings = Settings {
            max_connections: 1,
            ..Settings::default()
        };
        let keyring = Arc::new(Keyring::new());
        let gateway = Gateway::new(keyring, quiet(), quiet(), quiet(), quiet(), settings);
        Arc::new(gateway.on(workers))
    }

    #[tokio::test]
    async fn j2_a_gateway_with_a_thread_that_hangs_does_not_answer_until_it_goes_on() {
        let workers = Workers::start().unwrap();
        let gateway = gateway(&workers);
        assert!(gateway.answers_itself().await);

        let (go_on, held) = mpsc::channel::<()>();
        let (hangs, hung) = tokio::sync::oneshot::channel();
        let thread = gateway.runtimes().pop().unwrap();
        thread.spawn(async move {
            hangs.send(()).unwrap();
            held.recv().ok();
        });
        hung.await.unwrap();
        let mut answer = Box::pin(gateway.answers_itself());
        // Time enough for all the other threads to answer; that it is not only slow shows below.
        let early = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
        assert!(early.is_err());
        drop(go_on);
        assert!(answer.await);
    }
}
