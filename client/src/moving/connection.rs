//! Through which connection a consumer reaches its buckets: one that has the consumer's own credentials, a new
//! one with them, or the one that the user names. Without being named, none with other credentials is ever
//! taken: what they may do is somebody else's choice.

use std::{collections::BTreeSet, sync::Arc};

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{
    endpoint::Endpoint, names::BucketName, provider::ProviderKind, secret::Credentials,
};
use bascule_proto::v1;
use bascule_watch::adopt::Consumer;

use super::{
    adopted::Known,
    reach::{self, names_bucket},
};
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
    There {
        connection: Box<v1::Connection>,
        /// Whether the consumer's credentials are the connection's own.
        is_own: bool,
    },
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
    pub(crate) all: bool,
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

/// What the user says about connections.
pub(crate) struct Asked<'a> {
    /// The connection to use, or what to call a new one.
    pub(crate) connection: Option<&'a str>,
    /// Buckets besides those that the consumer names.
    pub(crate) buckets: &'a [String],
}

impl Connections {
    pub(crate) const fn of(there: Vec<v1::Connection>) -> Self {
        Self {
            there,
            new: Vec::new(),
        }
    }

    /// Decides for one consumer. The text says why there is none.
    pub(crate) async fn destination(
        &mut self,
        consumer: &Consumer,
        known: Option<&Known>,
        asked: &Asked<'_>,
    ) -> Result<Destination, String> {
        let key = &consumer.first().key;
        let server = Server::of(key.endpoint.as_ref(), key.region.as_ref(), &key.id)
            .ok_or("its configuration names no server that can be read")?;
        let mut wanted: Vec<String> = consumer.buckets().into_iter().map(str::to_owned).collect();
        wanted.extend(asked.buckets.iter().cloned());
        wanted.sort();
        wanted.dedup();
        // By the whole id: two that end alike are two people's.
        let is_own = |there: &v1::Connection| {
            known.is_some_and(|known| known.own_key_of.contains(&there.id))
                && reaches(there, server.endpoint(), &[])
        };
        if let Some(named) = asked.connection
            && let Some(there) = self.there.iter().find(|there| there.name == named)
        {
            if !reaches(there, server.endpoint(), &wanted) {
                return Err(format!(
                    "the connection {named} does not reach {} at {}",
                    list(&wanted),
                    server.endpoint()
                ));
            }
            return Ok(Destination::There {
                connection: Box::new(there.clone()),
                is_own: is_own(there),
            });
        }
        if asked.connection.is_none() {
            let fits = |there: &&v1::Connection| {
                there.deletion_id.is_empty()
                    && is_own(there)
                    && reaches(there, server.endpoint(), &wanted)
            };
            for there in self.there.iter().filter(fits) {
                if Lost::by(consumer, there).await.is_bearable() {
                    return Ok(Destination::There {
                        connection: Box::new(there.clone()),
                        is_own: true,
                    });
                }
            }
        }
        let credentials = Credentials {
            access_key_id: key.id.clone(),
            secret: key.secret.clone().ok_or("no secret stands beside the id")?,
        };
        if let Some(why) = obstacle(&server, &credentials, &wanted).await {
            return Err(self.without_its_own(&why, &server, &wanted));
        }
        Ok(self.make(consumer, server, credentials, asked.connection, wanted))
    }

    /// Why no connection can have the consumer's own credentials, and which others could serve it.
    fn without_its_own(&self, why: &str, server: &Server, wanted: &[String]) -> String {
        let fits = |there: &&v1::Connection| {
            there.deletion_id.is_empty() && reaches(there, server.endpoint(), wanted)
        };
        let names: Vec<_> = self.there.iter().filter(fits).collect();
        let names: Vec<_> = names.iter().map(|there| there.name.as_str()).collect();
        match names.as_slice() {
            [] => format!("{why}: bascule check --all"),
            names => format!(
                "{why}; to let it use other credentials: --connection {}",
                names.join("|")
            ),
        }
    }

    fn make(
        &mut self,
        consumer: &Consumer,
        server: Server,
        credentials: Credentials,
        named: Option<&str>,
        wanted: Vec<String>,
    ) -> Destination {
        let key = &consumer.first().key;
        let same = |new: &New| {
            *new.server.endpoint() == *server.endpoint() && new.credentials == credentials
        };
        let all = consumer.is_entry() || wanted.is_empty();
        if let Some(at) = self.new.iter().position(same) {
            let new = &mut self.new[at];
            new.buckets.extend(wanted);
            new.buckets.sort();
            new.buckets.dedup();
            new.all |= all;
            return Destination::New(at);
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
            credentials,
            server,
            buckets: wanted,
            all,
        });
        Destination::New(self.new.len() - 1)
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
            Destination::There { connection, .. } => &connection.name,
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

/// Why a connection can't be made of credentials, as far as one question tells.
async fn obstacle(server: &Server, credentials: &Credentials, wanted: &[String]) -> Option<String> {
    let endpoint = server.endpoint();
    let bucket = names(wanted).into_iter().next();
    let checker = Checker::new(Arc::new(clock::now));
    match checker.check(server, credentials, bucket.as_ref()).await {
        Health::Dead => Some(format!("{endpoint} does not know its key")),
        Health::WrongSecret => Some(format!("{endpoint} knows its key with another secret")),
        Health::Alive {
            lacks: Some(bucket),
        } => Some(format!("{endpoint} has no bucket {}", bucket.as_str())),
        Health::Denied => bucket.map(|bucket| {
            let bucket = bucket.as_str();
            format!("its own key may not list {bucket}, which a connection must be able to")
        }),
        Health::Alive { lacks: None } | Health::Unreachable(_) | Health::Unknown(_) => None,
    }
}

/// What a consumer would lose with the key of a connection that is there.
pub(crate) struct Lost {
    /// Buckets that its own credentials may list.
    listed: Vec<String>,
    /// Those of them that the connection does not have.
    buckets: Vec<String>,
    /// One of these that its command lines name, if they do.
    needed: Option<String>,
    /// Whether command lines are known that use it.
    is_used: bool,
}

impl Lost {
    /// Asks the consumer's server what its own credentials may list. None for what is no remote or profile:
    /// that is used with the buckets that it names.
    pub(crate) async fn by(consumer: &Consumer, there: &v1::Connection) -> Self {
        let listed = match consumer.is_entry() {
            true => listed(consumer).await,
            false => Vec::new(),
        };
        let lacks = |bucket: &&String| !there.buckets.contains(bucket);
        let buckets: Vec<_> = listed.iter().filter(lacks).cloned().collect();
        let commands: Vec<_> = consumer.commands().collect();
        let is_named = |bucket: &&String| commands.iter().any(|line| names_bucket(line, bucket));
        Self {
            needed: buckets.iter().find(is_named).cloned(),
            is_used: !commands.is_empty(),
            buckets,
            listed,
        }
    }

    /// Whether what is known to use it goes on as before. Of a tool that is used by hand nothing is known.
    pub(crate) const fn is_bearable(&self) -> bool {
        self.buckets.is_empty() || self.is_used && self.needed.is_none()
    }

    /// Why the consumer must not be moved there: a command line needs what it would lose, or none is known and
    /// nobody has named the connection for this one alone.
    pub(crate) fn forbids(&self, there: &v1::Connection, is_one_of_many: bool) -> Option<String> {
        if let Some(needed) = &self.needed {
            return Some(format!(
                "its command line uses {needed}, which {} does not have: {KEEP}",
                there.name
            ));
        }
        match is_one_of_many && !self.is_bearable() {
            true => self.told(there),
            false => None,
        }
    }

    /// For the preview; `None` when nothing is lost.
    pub(crate) fn told(&self, there: &v1::Connection) -> Option<String> {
        (!self.buckets.is_empty()).then(|| {
            format!(
                "it reaches {} now, which {} does not have; to keep that: {KEEP}",
                some(&self.buckets),
                there.name,
            )
        })
    }

    /// What a key with other credentials behind it may be used for: what the command lines name, else
    /// whatever the consumer's own credentials may list.
    pub(crate) fn limits(&self, consumer: &Consumer, there: &v1::Connection) -> Limits {
        let commands: Vec<_> = consumer.commands().collect();
        let has = |bucket: &&String| there.buckets.contains(bucket);
        let own = consumer.buckets().into_iter().map(str::to_owned);
        let mut named: BTreeSet<String> = own.filter(|bucket| has(&bucket)).collect();
        let on_lines = there.buckets.iter();
        let on_lines =
            on_lines.filter(|bucket| commands.iter().any(|line| names_bucket(line, bucket)));
        named.extend(on_lines.cloned());
        if self.is_used && !named.is_empty() && !consumer.reaches_any_bucket() {
            return Limits {
                buckets: named.into_iter().collect(),
                prefixes: reach::prefixes(consumer),
            };
        }
        named.extend(self.listed.iter().filter(has).cloned());
        Limits {
            buckets: named.into_iter().collect(),
            prefixes: Vec::new(),
        }
    }

    /// What a key with these limits may do that the consumer's own credentials are not known to allow; `None`
    /// when they list all of it.
    pub(crate) fn gained(&self, limits: &Limits, there: &v1::Connection) -> Option<String> {
        let reached = match limits.buckets.as_slice() {
            [] => &there.buckets,
            buckets => buckets,
        };
        let known = |bucket: &String| self.listed.contains(bucket);
        let more: Vec<_> = reached
            .iter()
            .filter(|bucket| !known(bucket))
            .cloned()
            .collect();
        let below = match limits.prefixes.as_slice() {
            [] => String::new(),
            prefixes => format!(" below {}", prefixes.join(", ")),
        };
        Some(match (more.is_empty(), self.listed.is_empty()) {
            (true, _) => format!(
                "the credentials of {} are others than its own, and may do more in {}{below}",
                there.name,
                some(reached)
            ),
            (false, true) => format!(
                "it reaches {}{below} with the credentials of {}; what its own may do there, its server does not tell",
                some(reached),
                there.name
            ),
            (false, false) => format!(
                "it reaches {}{below} with the credentials of {}, which its own do not list",
                some(&more),
                there.name
            ),
        })
    }
}

/// To what a consumer's key is limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Empty: every bucket of the connection.
    pub(crate) buckets: Vec<String>,
    /// Empty: every object.
    pub(crate) prefixes: Vec<String>,
}

const KEEP: &str = "give it a connection of its own, with --connection NEWNAME";

/// The first few of some buckets.
fn some(buckets: &[String]) -> String {
    let first = buckets.iter().take(MOST_TOLD).cloned();
    let mut told = first.collect::<Vec<_>>().join(", ");
    if let more @ 1.. = buckets.len().saturating_sub(MOST_TOLD) {
        told.push_str(&format!(" and {more} more"));
    }
    told
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
