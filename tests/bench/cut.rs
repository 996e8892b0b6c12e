//! How long a revocation takes to be seen: by the clients whose streams it ends, and by the
//! provider behind them, from the moment `bascule key revoke` is started and from the moment it
//! has answered. Streams go in both directions, flow or stand still, one or 64 at a time.
//!
//! A negative number is a cut that was seen before the answer: keys die in memory first. The time
//! of the answer includes that of starting the command line. Goals (threats.md, c): a cut at most
//! 100 ms after the answer, the answer at most 50 ms after the call, 99 times in 100.
//!
//! `BASCULE_BENCH_ROUNDS` sets the rounds (default 20; a fifth of it with 64 streams). A filter on
//! the command line picks cases by name.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::time::{Duration, Instant};

use bascule_tests::{Conduct, Issued, Relay, World, runtime, wait};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
    task::JoinSet,
};

const MIB: usize = 1 << 20;
/// Longer than any round takes.
const LENGTH: usize = 256 * MIB;

/// What a client does until it is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Client {
    Reads,
    DoesNotRead,
    Sends,
    SendsALittle,
}

struct Case {
    name: &'static str,
    conduct: Conduct,
    client: Client,
}

const CASES: [Case; 6] = [
    case("download, flowing", Conduct::Trickle, Client::Reads),
    case("download, provider silent", Conduct::Drip, Client::Reads),
    case(
        "download, client does not read",
        Conduct::Watch,
        Client::DoesNotRead,
    ),
    case("upload, flowing", Conduct::Trickle, Client::Sends),
    case(
        "upload, client silent",
        Conduct::Watch,
        Client::SendsALittle,
    ),
    case(
        "upload, provider does not read",
        Conduct::Deaf,
        Client::Sends,
    ),
];

const fn case(name: &'static str, conduct: Conduct, client: Client) -> Case {
    Case {
        name,
        conduct,
        client,
    }
}

impl Case {
    const fn uploads(&self) -> bool {
        matches!(self.client, Client::Sends | Client::SendsALittle)
    }
}

/// Opens a stream, and returns when its client saw it end.
async fn stream(link: String, client: Client) -> Instant {
    let (host, target) = link
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .expect("a link");
    let mut socket = TcpStream::connect(host).await.expect("the gateway");
    let uploads = matches!(client, Client::Sends | Client::SendsALittle);
    let head = if uploads {
        format!("PUT /{target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {LENGTH}\r\n\r\n")
    } else {
        format!("GET /{target} HTTP/1.1\r\nhost: {host}\r\n\r\n")
    };
    socket.write_all(head.as_bytes()).await.expect("a request");
    if client == Client::DoesNotRead {
        while !socket
            .ready(Interest::ERROR)
            .await
            .is_ok_and(|ready| ready.is_error())
        {}
        return Instant::now();
    }
    let (mut from, mut to) = socket.into_split();
    let reading = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = from.read(&mut buffer).await {}
        Instant::now()
    };
    let writing = async {
        let piece = vec![7; 16 * 1024];
        loop {
            if uploads && to.write_all(&piece).await.is_err() {
                return;
            }
            match client {
                Client::Sends => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => std::future::pending().await,
            }
        }
    };
    tokio::pin!(reading);
    tokio::select! {
        seen = &mut reading => seen,
        () = writing => Instant::now(),
    }
}

/// Milliseconds between two moments, the other way round too.
fn between(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(later) => later.as_secs_f64() * 1000.0,
        None => from.duration_since(to).as_secs_f64() * -1000.0,
    }
}

#[derive(Default)]
struct Figures {
    reply: Vec<f64>,
    client_from_call: Vec<f64>,
    client_from_reply: Vec<f64>,
    provider_from_call: Vec<f64>,
    provider_from_reply: Vec<f64>,
}

/// Waits until streams that stand still do.
fn settled(relay: &Relay, still: bool) {
    let (mut last, mut same) = (0, 0);
    wait::until("the streams to be on their way", || {
        let now = relay.passed();
        same = if now == last { same + 1 } else { 0 };
        let ready = if still { same >= 10 } else { now != last };
        last = now;
        (now > 0 && ready).then_some(())
    });
}

fn round(
    world: &World,
    relay: &Relay,
    (bucket, key): (&str, &Issued),
    case: &Case,
    streams: usize,
    figures: &mut Figures,
) {
    let (_entered, mut clients) = (runtime().enter(), JoinSet::new());
    let s3 = key.s3();
    for number in 0..streams {
        let prefix = case.conduct.prefix();
        let link = if case.uploads() {
            s3.presigned_for(&Method::PUT, bucket, &format!("{prefix}written-{number}"))
        } else {
            s3.presigned(bucket, &format!("{prefix}read"))
        };
        clients.spawn(stream(link, case.client));
    }
    wait::until("every stream to reach the provider", || {
        (relay.open() == streams).then_some(())
    });
    settled(relay, case.conduct != Conduct::Trickle);
    let called = Instant::now();
    world.cli().run(&["key", "revoke", &key.id]).ok();
    let replied = Instant::now();
    figures.reply.push(between(called, replied));
    let seen = runtime().block_on(clients.join_all());
    wait::until("the provider to see the end of every stream", || {
        (relay.open() == 0).then_some(())
    });
    let ends = relay.ends();
    assert_eq!((seen.len(), ends.len()), (streams, streams));
    for at in seen {
        figures.client_from_call.push(between(called, at));
        figures.client_from_reply.push(between(replied, at));
    }
    for at in ends {
        figures.provider_from_call.push(between(called, at));
        figures.provider_from_reply.push(between(replied, at));
    }
}

fn print(name: &str, streams: usize, what: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
    println!(
        "{name:<32} {streams:>3} {what:<24} {:>8.1} {:>8.1} {:>8.1} {:>6}",
        at(0.5),
        at(0.99),
        values[values.len() - 1],
        values.len()
    );
}

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let rounds: usize = std::env::var("BASCULE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20);
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let relay = Relay::start(&world.minio.address());
    let root = world.minio.credentials();
    world.connect_at("bench", &[&bucket], &relay.endpoint(), root);
    for case in CASES.iter().filter(|case| !case.uploads()) {
        let name = format!("{}read", case.conduct.prefix());
        let s3 = world.minio.s3();
        s3.put(&bucket, &name, vec![7; LENGTH]).expect("an object");
    }
    println!(
        "{:<32} {:>3} {:<24} {:>8} {:>8} {:>8} {:>6}",
        "milliseconds", "c", "until", "p50", "p99", "max", "n"
    );
    for case in &CASES {
        if filter
            .as_ref()
            .is_some_and(|text| !case.name.contains(text.as_str()))
        {
            continue;
        }
        for streams in [1, 64] {
            let mut figures = Figures::default();
            let rounds = if streams == 1 {
                rounds
            } else {
                rounds.div_ceil(5)
            };
            for number in 0..rounds {
                let label = format!("{} {streams} {number}", case.name);
                let key = world.issue("bench", &label);
                round(&world, &relay, (&bucket, &key), case, streams, &mut figures);
            }
            let line = |what, values: &mut [f64]| print(case.name, streams, what, values);
            line("the answer", &mut figures.reply);
            line("client, from the call", &mut figures.client_from_call);
            line("client, from the answer", &mut figures.client_from_reply);
            line("provider, from the call", &mut figures.provider_from_call);
            line(
                "provider, from the answer",
                &mut figures.provider_from_reply,
            );
        }
    }
}
