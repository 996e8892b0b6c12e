//! A key of a consumer's own.

use bascule_domain::{endpoint::Endpoint, key::Permission};
use bascule_proto::v1;
use bascule_watch::adopt::{Access, Consumer};
use zeroize::Zeroizing;

use super::connection::{limits, plain};
use crate::{
    channel::Client,
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

/// Issues a key for a consumer on a connection, with the least right that its command lines need.
pub(crate) async fn issue(
    client: &Client,
    connection: &str,
    consumer: &Consumer,
    reason: &str,
) -> Result<Issued, Error> {
    let base = plain(&consumer.name.replace(':', "-"));
    let old = living(client, connection, consumer).await?;
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
        if let Some(old) = &old {
            request.permission = old.permission;
            request.buckets.clone_from(&old.buckets);
            request.prefixes.clone_from(&old.prefixes);
            request.addresses.clone_from(&old.addresses);
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

/// The consumer's key, if it is one of this connection's that is not dead: what takes its place may do no
/// more than it.
async fn living(
    client: &Client,
    connection: &str,
    consumer: &Consumer,
) -> Result<Option<v1::Key>, Error> {
    let request = v1::ShowKeyRequest {
        key: consumer.id().as_str().to_owned(),
    };
    match client.keys().show(request).await.map_err(Error::from) {
        Ok(answer) => Ok(answer
            .into_inner()
            .key
            .filter(|key| key.state() != v1::KeyState::Dead && key.connection == connection)),
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid) => Ok(None),
        Err(error) => Err(error),
    }
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

const fn wire(permission: Permission) -> v1::Permission {
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
