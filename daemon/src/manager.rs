//! What the daemon tells the service manager that started it: when it serves, when it ends, and that it
//! works. The last is said only after the work path was gone through, so that a daemon that hangs is
//! started anew. It must never say more than was looked at, nor fail anything when nobody listens.

use std::{sync::Arc, time::Duration};

use bascule_gateway::Gateway;
use bascule_os::service::{self, Notice};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Tells the manager. That it does not hear is no failure of ours.
pub(crate) fn tell(notices: &[Notice<'_>]) {
    if let Err(error) = service::tell(notices) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// How long a start that the keychain does not let through stays before it ends. The manager gives up after
/// few starts within its interval (`StartLimitBurst=`), and a keychain may open only long after login: with
/// this between them there are never that many.
const PATIENCE: Duration = Duration::from_secs(120);

/// Before a start is given up that another one soon may do better: so that there is time between them.
/// Without a manager nobody tries again, and nothing is waited for.
pub(crate) fn stay_for_another_start(status: &str) {
    if service::has_manager() {
        tell(&[Notice::Status(status)]);
        std::thread::sleep(PATIENCE);
    }
}

/// What has to answer.
pub(crate) struct WorkPath {
    pub gateway: Arc<Gateway>,
    pub app: Arc<App>,
}

impl WorkPath {
    /// Returns once every thread of the gateway has answered a request and what keeps the state has
    /// answered too; never while one of them hangs. Says whether the gateway answered as it should.
    pub(crate) async fn goes_through(&self) -> bool {
        let (answered, ()) = tokio::join!(self.gateway.answers_itself(), self.app.await_writers());
        answered
    }

    /// Says twice within the manager's patience that the daemon works, as long as it does. Ends when
    /// told to stop, at once where the manager does not watch: an idle daemon stays idle.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let Some(limit) = service::silence_limit() else {
            return;
        };
        let keep_telling = async {
            loop {
                tokio::time::sleep(limit / 2).await;
                if self.goes_through().await {
                    tell(&[Notice::Alive]);
                } else {
                    tracing::error!(
                        "the gateway does not answer as it should; the service manager is not told that it works"
                    );
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_telling => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keychain_that_stays_shut_never_uses_up_the_starts_that_the_manager_allows() {
        for unit in [
            include_str!("../../packaging/systemd/user/bascule.service"),
            include_str!("../../packaging/systemd/system/bascule.service"),
        ] {
            let value = |name: &str| {
                let mut lines = unit.lines();
                lines.find_map(|line| line.strip_prefix(name)).unwrap()
            };
            let number = |text: &str| -> u64 { text.parse().unwrap() };
            let minutes = value("StartLimitIntervalSec=").strip_suffix("min").unwrap();
            let starts = number(value("StartLimitBurst="));
            let between =
                PATIENCE.as_secs() + number(value("RestartSec=").strip_suffix('s').unwrap());
            assert!(between * starts > number(minutes) * 60);
            // And no start is taken for one that hangs.
            let most = value("TimeoutStartSec=").strip_suffix("min").unwrap();
            assert!(PATIENCE.as_secs() * 2 < number(most) * 60);
        }
    }
}
