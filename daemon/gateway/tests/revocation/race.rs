//! 64 clients hammer one key while it is withdrawn, round after round on the same gateway and the
//! same kept connections. "Late" is what a client sends after the withdrawal has returned: it
//! names another object, so the provider can tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Barrier;

use crate::{
    harness::{Client, wait},
    provider::{Shelf, named},
    stage::{Stage, VAULT, Withdrawal, alive_tasks},
};

const CLIENTS: usize = 64;
/// `BASCULE_TEST_SCALE` multiplies it.
const ROUNDS: usize = 1000;

/// What a client does over and over.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Get,
    Put,
    Download,
    Upload,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Get, Self::Put, Self::Download, Self::Upload];

    const fn of(client: usize) -> Self {
        match client % 8 {
            0 => Self::Download,
            1 => Self::Upload,
            2..=4 => Self::Put,
            _ => Self::Get,
        }
    }

    /// Signed once for all clients of a round: a client must be quick.
    fn wire(self, stage: &Stage, late: bool) -> Vec<u8> {
        let prefix = if late { named::LATE } else { "early" };
        let ask = match self {
            Self::Get => stage.ask("GET", prefix),
            Self::Download if late => stage.ask("GET", prefix),
            Self::Download => stage.ask("GET", named::DRIP),
            Self::Put => stage.ask("PUT", prefix).body(vec![b'x'; 1000]),
            // Half of it, unless it is to be refused.
            Self::Upload => {
                let length = if late { 500 } else { 1000 };
                stage
                    .ask("PUT", &format!("{prefix}-half"))
                    .body(vec![b'x'; 500])
                    .announce(length)
            }
        };
        ask.wire(&stage.world)
    }
}

/// What a round gives its clients.
struct Round {
    early: Vec<Vec<u8>>,
    late: Vec<Vec<u8>>,
    withdrawn: Arc<AtomicBool>,
}

/// Sends a request and reads its answer, on a new connection if the old one was cut. 0 is a cut.
async fn exchange(stage: &Stage, client: &mut Option<Client>, wire: &[u8], streams: bool) -> u16 {
    if client.is_none() {
        *client = Some(stage.dial().await);
    }
    let Some(open) = client else { return 0 };
    let status = match open.try_write(wire).await {
        false => 0,
        true if streams => match open.reply_head().await {
            Some(head) if head.status != 200 => head.status,
            // The end of a stream is its cut.
            _ => {
                open.ends().await;
                0
            }
        },
        true => open.reply(false).await.map_or(0, |reply| reply.status),
    };
    // A refusal in the middle of an upload ends the connection, too.
    if status != 200 {
        *client = None;
    }
    status
}

async fn hammer(stage: &Stage, kind: Kind, round: &Round, client: &mut Option<Client>) {
    let streams = matches!(kind, Kind::Download | Kind::Upload);
    while !round.withdrawn.load(Ordering::SeqCst) {
        exchange(stage, client, &round.early[kind as usize], streams).await;
    }
    let status = exchange(stage, client, &round.late[kind as usize], false).await;
    // The withdrawal may still be cutting the connection, which no request outlives.
    assert!(matches!(status, 0 | 403), "accepted late: {status}");
}

/// Withdraws the key of each round at another moment of it.
async fn race(rounds: usize, how: impl Fn(usize) -> Withdrawal) {
    let stage = Stage::new().await;
    let mut stage = Arc::new(stage);
    let (descriptors, idle) = (open_descriptors(), alive_tasks());
    let kept: Vec<_> = (0..CLIENTS)
        .map(|_| Arc::new(tokio::sync::Mutex::new(None)))
        .collect();
    for number in 0..rounds {
        let round = Arc::new(Round {
            early: Kind::ALL.map(|kind| kind.wire(&stage, false)).to_vec(),
            late: Kind::ALL.map(|kind| kind.wire(&stage, true)).to_vec(),
            withdrawn: Arc::default(),
        });
        let start = Arc::new(Barrier::new(CLIENTS + 1));
        let before = stage.shelf.requests();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|which| {
                let (stage, round) = (Arc::clone(&stage), Arc::clone(&round));
                let (start, client) = (Arc::clone(&start), Arc::clone(&kept[which]));
                tokio::spawn(async move {
                    let mut client = client.lock().await;
                    start.wait().await;
                    hammer(&stage, Kind::of(which), &round, &mut client).await;
                })
            })
            .collect();
        start.wait().await;
        let withdrawal = how(number);
        let revoker = {
            let (stage, round) = (Arc::clone(&stage), Arc::clone(&round));
            // A thread of its own: nothing of the runtime waits for it, nor it for the runtime.
            std::thread::spawn(move || {
                // From the first requests to a good many.
                let enough = before + 1 + (number * 7) % (2 * CLIENTS);
                while stage.shelf.requests() < enough {
                    std::thread::sleep(Duration::from_micros(50));
                }
                withdrawal.apply(&stage);
                round.withdrawn.store(true, Ordering::SeqCst);
            })
        };
        for client in clients {
            client.await.unwrap();
        }
        revoker.join().unwrap();
        assert_eq!(stage.shelf.late(), 0, "round {number}, {withdrawal:?}");
        wait(|| stage.connection.open_requests() == 0 && stage.shelf.open() == 0).await;
        assert_eq!(halves(&stage.shelf), 0, "a cut upload came to its end");
        stage.shelf.forget();
        let next = Arc::get_mut(&mut stage).expect("nobody uses the stage between rounds");
        match withdrawal {
            Withdrawal::Pause => next.world.keyring.resume(VAULT).unwrap(),
            Withdrawal::Removal => next.connect_again(),
            Withdrawal::Revocation
            | Withdrawal::Change
            | Withdrawal::KeyPause
            | Withdrawal::Narrowing => {}
        }
        next.issue();
    }
    drop(kept);
    wait(|| alive_tasks() == idle).await;
    wait(|| open_descriptors() <= descriptors).await;
}

fn halves(shelf: &Shelf) -> usize {
    let stored = shelf.stored();
    stored.iter().filter(|name| name.ends_with("-half")).count()
}

/// Of this process; 0 where they can't be counted.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn scale() -> usize {
    std::env::var("BASCULE_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn c1_nothing_is_accepted_after_a_revocation_returned() {
    race(ROUNDS * scale(), |_| Withdrawal::Revocation).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn c1_nothing_is_accepted_after_a_pause_or_a_removal_returned() {
    race(ROUNDS / 10 * scale(), |number| {
        if number % 2 == 0 {
            Withdrawal::Pause
        } else {
            Withdrawal::Removal
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_is_accepted_after_a_key_was_paused_or_narrowed() {
    race(ROUNDS / 10 * scale(), |number| {
        if number % 2 == 0 {
            Withdrawal::KeyPause
        } else {
            Withdrawal::Narrowing
        }
    })
    .await;
}
