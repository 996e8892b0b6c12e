//! A key has leaked. One that Bascule issued is replaced at once. For the provider's own key of a
//! connection, the connection is paused, and what is still to be done follows from the facts
//! (`domain::leak`); the key is kept, sealed, only until the provider is seen to refuse it.

use bascule_adapters::ProbeFailure;
use bascule_domain::{
    audit::{Asked, Change, Details},
    connection::{Connection, Location},
    leak::{Leak, Remaining},
    provider::ProviderKind,
    tombstone::Tombstone,
};

use super::{
    App, Named, Rotated,
    error::{Error, Kind, Result},
    registry::{Entry, View},
};

/// The shortest end of an access key id that is looked up: alarm mails mask the rest.
const SHORTEST_END: usize = 4;

/// What was done about a leaked key.
pub(crate) enum Leaked {
    /// An issued key: dead, and here is the one that took its place.
    Replaced(Box<Rotated>),
    /// It was dead before.
    Dead(Tombstone),
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
    pub(crate) async fn leak(&self, by: Asked, id: &str) -> Result<Leaked> {
        let _changing = self.one_change_at_a_time().await;
        match self.meant(&self.whole_id(id)?) {
            Ok(Named::Living(_, key)) => {
                let entry = self.entry_of(&key)?;
                if entry.rotations.contains_key(&key.id) {
                    // Its successor is there already.
                    let rotated = self.end_retiring(by, &key).await?;
                    return Ok(Leaked::Replaced(Box::new(rotated)));
                }
                if key.expires_at.is_some_and(|end| self.clock.now() >= end) {
                    // A successor would be born expired.
                    let tombstone = self.bury(by, &entry, &key).await?;
                    return Ok(Leaked::Dead(tombstone));
                }
                let rotated = self.replace(by, &entry, &key).await?;
                return Ok(Leaked::Replaced(Box::new(rotated)));
            }
            Ok(Named::Dead(tombstone)) => return Ok(Leaked::Dead(tombstone)),
            Err(_) => {}
        }
        let (entry, known) = self.brought(id)?;
        let leak = match known {
            Some(leak) => leak,
            None => self.report_leak(by, &entry).await?,
        };
        self.standing(&entry.connection, leak)
            .map(|brought| Leaked::Brought(Box::new(brought)))
    }

    /// Asks the provider whether it still takes a leaked key.
    pub(crate) async fn prove_leak(&self, by: Asked, id: &str) -> Result<(Proof, Brought)> {
        let (entry, leak) = self.brought(id)?;
        let leak = leak.ok_or_else(|| unknown(id))?;
        if let Some(at) = leak.seen_dead_at {
            let proof = Proof::Dead(format!("the provider was seen to refuse it at {at:.0}"));
            return Ok((proof, self.standing(&entry.connection, leak)?));
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
            return Ok((proof, self.standing(&entry.connection, leak)?));
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
        // Read again: the connection may have been resumed meanwhile.
        let entry = self
            .registry
            .get(leak.connection)
            .ok_or_else(|| unknown(id))?;
        Ok((proof, self.standing(&entry.connection, leak)?))
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

    /// Pauses the connection and keeps its key for the proof.
    async fn report_leak(&self, by: Asked, entry: &Entry) -> Result<Leak> {
        let leak = Leak {
            connection: entry.connection.id,
            access_key_id: entry.credentials.access_key_id.clone(),
            generation: entry.connection.credentials_generation,
            reported_at: self.clock.now(),
            seen_dead_at: None,
        };
        let connection = self.paused(entry);
        self.close(&connection)?;
        let audit = self.audit(
            Some(by),
            Change::LeakReported {
                connection: connection.id,
            },
            Details::of(&connection),
        );
        {
            let (connection, leak) = (connection.clone(), leak.clone());
            let secret = entry.credentials.secret.clone();
            self.stored(move |store| store.report_leak(&connection, &leak, &secret, &audit))
                .await?;
        }
        self.registry.update(connection.id, |entry| {
            entry.connection.paused_at = connection.paused_at;
        });
        self.remember(&leak);
        tracing::warn!(connection = %connection.id, "a key at the provider is said to have leaked");
        Ok(leak)
    }

    fn remember(&self, leak: &Leak) {
        self.registry.update(leak.connection, |entry| {
            entry
                .leaks
                .retain(|known| known.access_key_id != leak.access_key_id);
            entry.leaks.push(leak.clone());
        });
    }

    fn standing(&self, connection: &Connection, leak: Leak) -> Result<Brought> {
        let entry = self.living(connection.name.as_str())?;
        let also_used_by = self
            .registry
            .living()
            .into_iter()
            .filter(|other| {
                other.connection.id != connection.id
                    && other.credentials.access_key_id == leak.access_key_id
            })
            .map(|other| other.connection.name.to_string())
            .collect();
        Ok(Brought {
            remaining: leak.remaining(&entry.connection),
            at_the_provider: at_the_provider(&entry.connection, leak.access_key_id.as_str()),
            view: self.view(&entry),
            leak,
            also_used_by,
        })
    }

    /// The issued key whose access key id ends so, or what was given.
    fn whole_id(&self, given: &str) -> Result<String> {
        let end = end_of(given);
        let found: Vec<_> = self
            .registry
            .living()
            .into_iter()
            .flat_map(|entry| entry.keys.into_values())
            .filter(|key| {
                key.access_key_id.as_str() == given || ends_so(key.access_key_id.as_str(), end)
            })
            .collect();
        if let Some(exact) = found.iter().find(|key| key.access_key_id.as_str() == given) {
            return Ok(exact.access_key_id.to_string());
        }
        match &found[..] {
            [] => Ok(given.to_owned()),
            [key] => Ok(key.access_key_id.to_string()),
            several => Err(ambiguous(given, several.len())),
        }
    }

    /// The connection whose own key this is or was, and the record of its leak, if there is one.
    fn brought(&self, given: &str) -> Result<(Entry, Option<Leak>)> {
        let end = end_of(given);
        let means = |id: &str| id == given || ends_so(id, end);
        let mut found = Vec::new();
        for entry in self.registry.living() {
            // The embedded service's credentials are only a formality.
            if entry.connection.provider == ProviderKind::Local {
                continue;
            }
            let leaks = entry
                .leaks
                .iter()
                .filter(|leak| means(leak.access_key_id.as_str()))
                .cloned();
            let known: Vec<_> = leaks.collect();
            if known.is_empty() && means(entry.credentials.access_key_id.as_str()) {
                found.push((entry, None));
            } else {
                found.extend(known.into_iter().map(|leak| (entry.clone(), Some(leak))));
            }
        }
        let ids: std::collections::BTreeSet<_> = found
            .iter()
            .map(|(entry, leak)| match leak {
                Some(leak) => leak.access_key_id.clone(),
                None => entry.credentials.access_key_id.clone(),
            })
            .collect();
        if ids.len() > 1 {
            return Err(ambiguous(given, ids.len()));
        }
        // One key of several connections: each is dealt with in turn.
        let open = found.iter().position(|(entry, leak)| {
            leak.as_ref()
                .is_none_or(|leak| !leak.remaining(&entry.connection).is_empty())
        });
        if found.is_empty() {
            return Err(unknown(given));
        }
        let (entry, leak) = found.swap_remove(open.unwrap_or(0));
        if let Some(deletion) = entry.deletion {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "this is the provider's key of {}, which is being deleted: nothing is admitted through it any more, but the key stays valid at the provider until you revoke it there",
                    entry.connection.name
                ),
            )
            .next(format!("bascule deletion show {deletion}")));
        }
        Ok((entry, leak))
    }
}

/// What stands behind a mask.
fn end_of(given: &str) -> &str {
    given.trim_start_matches(['…', '.', '*'])
}

fn ends_so(id: &str, end: &str) -> bool {
    end.len() >= SHORTEST_END && id.ends_with(end)
}

fn ambiguous(given: &str, number: usize) -> Error {
    Error::new(
        Kind::Invalid,
        format!("{number} keys end in {given}; give the whole access key id"),
    )
    .next("bascule key list")
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

    #[test]
    fn a_masked_id_is_found_by_its_end_and_a_short_one_is_not() {
        assert!(ends_so("AKIAEXAMPLE7F3Q", end_of("…7F3Q")));
        assert!(ends_so("AKIAEXAMPLE7F3Q", end_of("****7F3Q")));
        assert!(!ends_so("AKIAEXAMPLE7F3Q", end_of("…F3Q")));
    }
}
