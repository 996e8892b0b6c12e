//! What is asked about: each key once for each server and secret, however many configurations hold
//! it; and what can't be asked, with the reason.

use std::collections::BTreeMap;

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::Endpoint,
    names::BucketName,
    secret::{Credentials, SecretKey},
};
use bascule_watch::{Place, Use};

/// A key at a server.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) id: AccessKeyId,
    /// Everywhere it stands; never empty.
    pub(super) places: Vec<Place>,
    pub(super) bucket: Option<BucketName>,
    pub(super) way: Way,
}

/// How its health is found out.
#[derive(Debug)]
pub(super) enum Way {
    /// The server is asked.
    Ask {
        server: Box<Server>,
        credentials: Credentials,
    },
    /// Nobody is.
    Not {
        endpoint: Option<Endpoint>,
        why: &'static str,
    },
}

impl Subject {
    /// The server, if it is known.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match &self.way {
            Way::Ask { server, .. } => Some(server.endpoint()),
            Way::Not { endpoint, .. } => endpoint.as_ref(),
        }
    }

    /// The server that has to be asked.
    pub(super) fn asks(&self) -> Option<&Endpoint> {
        match &self.way {
            Way::Ask { server, .. } => Some(server.endpoint()),
            Way::Not { .. } => None,
        }
    }

    /// Whether it is a key of Bascule's for a gateway on this machine. Nothing leaves the machine
    /// then, and nobody lays such keys out as bait.
    pub(super) fn is_our_gateways(&self) -> bool {
        let here = self.endpoint().is_some_and(|endpoint| {
            endpoint
                .ip()
                .map_or(endpoint.host() == "localhost", |ip| ip.is_loopback())
        });
        here && AccessKeyId::looks_issued(self.id.as_str())
    }

    /// Finds out.
    pub(super) async fn ask(&self, checker: &Checker) -> Health {
        match &self.way {
            Way::Ask {
                server,
                credentials,
            } => {
                let bucket = self.bucket.as_ref();
                checker.check(server, credentials, bucket).await
            }
            Way::Not { why, .. } => Health::Unknown((*why).to_owned()),
        }
    }
}

/// Uses of one key at one server with one secret.
struct Group<'a> {
    secret: Option<&'a SecretKey>,
    uses: Vec<&'a Use>,
}

/// The subjects, in the order of the uses.
pub(super) fn gather(uses: &[Use]) -> Vec<Subject> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: BTreeMap<(Option<String>, &AccessKeyId), Vec<usize>> = BTreeMap::new();
    // An id without a secret is the key that stands with one elsewhere.
    let (with, without): (Vec<_>, Vec<_>) =
        uses.iter().partition(|found| found.key.secret.is_some());
    for found in with.into_iter().chain(without) {
        let key = &found.key;
        let endpoint = key.endpoint.as_ref().map(ToString::to_string);
        let same = known.entry((endpoint, &key.id)).or_default();
        let secret = key.secret.as_ref();
        let at = same
            .iter()
            .find(|&&at| secret.is_none() || groups[at].secret == secret);
        match at {
            Some(&at) => groups[at].uses.push(found),
            None => {
                same.push(groups.len());
                groups.push(Group {
                    secret,
                    uses: vec![found],
                });
            }
        }
    }
    groups.iter().filter_map(Group::subject).collect()
}

impl Group<'_> {
    fn subject(&self) -> Option<Subject> {
        let bucket = |found: &&Use| -> Option<BucketName> { found.bucket.as_deref()?.parse().ok() };
        // Bucket and region are those of one use.
        let lead = *self
            .uses
            .iter()
            .find(|found| bucket(found).is_some())
            .or_else(|| self.uses.first())?;
        let mut places: Vec<Place> = Vec::new();
        for found in &self.uses {
            if !places.contains(&found.key.place) {
                places.push(found.key.place.clone());
            }
        }
        Some(Subject {
            id: lead.key.id.clone(),
            places,
            bucket: bucket(&lead),
            way: self.way(lead),
        })
    }

    fn way(&self, lead: &Use) -> Way {
        let key = &lead.key;
        let not = |why| Way::Not {
            endpoint: key.endpoint.clone(),
            why,
        };
        let Some(secret) = self.secret else {
            return not("no secret stands beside it");
        };
        if self.uses.iter().any(|found| found.key.temporary) {
            return not("it is a temporary key, whose session token is not used here");
        }
        let server = Server::of(key.endpoint.as_ref(), key.region.as_ref(), &key.id);
        match server {
            Some(server) => Way::Ask {
                server: Box::new(server),
                credentials: Credentials {
                    access_key_id: key.id.clone(),
                    secret: secret.clone(),
                },
            },
            None => not("its configuration names no server that can be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bascule_watch::{HeldKey, Picture, Standing, Trail};

    use super::*;

    fn held(id: &str, secret: Option<&str>, endpoint: Option<&str>, place: &str) -> HeldKey {
        let mut key = HeldKey::read(Some(id), secret, Place::Variable(place.into())).unwrap();
        key.endpoint = endpoint.map(|endpoint| endpoint.parse().unwrap());
        key
    }

    fn gathered(keys: impl IntoIterator<Item = (HeldKey, Option<&'static str>)>) -> Vec<Subject> {
        let mut picture = Picture::default();
        for (key, bucket) in keys {
            let trail = Trail::configuration();
            let bucket = bucket.map(str::to_owned);
            picture.add("test", &trail, key, Standing::Effective, bucket);
        }
        gather(&picture.uses)
    }

    #[test]
    fn each_key_is_asked_about_once_for_each_server_and_secret() {
        let (a, b) = (Some("http://127.0.0.1:1"), Some("http://127.0.0.1:2"));
        let subjects = gathered([
            (held("KEYID", None, a, "0"), None),
            (held("KEYID", Some("s1"), a, "1"), None),
            (held("KEYID", Some("s1"), a, "2"), Some("photos")),
            (held("KEYID", Some("s1"), a, "2"), Some("films")),
            (held("KEYID", Some("s2"), a, "3"), None),
            (held("KEYID", Some("s1"), b, "4"), None),
            (held("OTHER", Some("s1"), b, "5"), Some("no/bucket")),
        ]);
        let told: Vec<_> = subjects
            .iter()
            .map(|subject| {
                let places: Vec<_> = subject.places.iter().map(ToString::to_string).collect();
                let bucket = subject.bucket.as_ref().map_or("-", BucketName::as_str);
                format!("{} {bucket} {}", subject.id, places.join(","))
            })
            .collect();
        assert_eq!(
            told,
            [
                "KEYID photos $1,$2,$0",
                "KEYID - $3",
                "KEYID - $4",
                "OTHER - $5"
            ]
        );
        assert!(subjects.iter().all(|subject| subject.asks().is_some()));
    }

    #[test]
    fn what_can_not_be_asked_says_why() {
        let mut temporary = held("ASIAEXAMPLE", Some("s"), Some("http://127.0.0.1:1"), "t");
        temporary.temporary = true;
        let subjects = gathered([
            (temporary, None),
            (held("minioadmin", Some("s"), None, "m"), None),
            (held("KEYID", None, Some("http://127.0.0.1:1"), "n"), None),
        ]);
        let whys: Vec<_> = subjects
            .iter()
            .map(|subject| match &subject.way {
                Way::Not { why, .. } => *why,
                Way::Ask { .. } => panic!("{subject:?}"),
            })
            .collect();
        for (why, said) in whys.iter().zip(["temporary", "no server", "no secret"]) {
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn only_keys_of_ours_at_this_machine_are_our_gateways() {
        let ours = AccessKeyId::issue(*b"fifteen random.").to_string();
        for (id, endpoint, expected) in [
            (ours.as_str(), "http://127.0.0.1:8642", true),
            (&ours, "http://localhost:8642", true),
            (&ours, "http://[::1]:8642", true),
            (&ours, "https://gateway.example", false),
            ("AKIAIOSFODNN7EXAMPLE", "http://127.0.0.1:8642", false),
        ] {
            let subjects = gathered([(held(id, Some("s"), Some(endpoint), "v"), None)]);
            assert_eq!(subjects[0].is_our_gateways(), expected, "{id} {endpoint}");
        }
    }
}
