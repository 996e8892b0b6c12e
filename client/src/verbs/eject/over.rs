//! Records of tools that are gone, or whose files hold their key no more: there is nothing to change but the
//! record. What can't be told is never closed.

use bascule_domain::adoption::State;
use bascule_watch::adopt::Selector;

use super::Closed;
use crate::{
    channel::Client,
    error::Error,
    moving::{
        Left, Seen,
        absent::{self, Absent},
        adopted::{Adoption, ConnectionState},
        interrupted::{self, GivenUp},
        record,
    },
};

/// An adopted tool whose files hold its key no more: there is nothing to change but the record.
pub(super) struct Over {
    pub(super) adoption: Adoption,
    pub(super) absent: Absent,
}

pub(super) fn is_meant(adoption: &Adoption, selectors: &[Selector]) -> bool {
    selectors.iter().any(|selector| match selector {
        Selector::All => true,
        Selector::Named(name) => {
            adoption.consumer == *name
                || adoption.connection == *name
                    && adoption.connection_state != ConnectionState::Deleted
        }
        Selector::File(path) => adoption.paths.contains(path),
    })
}

/// Adopted tools that are meant and that no look finds any more, and moves that were interrupted and whose files
/// are not there: what is over can be closed, and of the others is told why not.
pub(super) async fn unseen(
    adoptions: &[Adoption],
    seen: &Seen,
    selectors: &[Selector],
    gone: bool,
    client: &Client,
) -> Result<(Vec<Over>, Vec<Left>), Error> {
    let (mut over, mut left) = (Vec::new(), Vec::new());
    for adoption in adoptions {
        if !is_meant(adoption, selectors) {
            continue;
        }
        let absent = match adoption.state {
            State::Adopted => absent::absent(adoption, seen, client).await?,
            // While a file is there, the next run that changes files finishes it.
            State::Prepared => absent::files(adoption),
            State::RolledBack | State::Undone | State::Ejected | State::Replaced => None,
        };
        let Some(absent) = absent else { continue };
        let is_away = matches!(absent, Absent::Away(_));
        let is_over = absent.is_over() || is_away && gone;
        let mut why = absent.told();
        let one = Over {
            adoption: adoption.clone(),
            absent,
        };
        if adoption.is_half_done()
            && let Err(error) = interrupted::refuse_others(adoption)
        {
            let next = error.next;
            left.push(Left {
                next,
                ..one.left(error.message)
            });
            continue;
        }
        if is_over {
            over.push(one);
            continue;
        }
        if is_away {
            why.push_str("; if it won't come back, say so with --gone");
        }
        left.push(one.left(why));
    }
    // It stands on the one that it was to replace.
    over.sort_by_key(|one| !one.adoption.is_half_done());
    Ok((over, left))
}

impl Over {
    /// Closes the record.
    pub(super) async fn close(&self, client: &Client, reason: &str) -> Result<(), Error> {
        let outcome = match self.adoption.is_half_done() {
            true => State::RolledBack,
            false => State::Ejected,
        };
        record::settle(client, &self.adoption.id, outcome, reason).await
    }

    pub(super) fn key(&self) -> String {
        key(&self.adoption)
    }

    pub(super) fn left(&self, why: String) -> Left {
        Left {
            consumer: self.adoption.consumer.clone(),
            key: self.key(),
            why,
            next: None,
            is_done: false,
        }
    }
}

/// The key that an adoption gave, as a user names it.
fn key(adoption: &Adoption) -> String {
    format!("{}/{}", adoption.connection, adoption.label)
}

impl From<&GivenUp> for Closed {
    fn from(one: &GivenUp) -> Self {
        Self {
            consumer: one.adoption.consumer.clone(),
            key: key(&one.adoption),
            why: Absent::FilesGone.told(),
            key_lives: one.fate.lives(),
        }
    }
}

impl From<&Over> for Closed {
    fn from(over: &Over) -> Self {
        Self {
            consumer: over.adoption.consumer.clone(),
            key: over.key(),
            why: over.absent.told(),
            key_lives: false,
        }
    }
}
