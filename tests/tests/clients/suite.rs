//! `s3s-e2e`, the suite of another S3 server: what passes directly passes through the gateway. It
//! makes and removes its buckets, which no key may: that part goes straight to the provider.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, sync::Arc};

use bascule_tests::{Issued, S3, World, runtime};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::side::Side;

/// The buckets it makes.
const BUCKETS: &[&str] = &[
    "test-copy",
    "test-delete-object",
    "test-get-object",
    "test-head-operations",
    "test-list-buckets-1",
    "test-list-buckets-2",
    "test-list-objects",
    "test-list-pagination",
    "test-multipart",
    "test-presigned-url",
    "test-put",
    "test-tagging",
];
/// So that cases that vanish are missed.
const AT_LEAST: usize = 18;
/// Cases that ask for what no key may do.
const DENIED: &[(&str, &str)] = &[(
    "Advanced/STS/test_assume_role",
    "credentials of the provider's are not handed out",
)];

/// Sends making and removing buckets to the provider and everything else to the gateway.
struct Splitter {
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Ways {
    gateway: String,
    provider: S3,
    client: Client<HttpConnector, Incoming>,
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

impl Splitter {
    fn start(gateway: &str, provider: S3) -> Self {
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let ways = Arc::new(Ways {
            gateway: gateway.to_owned(),
            provider,
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
        });
        let task = runtime().spawn(async move {
            // Dropped with this task, and with it every connection.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let ways = Arc::clone(&ways);
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        let ways = Arc::clone(&ways);
                        async move { Ok::<_, Infallible>(ways.answer(request).await) }
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Splitter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ways {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().trim_end_matches('/');
        let is_bucket = path.matches('/').count() == 1 && path.len() > 1;
        let makes_or_removes = matches!(*request.method(), Method::PUT | Method::DELETE);
        let more = request.uri().query().unwrap_or_default();
        if is_bucket && makes_or_removes && matches!(more, "" | "x-id=CreateBucket") {
            self.of_the_provider(request.method().clone(), path).await
        } else {
            self.of_the_gateway(request).await
        }
    }

    async fn of_the_provider(&self, method: Method, path: &str) -> Answer {
        let reply = self.provider.send(method, path, &[], "").await.unwrap();
        let body = Full::new(reply.body).map_err(|never| match never {});
        let mut answer = Response::new(body.boxed());
        *answer.status_mut() = reply.status.try_into().unwrap();
        if let Some(kind) = reply.headers.get(header::CONTENT_TYPE) {
            answer
                .headers_mut()
                .insert(header::CONTENT_TYPE, kind.clone());
        }
        answer
    }

    /// As it came, with the `host` that was signed.
    async fn of_the_gateway(&self, mut request: Request<Incoming>) -> Answer {
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str());
        *request.uri_mut() = format!("{}{target}", self.gateway).parse().unwrap();
        let answer = self.client.request(request).await.unwrap();
        answer.map(BodyExt::boxed)
    }
}

/// Each case, and whether it passed.
fn run(world: &World, key: &Issued) -> Option<BTreeMap<String, bool>> {
    let side = Side::of(world, key, world.minio.bucket());
    let report = side.home.path("work/report.json");
    let command = side.tool("s3s-e2e", &["--json", report.to_str().unwrap()])?;
    // Its exit code only says whether everything passed.
    side.finishes(command, "");
    let report = std::fs::read(report).expect("the suite writes a report");
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let list = |value: &serde_json::Value, of: &str| value[of].as_array().unwrap().clone();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let mut cases = BTreeMap::new();
    for suite in list(&report, "suites") {
        for fixture in list(&suite, "fixtures") {
            for case in list(&fixture, "cases") {
                cases.insert(
                    format!("{}/{}/{}", name(&suite), name(&fixture), name(&case)),
                    case["passed"] == true,
                );
            }
        }
    }
    Some(cases)
}

#[test]
fn s3s_e2e_passes_what_it_passes_directly() {
    let Some(world) = World::new() else { return };
    let (id, secret) = world.minio.credentials();
    let direct = Issued {
        id: id.to_owned(),
        secret: secret.to_owned(),
        endpoint: world.minio.endpoint(),
    };
    let Some(there) = run(&world, &direct) else {
        return;
    };

    for bucket in BUCKETS {
        world.minio.s3().make_bucket(bucket).unwrap();
    }
    world.connect("suite", BUCKETS);
    let mut through = world.issue("suite", "suite");
    let splitter = Splitter::start(&through.endpoint, world.minio.s3());
    through.endpoint = format!("http://{}", splitter.address);
    let here = run(&world, &through).unwrap();

    assert!(there.len() >= AT_LEAST, "{there:?}");
    assert_eq!(
        there.keys().collect::<Vec<_>>(),
        here.keys().collect::<Vec<_>>()
    );
    for (case, passed) in &there {
        let denied = DENIED.iter().any(|(denied, _)| denied == case);
        assert_eq!(here[case], *passed && !denied, "{case}: directly {passed}");
    }
    let passed = here.values().filter(|passed| **passed).count();
    assert!(passed + DENIED.len() >= AT_LEAST, "{here:?}");
}
