//! A key of a consumer's own.

use bascule_domain::{endpoint::Endpoint, key::Permission};
use bascule_proto::v1;
use bascule_watch::adopt::{Access, Consumer};
use zeroize::Zeroizing;

use super::{
    connection::{limits, plain, there},
    rights::Rights,
};
use crate::{
    channel::Client,
    clock,
    error::{Error, Kind},
};

/// Labels that are tried before giving up.
const LABELS: u32 = 100;

/// The id of a key that there is not yet.
pub(crate) const PLACEHOLDER_ID: &str = "BSCAAAAAAAAAAAAAAAAA";

/// A key that was just issued.
pub(crate) struct Issued {
    pub(crate) key: v1::Key,
    pub(crate) access: Access,
    /// The buckets that it reaches.
    pub(crate) buckets: Vec<String>,
}

/// What stands in the place of a key that there is not yet, to find out whether a real one would fit.
pub(crate) fn placeholder(gateway: &Endpoint) -> Access {
    Access {
        id: PLACEHOLDER_ID.to_owned(),
        secret: Zeroizing::new("A".repeat(40)),
        endpoint: gateway.clone(),
    }
}

/// Issues a key for a consumer on a connection, with these rights, or with the least that its command lines
/// need.
pub(crate) async fn issue(
    client: &Client,
    connection: &str,
    consumer: &Consumer,
    rights: Option<&Rights>,
    reason: &str,
) -> Result<Issued, Error> {
    let base = plain(&consumer.name.replace(':', "-"));
    // Only where rights are taken over.
    let there = match rights {
        Some(_) => there(client).await?,
        None => Vec::new(),
    };
    let there = there.iter().find(|there| there.name == connection);
    let there = there.map_or(&[][..], |there| &there.buckets);
    for number in 1..=LABELS {
        let label = match number {
            1 => base.clone(),
            _ => format!("{base}-{number}"),
        };
        let mut request = v1::IssueKeyRequest {
            connection: connection.to_owned(),
            label,
            permission: wire(consumer.need().permission).into(),
            buckets: limits(consumer),
            reason: reason.to_owned(),
            ..v1::IssueKeyRequest::default()
        };
        if let Some(rights) = rights {
            rights.ask(&mut request, there, clock::now())?;
        }
        match client.keys().issue(request).await.map_err(Error::from) {
            Ok(answer) => return Issued::of(answer.into_inner()),
            Err(error) if error.kind == Kind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let message = format!("a hundred keys of {connection} are called {base} already");
    Err(Error::new(Kind::Refused, message).next(format!("bascule show {connection}")))
}

impl Issued {
    /// A key as the daemon has just made it.
    pub(crate) fn of(answer: v1::IssueKeyResponse) -> Result<Self, Error> {
        let key = answer.key.unwrap_or_default();
        let endpoint = answer.endpoint.parse().map_err(|error| {
            let message = format!("the daemon's answer holds no address: {error}");
            Error::new(Kind::Failed, message)
        })?;
        Ok(Self {
            access: Access {
                id: key.access_key_id.clone(),
                secret: Zeroizing::new(answer.secret_access_key),
                endpoint,
            },
            buckets: answer.buckets,
            key,
        })
    }
}

/// What took the place of a consumer's key in a rotation.
pub(crate) enum Successor {
    /// Nothing that lives.
    None,
    /// A key that the consumer can have.
    Fits(v1::Key),
    /// A key that it can't have, and why.
    Unfit(v1::Key, String),
}

/// What took the place of a consumer's key.
pub(crate) async fn look_for_successor(
    client: &Client,
    consumer: &Consumer,
) -> Result<Successor, Error> {
    let request = v1::SuccessorRequest {
        key: consumer.id().as_str().to_owned(),
        look_only: true,
        ..v1::SuccessorRequest::default()
    };
    let answer = match client.adoptions().successor(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            let error = Error::from(status);
            return match error.kind {
                // A key of nobody's here.
                Kind::NotFound | Kind::Invalid => Ok(Successor::None),
                _ => Err(error),
            };
        }
    };
    let key = answer.issued.and_then(|issued| issued.key);
    Ok(match (key, answer.unfit) {
        (None, _) => Successor::None,
        (Some(key), unfit) if unfit.is_empty() => Successor::Fits(key),
        (Some(key), unfit) => Successor::Unfit(key, unfit),
    })
}

/// The key that took the place of a consumer's, with its secret.
pub(crate) async fn successor(
    client: &Client,
    consumer: &Consumer,
    reason: &str,
) -> Result<Issued, Error> {
    let request = v1::SuccessorRequest {
        key: consumer.id().as_str().to_owned(),
        consumer: consumer.name.clone(),
        look_only: false,
        reason: reason.to_owned(),
    };
    let answer = client.adoptions().successor(request).await?.into_inner();
    let issued = answer.issued.ok_or_else(|| {
        let message = format!(
            "nothing that lives took the place of {}'s key",
            consumer.name
        );
        Error::new(Kind::Refused, message).next("look again: bascule repair --all --dry-run")
    })?;
    Issued::of(issued)
}

/// As the daemon is told it.
pub(super) const fn wire(permission: Permission) -> v1::Permission {
    match permission {
        Permission::Read => v1::Permission::Read,
        Permission::Append => v1::Permission::Append,
        Permission::Write => v1::Permission::Write,
        Permission::ReadWrite => v1::Permission::ReadWrite,
        Permission::ReadWriteNoDelete => v1::Permission::ReadWriteNoDelete,
    }
}

/// Where the daemon's gateway is.
pub(crate) async fn gateway(client: &Client) -> Result<Endpoint, Error> {
    let request = v1::StatusRequest::default();
    let status = client.system().status(request).await?.into_inner();
    let first = status
        .gateways
        .first()
        .and_then(|address| address.parse().ok());
    first.ok_or_else(|| {
        Error::new(Kind::Refused, "the daemon has no gateway open").next("bascule status")
    })
}
