//! Whether many keys in the store make requests slower, or issuing one more.

use std::time::{Duration, Instant};

use bascule_client::channel::Client;
use bascule_proto::v1::{IssueKeyRequest, Permission};
use bascule_tests::{Cli, Daemon, Home, Issued, runtime};

use crate::{
    load,
    requests::{Credentials, Kind, Operation, Target},
    setting, stub,
};

const SMALL: Operation = Operation {
    name: "GET 4 KiB c=1",
    kind: Kind::Get,
    bytes: 4096,
    at_once: 1,
    goal: 0.0,
};
/// Keys issued one by one, timed, with few and with many in the store.
const ONE_MORE: usize = 200;

struct Side {
    home: Home,
    daemon: Daemon,
    target: Target,
}

fn side(stub: &str) -> Side {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let endpoint = format!("http://{stub}");
    let cli = Cli::new(&home);
    let args = [
        "connect",
        "keys",
        "--provider",
        "minio",
        "--endpoint",
        &endpoint,
        "--bucket",
        "bench",
        "--allow-http",
        "--credentials-stdin",
    ];
    cli.run_with(&args, "benchbenchbench\nbenchbenchbenchbench\n")
        .ok();
    let issued = Issued::of(
        &cli.run(&["key", "issue", "keys", "--label", "measured"])
            .ok(),
    );
    let target = Target {
        address: issued.endpoint.trim_start_matches("http://").to_owned(),
        bucket: "bench".to_owned(),
        credentials: Credentials {
            id: issued.id,
            secret: issued.secret,
        },
    };
    Side {
        home,
        daemon,
        target,
    }
}

/// Issues so many keys, and returns how long each took.
fn issue(home: &Home, count: usize, label: &str) -> Vec<Duration> {
    runtime().block_on(async {
        let socket = home.runtime().join("bascule.sock");
        let client = Client::connect(Some(&socket)).await.expect("the daemon");
        let mut keys = client.keys();
        let mut took = Vec::with_capacity(count);
        for number in 0..count {
            let begun = Instant::now();
            keys.issue(IssueKeyRequest {
                connection: "keys".to_owned(),
                label: format!("{label}-{number}"),
                permission: Permission::Read.into(),
                ..IssueKeyRequest::default()
            })
            .await
            .expect("a key");
            took.push(begun.elapsed());
        }
        took
    })
}

fn shown(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
    format!(
        "p50 {:.2} ms, p99 {:.2} ms",
        at(0.5).as_secs_f64() * 1e3,
        at(0.99).as_secs_f64() * 1e3
    )
}

/// Measures and prints. `BASCULE_BENCH_KEYS` sets how many keys are many (default 100,000).
pub(crate) fn run() {
    let many = usize::try_from(setting("BASCULE_BENCH_KEYS", 100_000)).expect("a number");
    let rounds = setting("BASCULE_BENCH_ROUNDS", 9);
    println!("\n### {many} keys in the store\n");
    let stub = stub::start("bench").to_string();
    let (few, full) = (side(&stub), side(&stub));
    let begun = Instant::now();
    issue(&full.home, many, "filler");
    println!("- issuing them took {:.0} s", begun.elapsed().as_secs_f64());
    println!(
        "- one more key: {} (goal 10 ms)",
        shown(issue(&full.home, ONE_MORE, "more"))
    );
    println!(
        "- the same with few keys: {}",
        shown(issue(&few.home, ONE_MORE, "more"))
    );
    let window = Duration::from_millis(setting("BASCULE_BENCH_MILLIS", 500));
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let measure = |side: &Side| {
            let sample = load::run(&side.target, &SMALL, window).expect("an answer");
            sample.rate
        };
        // Each goes first every other time.
        let (with_few, with_many) = if round % 2 == 0 {
            let first = measure(&few);
            (first, measure(&full))
        } else {
            let first = measure(&full);
            (measure(&few), first)
        };
        ratios.push(with_many / with_few);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "- {} with many keys, as a part of the rate with few: {:.2} ({:.2}-{:.2})",
        SMALL.name,
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
    let held = |side: &Side| {
        let held = bascule_tests::measure::held(side.daemon.pid()).expect("the daemon's /proc");
        held.resident as f64 / (1024.0 * 1024.0)
    };
    println!(
        "- resident: {:.1} MiB with many, {:.1} MiB with few",
        held(&full),
        held(&few)
    );
}
