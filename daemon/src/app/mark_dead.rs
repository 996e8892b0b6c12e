//! Keys that Bascule did not issue and that are dead at their provider: their consumers are found like
//! those of its own dead keys.

use bascule_domain::{
    access_key::AccessKeyId,
    audit::{Asked, Change, Details},
};
use bascule_store::{MarkedKey, SaidBy};

use super::{
    App, Judgement,
    error::{Error, Kind, Result},
    findings::shell_word,
};

/// Who says that a key is dead, and why, in words.
pub(crate) fn marked_words(marked: &MarkedKey) -> String {
    match (&marked.said_by, &marked.reason) {
        (SaidBy::Server(server), _) => format!(
            "the server {server} refused it as unknown on {:.0}",
            marked.marked_at
        ),
        (SaidBy::User, Some(reason)) => reason.clone(),
        (SaidBy::User, None) => String::new(),
    }
}

impl App {
    /// Notes that the user says so.
    pub(crate) async fn mark_dead(&self, asked: Asked, id: &str) -> Result<MarkedKey> {
        let access_key_id: AccessKeyId = id
            .parse()
            .map_err(|error| Error::new(Kind::Invalid, format!("{id:?} is {error}")))?;
        let _writing = self.one_change_at_a_time().await;
        self.may_be_marked(&access_key_id)?;
        let marked = MarkedKey {
            access_key_id,
            marked_at: self.clock.now(),
            reason: asked.reason.as_ref().map(ToString::to_string),
            said_by: SaidBy::User,
        };
        self.mark(Some(asked), marked.clone()).await?;
        self.consumers.look_soon();
        self.sweep.wake();
        Ok(marked)
    }

    /// Takes that back.
    pub(crate) async fn unmark_dead(&self, asked: Asked, id: &str) -> Result<()> {
        let _writing = self.one_change_at_a_time().await;
        let known = id.parse::<AccessKeyId>().ok();
        let known = known.filter(|id| self.consumers.marked(id).is_some());
        let access_key_id = known.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("{id} is not marked as dead"))
                .next("bascule findings")
        })?;
        self.unmark(Some(asked), &access_key_id).await
    }

    fn may_be_marked(&self, id: &AccessKeyId) -> Result<()> {
        Err(match self.judge(id) {
            Judgement::Issued {
                connection, label, ..
            } => Error::new(
                Kind::Refused,
                "this is a living key that Bascule issued; marking would not end it".to_owned(),
            )
            .next(format!(
                "bascule key revoke {}",
                shell_word(&format!("{connection}/{label}"))
            )),
            Judgement::Dead(_) => Error::new(
                Kind::Refused,
                "this key was issued by Bascule, is dead, and is watched already".to_owned(),
            )
            .next("bascule findings"),
            Judgement::Brought { connection, .. } => Error::new(
                Kind::Refused,
                format!(
                    "the connection {connection} uses this key itself; give it another one first"
                ),
            )
            .next(format!(
                "bascule credentials {connection} --credentials-stdin < NEW-PAIR"
            )),
            Judgement::Marked(_) | Judgement::Unknown => return Ok(()),
        })
    }

    /// Marks a key, and judges those who use it. The caller holds the changes.
    pub(super) async fn mark(&self, asked: Option<Asked>, marked: MarkedKey) -> Result<()> {
        let id = marked.access_key_id.clone();
        let change = Change::MarkedDead { key: id.masked() };
        let entry = self.audit(asked, change, Details::default());
        {
            let marked = marked.clone();
            self.stored(move |store| store.mark_key(&marked, &entry))
                .await?;
        }
        self.consumers.mark(marked);
        self.judge_key(&id).await;
        self.sweep.wake();
        Ok(())
    }

    /// As [`App::mark`].
    pub(super) async fn unmark(&self, asked: Option<Asked>, id: &AccessKeyId) -> Result<()> {
        let change = Change::UnmarkedDead { key: id.masked() };
        let entry = self.audit(asked, change, Details::default());
        {
            let id = id.clone();
            self.stored(move |store| store.unmark_key(&id, &entry))
                .await?;
        }
        self.consumers.unmark(id);
        self.judge_key(id).await;
        Ok(())
    }
}
