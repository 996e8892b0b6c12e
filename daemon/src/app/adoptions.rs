//! Adoptions: keeps what stands in files before a client changes them, and what became of that. It
//! touches no file of the user's.
//!
//! `access` is the one place where a connection's own credentials leave the daemon: whoever came with
//! them must be able to leave with them. Nobody gets more by it than the socket gives anyway, since
//! whoever reaches that can issue keys and use the credentials through the gateway.

use std::sync::Arc;

use bascule_domain::{
    Timestamp,
    adoption::{Adoption, AdoptionId, Adoptions, Layout, Originals, Refusal, State},
    audit::{AdoptionStep, Asked, Change, Details},
    connection::{Connection, Location},
    names::ConsumerName,
    secret::Credentials,
};
use bascule_store::Store;

use super::{
    App,
    error::{Error, Kind, Result},
    findings::shell_word,
    named::Named,
};
use crate::random;

/// What a client is about to change.
pub(crate) struct AdoptionWish {
    /// The key that the consumer gets, as a user names one.
    pub key: String,
    pub consumer: ConsumerName,
    pub layout: Layout,
    pub originals: Originals,
    /// The adoption whose place it takes, as a user names one.
    pub replaces: Option<String>,
}

/// How a connection of an adoption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    Living,
    Deleting,
    Deleted,
}

/// An adoption, as it is shown.
pub(crate) struct AdoptionView {
    pub adoption: Adoption,
    /// What connection and key are called now, or were last.
    pub connection: String,
    pub label: String,
    /// Whether a later one is adopted in its place.
    pub replaced: bool,
    pub connection_state: ConnectionState,
}

impl AdoptionView {
    /// The word for its state.
    pub(crate) const fn state(&self) -> &'static str {
        match self.replaced {
            true => "replaced",
            false => self.adoption.state.as_str(),
        }
    }

    /// Whether the files as they were are kept.
    pub(crate) fn originals_kept(&self) -> bool {
        self.adoption.state.is_open() && self.connection_state != ConnectionState::Deleted
    }
}

/// A connection with its own credentials.
pub(crate) struct Access {
    pub connection: Connection,
    pub credentials: Arc<Credentials>,
}

impl App {
    pub(crate) async fn prepare_adoption(
        &self,
        by: Asked,
        wish: AdoptionWish,
    ) -> Result<AdoptionView> {
        let _changing = self.one_change_at_a_time().await;
        let (entry, key) = match self.find_key(&wish.key)? {
            Named::Living(entry, key) => (entry, key),
            Named::Dead(tombstone) => return Err(Error::dead_key(&tombstone)),
        };
        let name = &entry.connection.name;
        if entry.deletion.is_some() {
            return Err(
                Error::new(Kind::Refused, format!("{name} is being deleted"))
                    .next("bascule deletion list"),
            );
        }
        let known = self.adoptions().await?;
        let replaces = wish.replaces.as_deref();
        let replaces = replaces.map(|id| one_of(&known, id)).transpose()?;
        let adoption = Adoption {
            id: AdoptionId::from_random(random::bytes()),
            connection: key.connection,
            connection_name: name.clone(),
            key: key.id,
            label: key.label.clone(),
            consumer: wish.consumer,
            state: State::Prepared,
            replaces: replaces.map(|former| former.id),
            layout: wish.layout,
            paths: wish.originals.paths(),
            bytes: wish.originals.bytes(),
            prepared_at: self.clock.now(),
            settled_at: None,
            rights: None,
        };
        known.admit(&adoption)?;
        let audit = self.audit(
            Some(by),
            change(&adoption, AdoptionStep::Prepared),
            Details::of_key(name, &key).given_to(&adoption.consumer),
        );
        {
            let (adoption, originals) = (adoption.clone(), wish.originals);
            self.stored(move |store| store.prepare_adoption(&adoption, &originals, &audit))
                .await?;
        }
        tracing::info!(adoption = %adoption.id, connection = %adoption.connection, "adoption prepared");
        Ok(self.adoption_view(&known, adoption))
    }

    pub(crate) async fn settle_adoption(
        &self,
        by: Asked,
        id: &str,
        outcome: State,
        layout: Option<Layout>,
    ) -> Result<AdoptionView> {
        let _changing = self.one_change_at_a_time().await;
        let known = self.adoptions().await?;
        let adoption = one_of(&known, id)?.clone();
        let settled = known.settle(adoption.id, outcome, layout, self.clock.now())?;
        if settled.is_empty() {
            return Ok(self.adoption_view(&known, adoption));
        }
        let step = match outcome {
            State::Adopted if adoption.replaces.is_some() => AdoptionStep::Repaired,
            State::Adopted => AdoptionStep::Adopted,
            State::RolledBack => AdoptionStep::RolledBack,
            State::Undone => AdoptionStep::Undone,
            State::Ejected => AdoptionStep::Ejected,
            // Nobody can ask for these.
            State::Prepared | State::Replaced => AdoptionStep::Prepared,
        };
        let view = self.adoption_view(&known, adoption.clone());
        let details = Details {
            connection: view.connection.parse().ok(),
            label: view.label.parse().ok(),
            ..Details::default()
        };
        let audit = self.audit(
            Some(by),
            change(&adoption, step),
            details.given_to(&adoption.consumer),
        );
        self.stored(move |store| store.settle_adoptions(&settled, &audit))
            .await?;
        tracing::info!(adoption = %adoption.id, state = %outcome, "adoption settled");
        // One that is old enough to be forgotten at once is still told as it ended.
        let known = self.adoptions().await?;
        let adoption = known.get(adoption.id).cloned().unwrap_or(Adoption {
            state: outcome,
            settled_at: Some(self.clock.now()),
            ..adoption
        });
        Ok(self.adoption_view(&known, adoption))
    }

    /// Those of a connection or a key, or all: open ones first, the latest first.
    pub(crate) async fn list_adoptions(&self, of: &str) -> Result<Vec<AdoptionView>> {
        let subject = self.subject(of)?;
        let known = self.adoptions().await?;
        let mut listed: Vec<_> = known
            .iter()
            .filter(|adoption| subject.holds(adoption.connection, adoption.key))
            .map(|adoption| self.adoption_view(&known, adoption.clone()))
            .collect();
        let latest = |view: &AdoptionView| -> Timestamp {
            let adoption = &view.adoption;
            adoption.settled_at.unwrap_or(adoption.prepared_at)
        };
        listed.sort_by_key(|view| {
            (
                !view.adoption.state.is_open(),
                std::cmp::Reverse((latest(view), view.adoption.id)),
            )
        });
        Ok(listed)
    }

    /// The files as they were.
    pub(crate) async fn originals(&self, id: &str) -> Result<Originals> {
        let known = self.adoptions().await?;
        let adoption = one_of(&known, id)?.clone();
        let id = adoption.id;
        let state = self
            .adoption_view(&known, adoption.clone())
            .connection_state;
        let kept = {
            let adoption = adoption.clone();
            self.stored(move |store| store.originals(&adoption)).await?
        };
        let is_replaced = known.is_replaced(&adoption);
        kept.ok_or_else(|| {
            let (name, state_word) = (&adoption.connection_name, adoption.state);
            let why = match (adoption.state.is_open(), state) {
                (false, _) => format!("{id} is {state_word}, so its files are not kept any more"),
                (true, ConnectionState::Living) => {
                    format!("the files of {id} are in no backup that was restored")
                }
                (true, ConnectionState::Deleting | ConnectionState::Deleted) => {
                    format!("{name} is erased, and with it what stood in the files of {id}")
                }
            };
            let consumer = shell_word(adoption.consumer.as_str());
            let next = match (adoption.state.is_open(), state) {
                (false, _) => "bascule adopt --list".to_owned(),
                // It has a key that another connection may give back.
                (true, ConnectionState::Living) => format!("bascule eject {consumer}"),
                (true, _) if is_replaced => format!("bascule eject {consumer}"),
                (true, _) => format!("bascule repair {consumer}"),
            };
            Error::new(Kind::Refused, why).next(next)
        })
    }

    /// A connection's own credentials, for a consumer that gets them back. Each time is recorded before
    /// it is answered.
    pub(crate) async fn access(
        &self,
        by: Asked,
        name: &str,
        consumer: &ConsumerName,
    ) -> Result<Access> {
        let _changing = self.one_change_at_a_time().await;
        let entry = self.unhindered(name)?;
        if matches!(entry.connection.location, Location::Folder { .. }) {
            return Err(Error::new(
                Kind::Refused,
                format!("{name} is a folder of this machine: no server but the gateway serves it"),
            )
            .next("bascule connect, to add a connection that the tool can be moved to"));
        }
        let change = Change::CredentialsHandedOut {
            connection: entry.connection.id,
        };
        let details = Details::of(&entry.connection).given_to(consumer);
        let audit = self.audit(Some(by), change, details);
        self.stored(move |store| store.note_hand_out(&audit))
            .await?;
        tracing::info!(connection = %entry.connection.id, "the connection's own credentials were handed out");
        Ok(Access {
            connection: entry.connection,
            credentials: entry.credentials,
        })
    }

    /// All that are remembered, read anew: they are asked for seldom, and may be many.
    pub(super) async fn adoptions(&self) -> Result<Adoptions> {
        self.stored(Store::adoptions).await
    }

    fn adoption_view(&self, known: &Adoptions, adoption: Adoption) -> AdoptionView {
        let entry = self.registry.get(adoption.connection);
        let key = self.registry.key_by_id(adoption.key);
        AdoptionView {
            connection: entry.as_ref().map_or_else(
                || adoption.connection_name.to_string(),
                |entry| entry.connection.name.to_string(),
            ),
            label: key.map_or_else(|| adoption.label.to_string(), |key| key.label.to_string()),
            replaced: known.is_replaced(&adoption),
            connection_state: match entry {
                None => ConnectionState::Deleted,
                Some(entry) if entry.deletion.is_some() => ConnectionState::Deleting,
                Some(_) => ConnectionState::Living,
            },
            adoption,
        }
    }
}

const fn change(adoption: &Adoption, step: AdoptionStep) -> Change {
    Change::Adoption {
        connection: adoption.connection,
        key: adoption.key,
        adoption: adoption.id,
        step,
    }
}

/// The one whose id is this, or alone begins so.
fn one_of<'a>(known: &'a Adoptions, text: &str) -> Result<&'a Adoption> {
    let wanted = text.to_ascii_lowercase();
    let digits = wanted.strip_prefix('a').unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::new(
            Kind::Invalid,
            format!("{text:?} is no id of an adoption, nor the beginning of one"),
        )
        .next("bascule adopt --list"));
    }
    let begins = |adoption: &&Adoption| {
        let id = adoption.id.to_string().to_ascii_lowercase();
        id.starts_with(&wanted)
    };
    let mut found = known.iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(adoption), None) => Ok(adoption),
        (Some(_), Some(_)) => Err(Error::new(
            Kind::Invalid,
            format!("several adoptions begin with {text}; give more of it"),
        )
        .next("bascule adopt --list")),
        (None, _) => Err(
            Error::new(Kind::NotFound, format!("there is no adoption {text}"))
                .next("bascule adopt --list"),
        ),
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let next = match &refusal {
            Refusal::Open { id, .. } => format!("bascule adopt --undo {id}"),
            Refusal::Replaced { by, .. } => format!("bascule adopt --undo {by}"),
            Refusal::Full => "bascule eject, for what need not be adopted".to_owned(),
            Refusal::NotInForce { .. }
            | Refusal::OtherConsumer { .. }
            | Refusal::Outcome { .. }
            | Refusal::Unknown(_) => "bascule adopt --list".to_owned(),
        };
        Self::new(Kind::Refused, refusal.to_string()).next(next)
    }
}
