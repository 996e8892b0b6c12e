//! What a key may do, for the one that takes its place: that may do no more.

use std::collections::BTreeMap;

use bascule_domain::{Timestamp, key::Permission};
use bascule_proto::v1;
use bascule_watch::adopt::Consumer;

use super::{adopted::Adoption, connection::Limits, issue::wire};
use crate::{
    channel::Client,
    error::{Error, Kind},
    output::{document::permission, time::parsed},
};

/// The rights of a key, as they were last known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rights {
    permission: v1::Permission,
    buckets: Vec<String>,
    prefixes: Vec<String>,
    addresses: Vec<String>,
    expires_at: Option<prost_types::Timestamp>,
    /// The buckets that it reached by reaching all of a connection that is gone.
    reached: Vec<String>,
}

impl From<v1::KeyRights> for Rights {
    fn from(wire: v1::KeyRights) -> Self {
        Self {
            permission: wire.permission(),
            buckets: wire.buckets,
            prefixes: wire.prefixes,
            addresses: wire.addresses,
            expires_at: wire.expires_at,
            reached: Vec::new(),
        }
    }
}

impl From<&v1::Key> for Rights {
    fn from(key: &v1::Key) -> Self {
        Self {
            permission: key.permission(),
            buckets: key.buckets.clone(),
            prefixes: key.prefixes.clone(),
            addresses: key.addresses.clone(),
            expires_at: key.expires_at,
            reached: Vec::new(),
        }
    }
}

impl Rights {
    /// These, within limits, of a key that takes no other one's place.
    pub(crate) fn within(limits: &Limits, permission: Permission) -> Self {
        Self {
            permission: wire(permission),
            buckets: limits.buckets.clone(),
            prefixes: limits.prefixes.clone(),
            addresses: Vec::new(),
            expires_at: None,
            reached: Vec::new(),
        }
    }

    /// Those of a consumer's key of Bascule's: of a dead one the audit tells them until its connection is
    /// erased, and then the adoption that gave it. `None` where nothing does.
    pub(crate) async fn of(
        client: &Client,
        consumer: &Consumer,
        adoptions: &[Adoption],
    ) -> Result<Option<Self>, Error> {
        let request = v1::ShowKeyRequest {
            key: consumer.id().as_str().to_owned(),
        };
        let key = match client.keys().show(request).await.map_err(Error::from) {
            Ok(answer) => answer.into_inner().key.unwrap_or_default(),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid) => return Ok(None),
            Err(error) => return Err(error),
        };
        if key.state() != v1::KeyState::Dead {
            return Ok(Some(Self::from(&key)));
        }
        let told = Self::in_audit(client, &key).await?;
        let kept = adoptions
            .iter()
            .filter(|adoption| adoption.key_id == key.id);
        Ok(told.or_else(|| kept.filter_map(|adoption| adoption.rights.clone()).next()))
    }

    /// Those of a dead key, as the audit of its connection tells them.
    async fn in_audit(client: &Client, key: &v1::Key) -> Result<Option<Self>, Error> {
        // All of the connection's: what a rotation made has the rights of the key before it.
        let request = v1::ReadAuditRequest {
            subject: key.connection.clone(),
            since: None,
        };
        let mut pages = match client.audit().read(request).await.map_err(Error::from) {
            Ok(pages) => pages.into_inner(),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut told = BTreeMap::new();
        while let Some(page) = pages.message().await? {
            note(&mut told, &page.entries);
        }
        Ok(told.remove(&key.id).and_then(Told::rights))
    }

    /// The same, of a key whose connection reached these buckets: on another one it gets no more of them.
    pub(crate) fn reaching(self, buckets: &[String]) -> Self {
        Self {
            reached: buckets.to_vec(),
            ..self
        }
    }

    /// As a new key is asked for with them, on a connection that has these buckets. An end that is over by
    /// now was the old key's. Refused where a limit to buckets would become none.
    pub(crate) fn ask(
        &self,
        request: &mut v1::IssueKeyRequest,
        there: &[String],
        now: Timestamp,
    ) -> Result<(), Error> {
        request.permission = self.permission.into();
        let known = self.buckets.iter().filter(|bucket| there.contains(bucket));
        let known: Vec<_> = known.cloned().collect();
        if !known.is_empty() {
            request.buckets = known;
        } else if self.buckets.is_empty() {
            // Where it has none of them, the user has chosen it for others.
            let reached = self.reached.iter().filter(|bucket| there.contains(bucket));
            request.buckets = reached.cloned().collect();
        } else if request.buckets.is_empty() {
            let message = format!(
                "its key was limited to {}, which {} does not have",
                self.buckets.join(", "),
                request.connection
            );
            return Err(Error::new(Kind::Refused, message)
                .next("name a connection that has it, with --connection"));
        }
        request.prefixes.clone_from(&self.prefixes);
        request.addresses.clone_from(&self.addresses);
        let end = parsed(self.expires_at.as_ref()).filter(|end| *end > now);
        request.expires_at = end.and(self.expires_at);
        Ok(())
    }

    /// For a preview.
    pub(crate) fn told(&self) -> String {
        permission(self.permission).unwrap_or_default().to_owned()
    }
}

/// What the audit of one key told so far, its entries read in their order.
#[derive(Debug, Default, Clone)]
struct Told {
    permission: Option<v1::Permission>,
    buckets: Vec<String>,
    prefixes: Vec<String>,
    addresses: Vec<String>,
    expires_at: Option<prost_types::Timestamp>,
}

/// Takes in entries of a connection's audit, the oldest first: what is told of each key by its id.
fn note(told: &mut BTreeMap<String, Told>, entries: &[v1::AuditEntry]) {
    for entry in entries.iter().filter(|entry| !entry.key_id.is_empty()) {
        told.entry(entry.key_id.clone()).or_default().note(entry);
        if !entry.successor_id.is_empty() {
            let before = told[&entry.key_id].clone();
            told.entry(entry.successor_id.clone()).or_insert(before);
        }
    }
}

impl Told {
    fn note(&mut self, entry: &v1::AuditEntry) {
        for part in &entry.differences {
            match part.part.as_str() {
                "permission" => {
                    self.permission = part
                        .to
                        .first()
                        .and_then(|name| Some(wire(name.parse().ok()?)));
                }
                "buckets" => self.buckets.clone_from(&part.to),
                "prefixes" => self.prefixes.clone_from(&part.to),
                "addresses" => self.addresses.clone_from(&part.to),
                "expiry" => {
                    let end = part
                        .to
                        .first()
                        .and_then(|end| end.parse::<Timestamp>().ok());
                    self.expires_at = end.map(|end| prost_types::Timestamp {
                        seconds: end.as_second(),
                        nanos: end.subsec_nanosecond(),
                    });
                }
                _ => {}
            }
        }
    }

    fn rights(self) -> Option<Rights> {
        Some(Rights {
            permission: self.permission?,
            buckets: self.buckets,
            prefixes: self.prefixes,
            addresses: self.addresses,
            expires_at: self.expires_at,
            reached: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, successor: &str, parts: &[(&str, &[&str])]) -> v1::AuditEntry {
        let differences = parts.iter().map(|(part, to)| v1::Difference {
            part: (*part).to_owned(),
            from: Vec::new(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
        });
        v1::AuditEntry {
            key_id: key.to_owned(),
            successor_id: successor.to_owned(),
            differences: differences.collect(),
            ..v1::AuditEntry::default()
        }
    }

    #[test]
    fn of_a_dead_key_its_last_rights_are_taken_over_also_where_a_rotation_made_it() {
        let mut told = BTreeMap::new();
        let issued = [("permission", &["read-write"][..]), ("prefixes", &["a/"])];
        let narrowed = [
            ("permission", &["read"][..]),
            ("expiry", &["2030-01-01T00:00:00Z"]),
        ];
        note(
            &mut told,
            &[
                entry("A", "", &issued),
                entry("A", "B", &[]),
                entry("B", "", &narrowed),
            ],
        );
        let old = told.remove("A").and_then(Told::rights).unwrap();
        assert_eq!(old.permission, v1::Permission::ReadWrite);
        let rights = told.remove("B").and_then(Told::rights).unwrap();
        let mut request = v1::IssueKeyRequest::default();
        let before = "2029-01-01T00:00:00Z".parse().unwrap();
        rights.ask(&mut request, &[], before).unwrap();
        assert_eq!(request.permission(), v1::Permission::Read);
        assert_eq!(request.prefixes, ["a/"]);
        assert!(request.expires_at.is_some());
        let after = "2031-01-01T00:00:00Z".parse().unwrap();
        rights.ask(&mut request, &[], after).unwrap();
        assert_eq!(request.expires_at, None);
        // An erased connection's audit tells nothing.
        let mut erased = BTreeMap::new();
        note(&mut erased, &[entry("A", "", &[])]);
        assert_eq!(erased.remove("A").and_then(Told::rights), None);
    }

    #[test]
    fn a_limit_to_buckets_stays_one_where_the_connection_has_them() {
        let rights = Rights {
            permission: v1::Permission::Read,
            buckets: vec!["photos".into(), "gone".into()],
            prefixes: Vec::new(),
            addresses: Vec::new(),
            expires_at: None,
            reached: Vec::new(),
        };
        let now = Timestamp::UNIX_EPOCH;
        let mut request = v1::IssueKeyRequest::default();
        let there = ["photos".to_owned(), "films".to_owned()];
        rights.ask(&mut request, &there, now).unwrap();
        assert_eq!(request.buckets, ["photos"]);
        // Where it has none of them, what the consumer names counts.
        request.buckets = vec!["films".into()];
        rights.ask(&mut request, &there[1..], now).unwrap();
        assert_eq!(request.buckets, ["films"]);
        request.buckets.clear();
        assert!(rights.ask(&mut request, &there[1..], now).is_err());
        // One without a limit had that of its connection.
        let whole = Rights {
            buckets: Vec::new(),
            ..rights
        };
        let whole = whole.reaching(&["photos".to_owned()]);
        whole.ask(&mut request, &there, now).unwrap();
        assert_eq!(request.buckets, ["photos"]);
    }
}
