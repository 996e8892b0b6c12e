//! A key has leaked. One that Bascule issued is replaced at once. For the provider's own key of a
//! connection, the connection is paused, and what is still to be done follows from the facts
//! (`domain::leak`); the key is kept, sealed, only until the provider is seen to refuse it.

mod shown;

use std::collections::BTreeSet;

use bascule_adapters::ProbeFailure;
use bascule_domain::{
    access_key::AccessKeyId,
    audit::{Asked, Change, Details},
    connection::{Connection, KeySpace, Location},
    ids::ConnectionId,
    leak::{Leak, Remaining},
    provider::ProviderKind,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::PausedBy;
use bascule_store::ReportedLeak;

use self::shown::Meant;
use super::{
    App, Rotated,
    connect::location_text,
    error::{Error, Kind, Result},
    pause::not_durable,
    registry::{Entry, View},
};

/// What was done about a leaked key.
pub(crate) enum Leaked {
    /// An issued key: dead, and here is the one that took its place.
    Replaced(AccessKeyId, Box<Rotated>),
    /// An issued key: dead, without a successor, and why.
    Buried(AccessKeyId, Tombstone, String),
    /// It was dead before; its id is gone unless it was given whole.
    Dead(Option<AccessKeyId>, Tombstone),
    /// A connection's own key at its provider.
    Brought(Box<Brought>),
}

/// How the leak of a provider's key stands.
pub(crate) struct Brought {
    pub view: View,
    pub leak: Leak,
    pub remaining: Vec<Remaining>,
    /// How the provider revokes it, a line each.
    pub at_the_provider: Vec<String>,
    /// Other connections that use the same key.
    pub also_used_by: Vec<String>,
    /// Connections to other servers, whose key merely has the same id.
    pub same_id_elsewhere: Vec<String>,
}

/// Whose key at a provider it is.
struct Holders {
    /// The connections with this very key.
    same: Vec<Entry>,
    /// The names of those whose key has this id at another server.
    elsewhere: Vec<String>,
}

/// What the provider said about a leaked key.
pub(crate) enum Proof {
    /// It refuses the key.
    Dead(String),
    /// It takes the key.
    Alive(String),
    /// It can't be told.
    NotKnown(String),
}

impl App {
    /// `connection` says whose key it is, where several servers have one with this id.
    pub(crate) async fn leak(
        &self,
        by: Asked,
        id: &str,
        connection: Option<&str>,
    ) -> Result<Leaked> {
        let _changing = self.one_change_at_a_time().await;
        match self.shown(id)? {
            Meant::Issued(entry, key) => {
                let id = key.access_key_id.clone();
                let expired = key.expires_at.is_some_and(|end| self.clock.now() >= end);
                let why = if entry.deletion.is_some() {
                    Some(format!("{} is being deleted", entry.connection.name))
                } else if expired && !entry.rotations.contains_key(&key.id) {
                    Some("it had expired, and its successor would be expired too".to_owned())
                } else {
                    None
                };
                if let Some(why) = why {
                    let tombstone = self.bury(by, &entry, &key, CauseOfDeath::Revoked).await?;
                    return Ok(Leaked::Buried(id, tombstone, why));
                }
                let rotated = if entry.rotations.contains_key(&key.id) {
                    // Its successor is there already.
                    self.end_retiring(by, &key).await?
                } else {
                    self.replace(by, &entry, &key).await?
                };
                Ok(Leaked::Replaced(id, Box::new(rotated)))
            }
            Meant::Dead(id, tombstone) => Ok(Leaked::Dead(id, tombstone)),
            Meant::Provider(id) => {
                let holders = self.holders(&id, connection)?;
                self.report_leak(by, &id, holders.same).await?;
                let holders = self.holders(&id, connection)?;
                let (entry, leak) = brought(&id, &holders)?;
                self.standing(entry.connection.id, leak, holders.elsewhere)
                    .map(|brought| Leaked::Brought(Box::new(brought)))
            }
        }
    }

    /// Asks the provider whether it still takes a leaked key.
    pub(crate) async fn prove_leak(
        &self,
        by: Asked,
        id: &str,
        connection: Option<&str>,
    ) -> Result<(Proof, Brought)> {
        let Meant::Provider(whole) = self.shown(id)? else {
            return Err(unknown(id));
        };
        let holders = self.holders(&whole, connection)?;
        let (entry, leak) = brought(&whole, &holders)?;
        let standing = |leak| self.standing(entry.connection.id, leak, holders.elsewhere);
        if let Some(at) = leak.seen_dead_at {
            let proof = Proof::Dead(format!("the provider was seen to refuse it at {at:.0}"));
            return Ok((proof, standing(leak)?));
        }
        if entry.connection.credentials_generation == leak.generation {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "{} still uses this key itself; a probe would prove nothing",
                    entry.connection.name
                ),
            )
            .next(format!(
                "bascule credentials {} --credentials-stdin < NEW-PAIR",
                entry.connection.name
            )));
        }
        let sealed = {
            let leak = leak.clone();
            self.stored(move |store| store.leaked_credentials(&leak))
                .await?
        };
        let credentials = sealed.ok_or_else(|| unknown(id))?;
        let storage = self
            .storage(&entry)
            .map_err(|trouble| Error::new(Kind::Provider, trouble))?;
        let probed = storage.probe(&credentials, &entry.connection.buckets).await;
        let proof = judge(probed.map(|_| ()));
        if !matches!(proof, Proof::Dead(_)) {
            return Ok((proof, standing(leak)?));
        }
        let _changing = self.one_change_at_a_time().await;
        let leak = Leak {
            seen_dead_at: Some(self.clock.now()),
            ..leak
        };
        let audit = self.audit(
            Some(by),
            Change::LeakClosed {
                connection: leak.connection,
            },
            Details::of(&entry.connection),
        );
        {
            let leak = leak.clone();
            self.stored(move |store| store.close_leak(&leak, &audit))
                .await?;
        }
        self.remember(&leak);
        tracing::info!(connection = %leak.connection, "a leaked key is dead at the provider");
        Ok((proof, standing(leak)?))
    }

    /// Leaks that are not dealt with, each in words.
    pub(super) fn open_leaks(&self) -> Vec<String> {
        let mut open = Vec::new();
        for entry in self.registry.living() {
            for leak in &entry.leaks {
                if !leak.remaining(&entry.connection).is_empty() {
                    open.push(format!(
                        "{}: its key {} has leaked, and not everything is done about it; see: bascule leak {}",
                        entry.connection.name,
                        leak.access_key_id.masked(),
                        leak.access_key_id
                    ));
                }
            }
        }
        open
    }

    /// Pauses every connection that uses the key, in one go, and keeps it for the proof. What was
    /// reported before stays as it is.
    async fn report_leak(&self, by: Asked, id: &AccessKeyId, holders: Vec<Entry>) -> Result<()> {
        let mut reported = Vec::new();
        for entry in holders {
            let generation = entry.connection.credentials_generation;
            let known = entry
                .leaks
                .iter()
                .any(|leak| leak.access_key_id == *id && leak.generation == generation);
            if known || entry.credentials.access_key_id != *id || entry.deletion.is_some() {
                continue;
            }
            let connection = self.paused(&entry);
            // Closed in memory first: whatever becomes of the commit, nothing is admitted meanwhile.
            self.close(&connection, PausedBy::Leak)?;
            reported.push(ReportedLeak {
                leak: Leak {
                    connection: connection.id,
                    access_key_id: id.clone(),
                    generation,
                    reported_at: self.clock.now(),
                    seen_dead_at: None,
                },
                secret: entry.credentials.secret.clone(),
                audit: self.audit(
                    Some(by.clone()),
                    Change::LeakReported {
                        connection: connection.id,
                    },
                    Details::of(&connection),
                ),
                connection,
            });
        }
        if reported.is_empty() {
            return Ok(());
        }
        let leaks: Vec<_> = reported.iter().map(|one| one.leak.clone()).collect();
        self.stored(move |store| store.report_leaks(&reported))
            .await
            .map_err(not_durable)?;
        for leak in &leaks {
            self.remember(leak);
            tracing::warn!(connection = %leak.connection, "a key at the provider is said to have leaked");
        }
        Ok(())
    }

    fn remember(&self, leak: &Leak) {
        self.registry.update(leak.connection, |entry| {
            entry
                .leaks
                .retain(|known| known.access_key_id != leak.access_key_id);
            entry.leaks.push(leak.clone());
        });
    }

    /// The connection is read again: it may have been resumed meanwhile.
    fn standing(
        &self,
        connection: ConnectionId,
        leak: Leak,
        same_id_elsewhere: Vec<String>,
    ) -> Result<Brought> {
        let entry = self.registry.get(connection);
        let entry = entry.ok_or_else(|| unknown(leak.access_key_id.as_str()))?;
        let space = entry.connection.location.key_space();
        let also_used_by = self
            .providers()
            .filter(|other| {
                other.connection.id != connection
                    && other.credentials.access_key_id == leak.access_key_id
                    && other.connection.location.key_space() == space
            })
            .map(|other| other.connection.name.to_string())
            .collect();
        Ok(Brought {
            remaining: leak.remaining(&entry.connection),
            at_the_provider: at_the_provider(&entry.connection, leak.access_key_id.as_str()),
            view: self.view(&entry),
            leak,
            also_used_by,
            same_id_elsewhere,
        })
    }

    /// Connections whose credentials are a key at a provider: those of the embedded service are
    /// only a formality.
    fn providers(&self) -> impl Iterator<Item = Entry> + use<> {
        self.registry
            .living()
            .into_iter()
            .filter(|entry| entry.connection.provider != ProviderKind::Local)
    }

    /// Whose key it is, or was. Servers that don't know one another may have keys with the same id,
    /// and which of them has leaked is never guessed.
    fn holders(&self, id: &AccessKeyId, connection: Option<&str>) -> Result<Holders> {
        let of = |entry: &Entry| {
            let mut leaked = entry.leaks.iter().map(|leak| &leak.access_key_id);
            entry.credentials.access_key_id == *id || leaked.any(|leaked| leaked == id)
        };
        let all: Vec<_> = self.providers().filter(of).collect();
        let meant = match connection {
            Some(name) => {
                let named = |entry: &&Entry| entry.connection.name.as_str() == name;
                let entry = all.iter().find(named).ok_or_else(|| {
                    Error::new(Kind::NotFound, format!("{id} is no key of {name}"))
                        .next("bascule list")
                })?;
                entry.connection.location.key_space()
            }
            None => {
                // A leak that is being dealt with is gone on with.
                let under_way = |entry: &&Entry| {
                    let mut leaks = entry.leaks.iter().filter(|leak| leak.access_key_id == *id);
                    leaks.any(|leak| !leak.remaining(&entry.connection).is_empty())
                };
                only(all.iter())
                    .or_else(|| only(all.iter().filter(under_way)))
                    .ok_or_else(|| several(id, &all))?
            }
        };
        let (same, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|entry| entry.connection.location.key_space() == meant);
        let elsewhere = others.iter().map(|entry| entry.connection.name.to_string());
        Ok(Holders {
            same,
            elsewhere: elsewhere.collect(),
        })
    }
}

/// The connection where most is left to do about a leaked key, and how that stands.
fn brought(id: &AccessKeyId, holders: &Holders) -> Result<(Entry, Leak)> {
    let mut deleted = None;
    let mut found = Vec::new();
    for entry in &holders.same {
        let leak = entry.leaks.iter().find(|leak| leak.access_key_id == *id);
        match (entry.deletion, leak) {
            (Some(deletion), _) => deleted = Some((entry, deletion)),
            (None, Some(leak)) => found.push((entry.clone(), leak.clone())),
            (None, None) => {}
        }
    }
    let urgency = |(entry, leak): &(Entry, Leak)| {
        let next = leak.remaining(&entry.connection).first().copied();
        (next.is_none(), next)
    };
    if let Some(most) = found.into_iter().min_by_key(urgency) {
        return Ok(most);
    }
    let (entry, deletion) = deleted.ok_or_else(|| unknown(id.as_str()))?;
    Err(Error::new(
        Kind::Refused,
        format!(
            "this is the provider's key of {}, which is being deleted: nothing is admitted through it any more, but the key stays valid at the provider until you revoke it there",
            entry.connection.name
        ),
    )
    .next(format!("bascule deletion show {deletion}")))
}

/// Where all of them have their keys, if that is one place.
fn only<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<KeySpace> {
    let spaces: BTreeSet<_> = entries
        .map(|entry| entry.connection.location.key_space())
        .collect();
    let mut spaces = spaces.into_iter();
    spaces.next().filter(|_| spaces.next().is_none())
}

/// The id stands for keys of several servers.
fn several(id: &AccessKeyId, all: &[Entry]) -> Error {
    let Some(first) = all.first() else {
        return unknown(id.as_str());
    };
    let told = |entry: &Entry| {
        let place = location_text(&entry.connection.location);
        format!("{} ({place})", entry.connection.name)
    };
    let told: Vec<_> = all.iter().map(told).collect();
    Error::new(
        Kind::Invalid,
        format!(
            "keys of different servers have the id {id}: {}; say which has leaked",
            told.join(", ")
        ),
    )
    .next(format!(
        "bascule leak {id} --connection {}",
        first.connection.name
    ))
}

fn unknown(id: &str) -> Error {
    Error::new(
        Kind::NotFound,
        format!(
            "{id} is no key that Bascule knows: neither issued, nor dead, nor the provider's key of a connection; if it is yours, revoke it where it was made (AWS: IAM; Cloudflare: R2 API tokens; MinIO: mc admin accesskey)"
        ),
    )
    .next("see what there is: bascule key list; bascule list")
}

/// What the answer of the provider proves about a pair.
fn judge(probed: std::result::Result<(), ProbeFailure>) -> Proof {
    match probed {
        Ok(()) => Proof::Alive("the provider still takes the old pair".into()),
        Err(ProbeFailure::NoPermission { .. }) => Proof::Alive(
            "the provider still knows the old pair, although it may do less than before".into(),
        ),
        Err(failure @ (ProbeFailure::UnknownKey | ProbeFailure::WrongSecret)) => {
            Proof::Dead(format!("the provider refuses the old pair: {failure}"))
        }
        Err(failure) => Proof::NotKnown(failure.to_string()),
    }
}

/// How a key is revoked where it was made.
fn at_the_provider(connection: &Connection, id: &str) -> Vec<String> {
    let server = match &connection.location {
        Location::Server { endpoint, .. } => endpoint.to_string(),
        Location::Folder { .. } => String::new(),
    };
    match connection.provider {
        ProviderKind::S3 => vec![
            "AWS console: https://console.aws.amazon.com/iam/home#/users → the user → Security credentials".into(),
            "or: aws iam create-access-key --user-name USER".into(),
            format!("then: aws iam update-access-key --user-name USER --access-key-id {id} --status Inactive"),
            format!("whose it is: aws iam get-access-key-last-used --access-key-id {id}"),
        ],
        ProviderKind::R2 => vec![
            "Cloudflare dashboard: https://dash.cloudflare.com → R2 → Manage API tokens".into(),
            "make a new token for the same buckets, then delete the old one".into(),
        ],
        ProviderKind::Minio => vec![
            format!("with an alias for {server}: mc admin accesskey create ALIAS"),
            format!("then: mc admin accesskey rm ALIAS {id}"),
            "a user of its own: mc admin user disable ALIAS USER; the root user: change MINIO_ROOT_PASSWORD and restart the server".into(),
        ],
        ProviderKind::S3Compatible => vec![format!(
            "the page or command of whoever runs {server}: make a new key, then revoke {id}"
        )],
        ProviderKind::Local => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_signature_proves_a_key_dead() {
        for dead in [ProbeFailure::UnknownKey, ProbeFailure::WrongSecret] {
            assert!(matches!(judge(Err(dead)), Proof::Dead(_)));
        }
        assert!(matches!(judge(Ok(())), Proof::Alive(_)));
        let fault = |status, code: Option<&str>| ProbeFailure::ProviderFault {
            status,
            code: code.map(str::to_owned),
        };
        for vague in [
            fault(503, None),
            fault(403, Some("AccessDenied")),
            ProbeFailure::Local("gone".into()),
            ProbeFailure::ClockSkew { by: None },
        ] {
            assert!(matches!(judge(Err(vague)), Proof::NotKnown(_)));
        }
    }
}
