//! The server: accepts connections, bounds them, and ends each one properly. A connection whose
//! exchange is cut is dropped at once, even while the client does not read. It must never answer
//! on its own authority: every answer comes from `handle`.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    cells::Keyring,
    ports::{Clock, DeadKeys, UsageSink},
};

/// Limits and names of the endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long the head of a request may take, idle time before it included.
    pub header_timeout: Duration,
    /// How many client connections may be open; more wait to be accepted.
    pub max_connections: usize,
    /// `<bucket>.<suffix>` addresses a bucket; without it only path style is known.
    pub host_suffix: Option<String>,
    /// How long a change is awaited whose client is gone.
    pub outcome_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            max_connections: 1024,
            host_suffix: None,
            outcome_limit: Duration::from_secs(120),
        }
    }
}

/// The S3 endpoint.
pub struct Gateway {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dead_keys: Arc<dyn DeadKeys>,
    pub(crate) usage: Arc<dyn UsageSink>,
    pub(crate) settings: Settings,
    pub(crate) tasks: TaskTracker,
}

impl Gateway {
    /// An endpoint for these keys.
    #[must_use]
    pub fn new(
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        dead_keys: Arc<dyn DeadKeys>,
        usage: Arc<dyn UsageSink>,
        settings: Settings,
    ) -> Self {
        Self {
            keyring,
            clock,
            dead_keys,
            usage,
            settings,
            tasks: TaskTracker::new(),
        }
    }

    /// Serves until `shutdown`, then stops accepting, lets what is open end, and returns. The
    /// caller bounds how long that may take by dropping the future.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        drop(listener);
        shutdown.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
