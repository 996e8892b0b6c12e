//! Through which connection a consumer reaches its buckets: one that is there already, or a new one with
//! the credentials that the consumer has.

use std::sync::Arc;

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{
    endpoint::Endpoint, names::BucketName, provider::ProviderKind, secret::Credentials,
};
use bascule_proto::v1;
use bascule_watch::adopt::Consumer;

use crate::{
    channel::Client,
    clock,
    credentials::to_wire,
    error::{Error, Kind},
    verbs::provider_of_rclone,
};

/// Where a consumer's buckets are reached.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// A connection that is there.
    There(Box<v1::Connection>),
    /// One that is made; its place among the new ones.
    New(usize),
}

/// A connection that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) name: String,
    server: Server,
    provider: ProviderKind,
    region: String,
    credentials: Credentials,
    /// Those that consumers name.
    pub(crate) buckets: Vec<String>,
    /// Whether a consumer may reach others of the server's too.
    all: bool,
}

/// The connections that there are, and those that are to be made.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    there: Vec<v1::Connection>,
    pub(crate) new: Vec<New>,
}

/// The connections that there are.
pub(crate) async fn there(client: &Client) -> Result<Vec<v1::Connection>, Error> {
    let request = v1::ListConnectionsRequest {};
    let answer = client.connections().list(request).await?.into_inner();
    Ok(answer.connections)
}

impl Connections {
    pub(crate) const fn of(there: Vec<v1::Connection>) -> Self {
        Self {
            there,
            new: Vec::new(),
        }
    }

    /// Decides for one consumer. `named` is a connection that the user names, `buckets` are those that
    /// the user adds. The text says why there is none.
    pub(crate) fn destination(
        &mut self,
        consumer: &Consumer,
        named: Option<&str>,
        buckets: &[String],
    ) -> Result<Destination, String> {
        let key = &consumer.first().key;
        let server = Server::of(key.endpoint.as_ref(), key.region.as_ref(), &key.id)
            .ok_or("its configuration names no server that can be read")?;
        let mut wanted: Vec<String> = consumer.buckets().into_iter().map(str::to_owned).collect();
        wanted.extend(buckets.iter().cloned());
        wanted.sort();
        wanted.dedup();
        if let Some(named) = named
            && let Some(there) = self.there.iter().find(|there| there.name == named)
        {
            return match reaches(there, server.endpoint(), &wanted) {
                true => Ok(Destination::There(Box::new(there.clone()))),
                false => Err(format!(
                    "the connection {named} does not reach {} at {}",
                    list(&wanted),
                    server.endpoint()
                )),
            };
        }
        if named.is_none() {
            let fits = |there: &&v1::Connection| {
                there.deletion_id.is_empty() && reaches(there, server.endpoint(), &wanted)
            };
            let fitting: Vec<_> = self.there.iter().filter(fits).collect();
            let own = |there: &&&v1::Connection| there.brought_key == key.id.masked();
            match (fitting.iter().find(own), fitting.as_slice()) {
                (Some(there), _) => return Ok(Destination::There(Box::new((**there).clone()))),
                // Without a bucket's name the same server is not enough.
                (None, [there]) if !wanted.is_empty() => {
                    return Ok(Destination::There(Box::new((*there).clone())));
                }
                (None, [_, _, ..]) if !wanted.is_empty() => {
                    let names: Vec<_> = fitting.iter().map(|there| there.name.clone()).collect();
                    return Err(format!(
                        "several connections reach {}: say which, with --connection {}",
                        list(&wanted),
                        names.join("|")
                    ));
                }
                _ => {}
            }
        }
        self.make(consumer, server, named, wanted)
    }

    fn make(
        &mut self,
        consumer: &Consumer,
        server: Server,
        named: Option<&str>,
        wanted: Vec<String>,
    ) -> Result<Destination, String> {
        let key = &consumer.first().key;
        let secret = key.secret.clone().ok_or("no secret stands beside the id")?;
        let same = |new: &New| {
            *new.server.endpoint() == *server.endpoint() && new.credentials.access_key_id == key.id
        };
        let all = consumer.is_entry() || wanted.is_empty();
        if let Some(at) = self.new.iter().position(same) {
            let new = &mut self.new[at];
            new.buckets.extend(wanted);
            new.buckets.sort();
            new.buckets.dedup();
            new.all |= all;
            return Ok(Destination::New(at));
        }
        let own = consumer
            .name
            .split_once(':')
            .map_or(&*consumer.name, |(_, name)| name);
        let base = match (named, wanted.as_slice()) {
            (Some(named), _) => named.to_owned(),
            (None, [bucket]) if !consumer.is_entry() => bucket.clone(),
            _ => plain(own),
        };
        let provider = key.provider.as_deref().map(provider_of_rclone);
        self.new.push(New {
            name: self.free(&base),
            provider: provider.unwrap_or_else(|| provider_at(server.endpoint())),
            region: key
                .region
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            credentials: Credentials {
                access_key_id: key.id.clone(),
                secret,
            },
            server,
            buckets: wanted,
            all,
        });
        Ok(Destination::New(self.new.len() - 1))
    }

    /// The name, or the next one that is free.
    fn free(&self, base: &str) -> String {
        let taken = |name: &str| {
            self.there.iter().any(|there| there.name == name)
                || self.new.iter().any(|new| new.name == name)
        };
        let mut name = base.to_owned();
        let mut number = 2;
        while taken(&name) {
            name = format!("{base}-{number}");
            number += 1;
        }
        name
    }

    /// What a destination is called.
    pub(crate) fn name<'a>(&'a self, destination: &'a Destination) -> &'a str {
        match destination {
            Destination::There(there) => &there.name,
            Destination::New(at) => &self.new[*at].name,
        }
    }
}

impl New {
    /// Makes it, probed first. Of buckets that no consumer names those are taken that the credentials
    /// may list.
    pub(crate) async fn connect(
        &self,
        client: &Client,
        reason: &str,
    ) -> Result<v1::Connection, Error> {
        let mut buckets = self.buckets.clone();
        if self.all {
            buckets.extend(self.others().await);
        }
        if buckets.is_empty() {
            return Err(self.no_bucket().await);
        }
        let endpoint = self.server.endpoint();
        let request = v1::ConnectRequest {
            name: self.name.clone(),
            provider: wire(self.provider).into(),
            buckets,
            endpoint: endpoint.to_string(),
            region: self.region.clone(),
            credentials: Some(to_wire(&self.credentials)),
            // The tool goes there like this already.
            allow_http: !endpoint.is_tls(),
            reason: reason.to_owned(),
            ..v1::ConnectRequest::default()
        };
        let answer = client.connections().connect(request).await?.into_inner();
        Ok(answer.connection.unwrap_or_default())
    }

    /// Why no bucket is known: what stands in the way of asking, if something does.
    async fn no_bucket(&self) -> Error {
        let checker = Checker::new(Arc::new(clock::now));
        let endpoint = self.server.endpoint();
        let health = checker.check(&self.server, &self.credentials, None).await;
        let why = match health {
            Health::Unreachable(_) => format!("{endpoint} could not be reached"),
            Health::Dead => format!("{endpoint} does not know the key"),
            Health::WrongSecret => format!("{endpoint} knows the key with another secret"),
            _ => {
                let message =
                    format!("{endpoint} does not tell these credentials which buckets there are");
                return Error::new(Kind::Refused, message).next("name them: --bucket BUCKET");
            }
        };
        Error::new(Kind::Provider, why).next("see what works: bascule check --all")
    }

    async fn others(&self) -> Vec<String> {
        let checker = Checker::new(Arc::new(clock::now));
        let mut others = Vec::new();
        for bucket in checker.buckets(&self.server, &self.credentials).await {
            if self.buckets.iter().any(|known| known == bucket.as_str())
                || others.len() == MOST_BUCKETS
            {
                continue;
            }
            let health = checker
                .check(&self.server, &self.credentials, Some(&bucket))
                .await;
            if health == (Health::Alive { lacks: None }) {
                others.push(bucket.as_str().to_owned());
            }
        }
        others
    }
}

/// What a consumer would lose with the key of a connection that is there.
pub(crate) struct Lost {
    /// Buckets that its own credentials may list, and the connection does not have.
    pub(crate) buckets: Vec<String>,
    /// One of them that its command lines name, if they do.
    needed: Option<String>,
}

impl Lost {
    /// Asks the consumer's server what its own credentials may list. None for what is no remote or profile:
    /// that is used with the buckets that it names.
    pub(crate) async fn by(consumer: &Consumer, there: &v1::Connection) -> Self {
        let buckets = match consumer.is_entry() {
            true => listed(consumer).await,
            false => Vec::new(),
        };
        let buckets: Vec<_> = buckets
            .into_iter()
            .filter(|bucket| !there.buckets.contains(bucket))
            .collect();
        let commands: Vec<_> = consumer.commands().collect();
        let is_named = |bucket: &&String| commands.iter().any(|line| names_bucket(line, bucket));
        Self {
            needed: buckets.iter().find(is_named).cloned(),
            buckets,
        }
    }

    /// Why the consumer must not be moved there.
    pub(crate) fn forbids(&self, there: &v1::Connection) -> Option<String> {
        let needed = self.needed.as_ref()?;
        Some(format!(
            "its command line uses {needed}, which {} does not have: {}",
            there.name,
            Self::KEEP
        ))
    }

    /// For the preview; `None` when nothing is lost.
    pub(crate) fn told(&self, there: &v1::Connection) -> Option<String> {
        let some = self.buckets.iter().take(MOST_TOLD).cloned();
        let mut some = some.collect::<Vec<_>>().join(", ");
        if let more @ 1.. = self.buckets.len().saturating_sub(MOST_TOLD) {
            some.push_str(&format!(" and {more} more"));
        }
        (!self.buckets.is_empty()).then(|| {
            format!(
                "it reaches {some} now, which {} does not have; to keep that: {}",
                there.name,
                Self::KEEP
            )
        })
    }

    const KEEP: &str = "give it a connection of its own, with --connection NEWNAME";
}

/// Buckets that are told by name.
const MOST_TOLD: usize = 5;

/// The buckets that a consumer's own credentials may list.
async fn listed(consumer: &Consumer) -> Vec<String> {
    let key = &consumer.first().key;
    let server = Server::of(key.endpoint.as_ref(), key.region.as_ref(), &key.id);
    let (Some(server), Some(secret)) = (server, key.secret.clone()) else {
        return Vec::new();
    };
    let credentials = Credentials {
        access_key_id: key.id.clone(),
        secret,
    };
    let checker = Checker::new(Arc::new(clock::now));
    let buckets = checker.buckets(&server, &credentials).await;
    buckets.iter().map(ToString::to_string).collect()
}

/// Whether a command line names a bucket where a bucket can stand: behind a remote (`r2:bucket`), in an
/// address (`s3://bucket`, `s3:https://host/bucket`), behind an alias (`nas/bucket`, as mc writes it), or as
/// what `--bucket` is given.
fn names_bucket(line: &str, bucket: &str) -> bool {
    let words: Vec<_> = line
        .split([' ', '\t', '='])
        .map(|word| word.trim_matches(['"', '\'']))
        .collect();
    let first = |path: &str| path.trim_start_matches('/').split('/').next() == Some(bucket);
    let in_word = |word: &str| match word.split_once("://") {
        Some((scheme, rest)) if scheme.ends_with("http") || scheme.ends_with("https") => {
            rest.split_once('/').is_some_and(|(_, path)| first(path))
        }
        Some((_, rest)) => first(rest),
        None => match word.rsplit_once(':') {
            Some((_, path)) => first(path),
            // A path of this machine begins with a slash or a dot.
            None => word.split_once('/').is_some_and(|(alias, path)| {
                !alias.is_empty() && !alias.starts_with('.') && first(path)
            }),
        },
    };
    let given = |pair: &[&str]| matches!(pair[0], "--bucket" | "-b") && pair[1] == bucket;
    words.iter().any(|word| in_word(word)) || words.windows(2).any(given)
}

/// Why a connection can't serve anybody now.
pub(crate) fn closed(there: &v1::Connection) -> Option<String> {
    let name = &there.name;
    if there.paused_at.is_some() {
        return Some(format!("{name} is paused: bascule resume {name}"));
    }
    (!there.flagged.is_empty()).then(|| {
        format!(
            "the provider refused the credentials of {name} ({}): bascule credentials {name}",
            there.flagged
        )
    })
}

/// More buckets of one remote nobody means.
const MOST_BUCKETS: usize = 100;

fn reaches(there: &v1::Connection, server: &Endpoint, buckets: &[String]) -> bool {
    let Ok(endpoint) = there.endpoint.parse::<Endpoint>() else {
        return false;
    };
    // A bucket of Amazon's has one name whatever the region.
    let amazons = |endpoint: &Endpoint| endpoint.host().ends_with(".amazonaws.com");
    let same = endpoint == *server || amazons(&endpoint) && amazons(server);
    same && buckets.iter().all(|bucket| there.buckets.contains(bucket))
}

fn list(buckets: &[String]) -> String {
    match buckets {
        [] => "its buckets".to_owned(),
        buckets => buckets.join(", "),
    }
}

/// A name without what a connection's or a key's name can't hold.
pub(crate) fn plain(name: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name = name.rsplit('/').next().unwrap_or(name);
    let name: String = name
        .chars()
        .map(|c| if kept(c) { c } else { '-' })
        .collect();
    let name = name.trim_matches(|c| matches!(c, '-' | '.' | '_'));
    let name: String = name.chars().take(48).collect();
    if name.is_empty() {
        "adopted".to_owned()
    } else {
        name
    }
}

fn provider_at(endpoint: &Endpoint) -> ProviderKind {
    let host = endpoint.host();
    if host.ends_with(".amazonaws.com") {
        ProviderKind::S3
    } else if host.ends_with(".r2.cloudflarestorage.com") {
        ProviderKind::R2
    } else {
        ProviderKind::S3Compatible
    }
}

const fn wire(provider: ProviderKind) -> v1::Provider {
    match provider {
        ProviderKind::Minio => v1::Provider::Minio,
        ProviderKind::S3 => v1::Provider::S3,
        ProviderKind::R2 => v1::Provider::R2,
        ProviderKind::S3Compatible => v1::Provider::S3Compatible,
        ProviderKind::Local => v1::Provider::Local,
    }
}

/// The buckets of a connection that a key of a consumer is limited to: those that it names, if it is
/// no entry that a person may use for others as well.
pub(crate) fn limits(consumer: &Consumer) -> Vec<String> {
    match consumer.is_entry() || consumer.reaches_any_bucket() {
        true => Vec::new(),
        false => consumer.buckets().into_iter().map(str::to_owned).collect(),
    }
}

/// Names of buckets, as far as they are ones.
pub(crate) fn names(buckets: &[String]) -> Vec<BucketName> {
    buckets
        .iter()
        .filter_map(|bucket| bucket.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_only_where_one_can_stand() {
        for line in [
            "rclone sync /srv/x r2:photos",
            "rclone sync /srv/x 'r2:photos/2026'",
            "aws s3 sync . s3://photos/x",
            "restic -r s3:https://s3.example.com/photos backup /",
            "mc mirror /srv nas/photos",
            "tool --bucket photos",
            "tool --bucket=photos",
        ] {
            assert!(names_bucket(line, "photos"), "{line}");
        }
        for line in [
            "rclone sync /srv/photos r2:films",
            "photos --all",
            "mc mirror ./photos nas/films",
            "aws s3 sync /photos s3://films/photos",
            "restic -r s3:https://photos.example.com/films backup /photos",
        ] {
            assert!(!names_bucket(line, "photos"), "{line}");
        }
    }
}
