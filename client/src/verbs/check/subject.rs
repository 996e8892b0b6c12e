//! What is asked about: each key once for each server and secret, however many configurations hold
//! it; and what can't be asked, with the reason.

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{
    access_key::AccessKeyId, endpoint::Endpoint, names::BucketName, secret::Credentials,
};
use bascule_watch::{Place, Use, subjects};

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
        let here = self.endpoint().is_some_and(Endpoint::is_loopback);
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

/// The subjects, in the order of the uses.
pub(super) fn gather(uses: &[Use]) -> Vec<Subject> {
    subjects::gather(uses).into_iter().map(Into::into).collect()
}

impl From<subjects::Subject> for Subject {
    fn from(found: subjects::Subject) -> Self {
        let server = Server::of(found.endpoint.as_ref(), found.region.as_ref(), &found.id);
        let not = |why| Way::Not {
            endpoint: found.endpoint.clone(),
            why,
        };
        Self {
            way: match (found.credentials, server) {
                (Err(why), _) => not(why),
                (Ok(_), None) => not("its configuration names no server that can be read"),
                (Ok(credentials), Some(server)) => Way::Ask {
                    server: Box::new(server),
                    credentials,
                },
            },
            id: found.id,
            places: found.places,
            bucket: found.bucket,
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
