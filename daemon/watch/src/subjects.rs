//! Whose health can be asked for: each key once for each server and secret, however many configurations
//! hold it. It asks nobody.

use std::collections::BTreeMap;

use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::{Endpoint, Region},
    names::BucketName,
    secret::{Credentials, SecretKey},
};

use crate::{found::Place, picture::Use};

/// A key at a server.
#[derive(Debug)]
pub struct Subject {
    /// Its id.
    pub id: AccessKeyId,
    /// Everywhere it stands; never empty.
    pub places: Vec<Place>,
    /// A bucket that it is used for.
    pub bucket: Option<BucketName>,
    /// The server that its configuration names.
    pub endpoint: Option<Endpoint>,
    /// The region that its configuration names.
    pub region: Option<Region>,
    /// What to ask with, or why nobody can.
    pub credentials: Result<Credentials, &'static str>,
}

/// Uses of one key at one server with one secret.
struct Group<'a> {
    secret: Option<&'a SecretKey>,
    uses: Vec<&'a Use>,
}

/// The subjects, in the order of the uses.
#[must_use]
pub fn gather(uses: &[Use]) -> Vec<Subject> {
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
            endpoint: lead.key.endpoint.clone(),
            region: lead.key.region.clone(),
            credentials: self.credentials(lead),
        })
    }

    fn credentials(&self, lead: &Use) -> Result<Credentials, &'static str> {
        let secret = self.secret.ok_or("no secret stands beside it")?;
        if self.uses.iter().any(|found| found.key.temporary) {
            return Err("it is a temporary key, whose session token is not used here");
        }
        Ok(Credentials {
            access_key_id: lead.key.id.clone(),
            secret: secret.clone(),
        })
    }
}
