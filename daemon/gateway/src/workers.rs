//! The threads that serve client connections. Each has a runtime of its own, and a connection stays on
//! one of them with all that it needs: its connections to providers, its timers. So no other thread is
//! woken for a request. They must never outlive the value that started them.

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// More threads than this bring a gateway on loopback nothing.
const MOST: usize = 16;

/// Threads that serve connections, one for each processor. Dropping it drops what they serve.
pub struct Workers {
    seats: Seats,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// Where connections can be served.
pub(crate) type Seats = Arc<[Seat]>;

/// One thread, for whoever gives it connections.
pub(crate) struct Seat {
    runtime: Handle,
    /// Connections that it serves.
    open: Arc<AtomicUsize>,
}

/// Counts a connection as open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts them.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut started = Self {
            seats: Arc::new([]),
            threads: Vec::new(),
            stop: CancellationToken::new(),
        };
        let mut seats = Vec::new();
        for number in 0..processors.min(MOST) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            seats.push(Seat {
                runtime: runtime.handle().clone(),
                open: Arc::default(),
            });
            let stop = started.stop.clone();
            let serving = move || {
                runtime.block_on(stop.cancelled());
                runtime.shutdown_background();
            };
            let thread = thread::Builder::new().name(format!("gateway-{number}"));
            started.threads.push(thread.spawn(serving)?);
        }
        started.seats = seats.into();
        Ok(started)
    }

    pub(crate) fn seats(&self) -> Seats {
        Arc::clone(&self.seats)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // One that panicked has said so already.
            thread.join().ok();
        }
    }
}

/// What runs on each thread.
pub(crate) fn runtimes(seats: &[Seat]) -> Vec<Handle> {
    seats.iter().map(|seat| seat.runtime.clone()).collect()
}

/// Serves a connection on the thread that serves the fewest.
pub(crate) fn serve(
    seats: &[Seat],
    tasks: &TaskTracker,
    serving: impl Future<Output = ()> + Send + 'static,
) {
    let fewest = |seat: &&Seat| seat.open.load(Ordering::Relaxed);
    let Some(seat) = seats.iter().min_by_key(fewest) else {
        return;
    };
    seat.open.fetch_add(1, Ordering::Relaxed);
    let open = Open(Arc::clone(&seat.open));
    let counted = async move {
        let _open = open;
        serving.await;
    };
    tasks.spawn_on(counted, &seat.runtime);
}
