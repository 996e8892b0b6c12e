//! Listens, for a scream test, whether anybody still uses the paused keys. Silence is counted by the
//! clock that nobody can set, and only while the daemon listens. It wakes for a knock, for a word of the
//! user, at the end, and a few times a day to note how far it is.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bascule_domain::{
    SignedDuration,
    deletion::{Event, Phase, ScreamKnock},
    ids::{DeletionId, KeyId},
};
use bascule_gateway::PausedBy;
use tokio::sync::mpsc;

use super::{
    drive::Driver,
    running::{Progress, Request},
};
use crate::alarm::Alarm;

/// What a kill may cost of the silence.
const NOTED_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// Who listens for knocks with which keys.
#[derive(Default)]
pub(crate) struct Ears {
    any: AtomicBool,
    by_key: Mutex<BTreeMap<KeyId, Ear>>,
}

struct Ear {
    deletion: DeletionId,
    tell: mpsc::Sender<ScreamKnock>,
}

impl Ears {
    /// Tells whoever listens. Returns whether somebody did: the first knock is heard, those that follow
    /// are not worth anything more. Asked at each refusal, so it costs nothing where nobody listens.
    pub(crate) fn knocked(&self, key: KeyId, knock: impl FnOnce() -> ScreamKnock) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let ears = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        ears.get(&key)
            .is_some_and(|ear| ear.tell.try_send(knock()).is_ok())
    }

    fn listen(
        self: &Arc<Self>,
        deletion: DeletionId,
        keys: impl Iterator<Item = KeyId>,
    ) -> Listening {
        let (tell, knocks) = mpsc::channel(1);
        let mut ears = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let tell = tell.clone();
            ears.insert(key, Ear { deletion, tell });
        }
        self.any.store(true, Ordering::Relaxed);
        drop(ears);
        Listening {
            ears: Arc::clone(self),
            deletion,
            knocks,
            _open: tell,
        }
    }
}

struct Listening {
    ears: Arc<Ears>,
    deletion: DeletionId,
    knocks: mpsc::Receiver<ScreamKnock>,
    /// A connection without keys is silent, not closed.
    _open: mpsc::Sender<ScreamKnock>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut ears = self
            .ears
            .by_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ears.retain(|_, ear| ear.deletion != self.deletion);
        self.ears.any.store(!ears.is_empty(), Ordering::Relaxed);
    }
}

impl Driver {
    /// Keeps the keys paused and listens until it was silent for long enough, or the test is called off.
    pub(super) async fn listen(&mut self) -> std::result::Result<(), String> {
        let app = self.app.clone();
        let id = self.deletion.connection;
        app.keyring
            .pause(id, PausedBy::ScreamTest)
            .map_err(|error| error.to_string())?;
        let alarm = Alarm::new().map_err(|error| format!("there is no timer: {error}"))?;
        let keys = app.registry.keys_of(id);
        let mut listening = app
            .knocks
            .ears()
            .listen(self.deletion.id, keys.iter().map(|key| key.id));
        let (hush, _noted) = app.deletions.note_before_stop();
        let mut began = app.clock.moment();
        self.hear(Event::Listened(SignedDuration::ZERO)).await?;
        while self.deletion.phase == Phase::Listening {
            let left = self
                .deletion
                .scream
                .as_ref()
                .and_then(|scream| scream.left());
            let due = left.and_then(|left| app.clock.now().checked_add(left).ok());
            let heard = tokio::select! {
                biased;
                () = hush.cancelled() => None,
                Some(request) = self.requests.recv() => {
                    match request {
                        Request::Cancel(cancel) => return self.cancel(cancel).await,
                        Request::GoOn(go_on) => Some((Event::GoOn, Some(go_on))),
                    }
                }
                Some(knock) = listening.knocks.recv() => Some((Event::Knocked(knock), None)),
                () = alarm.until(due, &*app.clock) => None,
                () = tokio::time::sleep(NOTED_EVERY) => None,
            };
            let now = app.clock.moment();
            let silence = now.elapsed_since(&began).unwrap_or_default();
            began = now;
            self.hear(Event::Listened(silence)).await?;
            match heard {
                Some((event, None)) => {
                    self.hear(event).await?;
                    let why = self.deletion.parked.as_ref();
                    let why = why.map(|parked| parked.reason.clone()).unwrap_or_default();
                    tracing::warn!(
                        why,
                        "a scream test heard a knock; its countdown stands still"
                    );
                    self.publish(Progress::Parked(why));
                }
                Some((event, Some(go_on))) => self.go_on(event, go_on).await?,
                None => {}
            }
            if hush.is_cancelled() {
                // The silence so far is noted; the stop that follows drops this work.
                drop((listening, _noted));
                return std::future::pending().await;
            }
        }
        Ok(())
    }
}
