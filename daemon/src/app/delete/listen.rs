//! Listens, for a scream test, whether anybody still uses the paused keys. Silence is counted by the
//! clock that nobody can set, and only while the daemon listens: not while the machine sleeps. It wakes
//! for a knock, for a word of the user, at the end, and a few times a day to note how far it is.

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
    audit::Asked,
    deletion::{Deletion, Event, Phase, ScreamKnock},
    ids::{DeletionId, KeyId},
};
use bascule_gateway::PausedBy;
use tokio::sync::mpsc;

use super::{
    drive::Driver,
    running::{NotDone, Progress, Wanted},
};
use crate::{alarm::Alarm, app::App};

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

pub(super) struct Listening {
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

impl App {
    /// Pauses the keys, with an ear for whoever knocks with one of them from the first refusal on.
    pub(super) fn begin_to_listen(
        &self,
        deletion: &Deletion,
    ) -> std::result::Result<Listening, String> {
        let keys = self.registry.keys_of(deletion.connection);
        let ears = self.knocks.ears();
        let listening = ears.listen(deletion.id, keys.iter().map(|key| key.id));
        self.keyring
            .pause(deletion.connection, PausedBy::ScreamTest)
            .map_err(|error| error.to_string())?;
        Ok(listening)
    }
}

impl Driver {
    /// Keeps the keys paused and listens until it was silent for long enough, or the test is called off.
    pub(super) async fn listen(&mut self) -> std::result::Result<(), String> {
        let alarm = Alarm::new().map_err(|error| format!("there is no timer: {error}"))?;
        // Kept over a try that failed, so that no knock meanwhile is missed.
        let mut listening = match self.listening.take() {
            Some(listening) => listening,
            None => self.app.begin_to_listen(&self.deletion)?,
        };
        let heard = self.hear_all(&mut listening, &alarm).await;
        if self.deletion.phase == Phase::Listening {
            self.listening = Some(listening);
        }
        heard
    }

    async fn hear_all(
        &mut self,
        listening: &mut Listening,
        alarm: &Alarm,
    ) -> std::result::Result<(), String> {
        let app = self.app.clone();
        let (hush, noted) = app.deletions.note_before_stop();
        let mut began = app.clock.awake();
        self.hear(Event::Listened(SignedDuration::ZERO)).await?;
        while self.deletion.phase == Phase::Listening {
            // Kept until it is stored: no silence counts before it.
            self.store_knock().await?;
            let left = self
                .deletion
                .scream
                .as_ref()
                .and_then(|scream| scream.left());
            let due = left.and_then(|left| app.clock.now().checked_add(left).ok());
            let mut word = None;
            tokio::select! {
                biased;
                // Before all else, a stop too: what is not stored then is never heard of. While it stands
                // still anyway, the first one more waits to be thrown away.
                Some(knock) = listening.knocks.recv(), if left.is_some() => self.knock = Some(knock),
                () = hush.cancelled() => {}
                Some(request) = self.requests.recv() => match request.wanted {
                    Wanted::GoOn => word = Some(request),
                    Wanted::Cancel | Wanted::FinishUnverified => return self.answer(request).await,
                },
                () = alarm.until(due, &*app.clock) => {}
                () = tokio::time::sleep(NOTED_EVERY) => {}
            }
            let now = app.clock.awake();
            let silence = now.saturating_sub(began);
            began = now;
            let heard = match self.knock {
                None => self.hear(Event::Listened(silence)).await,
                Some(_) => Ok(()),
            };
            match word {
                Some(request) => {
                    // Of before the user's word; there is room for one.
                    listening.knocks.try_recv().ok();
                    self.go_on(request, heard).await?;
                }
                None => heard?,
            }
            if hush.is_cancelled() {
                // The silence so far is noted; the stop that follows drops this work.
                drop(noted);
                return std::future::pending().await;
            }
        }
        Ok(())
    }

    /// Keeps the knock that was heard, and lets the countdown stand still.
    pub(super) async fn store_knock(&mut self) -> std::result::Result<(), String> {
        let Some(knock) = self.knock.clone() else {
            return Ok(());
        };
        self.hear(Event::Knocked(knock)).await?;
        self.knock = None;
        let why = self.deletion.parked.as_ref();
        let why = why.map(|parked| parked.reason.clone()).unwrap_or_default();
        tracing::warn!(
            why,
            "a scream test heard a knock; its countdown stands still"
        );
        self.publish(Progress::Parked(why));
        Ok(())
    }

    /// Takes what a scream test hears, and keeps it.
    async fn hear(&mut self, event: Event) -> std::result::Result<(), String> {
        let (mut deletion, mut findings) = (self.deletion.clone(), self.findings.clone());
        deletion
            .apply(&mut findings, event, self.app.clock.now())
            .map_err(|refusal| refusal.to_string())?;
        if deletion.phase == Phase::Listening {
            let noted = self.app.note(&deletion, &findings).await;
            noted.map_err(|error| error.message)?;
            (self.deletion, self.findings) = (deletion, findings);
            self.app.deletions.keep(&self.deletion);
            return Ok(());
        }
        let journalled = self.app.journal(&deletion, &findings, None).await;
        journalled.map_err(|error| error.message)?;
        (self.deletion, self.findings) = (deletion, findings);
        tracing::info!("nobody knocked; the deletion goes on");
        self.publish(Progress::Reached);
        Ok(())
    }

    /// Takes the user's word that the countdown begins anew, and keeps it with who gave it.
    pub(super) async fn count_anew(&mut self, asked: Asked) -> std::result::Result<(), NotDone> {
        let (mut deletion, mut findings) = (self.deletion.clone(), self.findings.clone());
        deletion
            .apply(&mut findings, Event::GoOn, self.app.clock.now())
            .map_err(NotDone::Refused)?;
        let noted = self.app.note_go_on(asked, &deletion, &findings).await;
        noted.map_err(|error| NotDone::Failed(error.message))?;
        (self.deletion, self.findings) = (deletion, findings);
        self.app.deletions.keep(&self.deletion);
        Ok(())
    }
}
