//! What unit tests begin with: a connection whose provider never answers, and a key of it.

use std::sync::Arc;

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    endpoint::{Addressing, Region},
    ids::{ConnectionId, KeyId},
    key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
    limits::Limits,
    secret::{Credentials, SecretKey},
};

use crate::{
    admission::Admission,
    keyring::ConnectionSpec,
    upstream::{Upstream, UpstreamAccess, UpstreamBody, UpstreamFuture},
};

pub(crate) const CONNECTION: ConnectionId = ConnectionId::from_random([7; 10]);

struct Nowhere;

impl Upstream for Nowhere {
    fn send(&self, _: http::Request<UpstreamBody>) -> UpstreamFuture<'_> {
        Box::pin(std::future::pending())
    }
}

pub(crate) fn secret() -> SecretKey {
    SecretKey::parse("aSecretAccessKeyOfForty0000000000000000000").unwrap()
}

pub(crate) fn connection() -> ConnectionSpec {
    ConnectionSpec {
        id: CONNECTION,
        name: "vault".parse().unwrap(),
        buckets: vec!["vault".parse().unwrap()].try_into().unwrap(),
        created_at: Timestamp::UNIX_EPOCH,
        access: UpstreamAccess {
            credentials: Credentials {
                access_key_id: "PROVIDER".parse().unwrap(),
                secret: secret(),
            },
            region: Region::AUTO,
            addressing: Addressing::Path,
            tls: false,
            authority: "provider.test".into(),
            honours_conditions: true,
            generation: 1,
        },
        upstream: Arc::new(Nowhere),
        admission: Admission::Open,
        limits: Limits::default(),
    }
}

/// A key that may do everything, for ever.
pub(crate) fn key(number: u8) -> Key {
    Key {
        id: KeyId::from_random([number; 10]),
        access_key_id: AccessKeyId::issue([number; 15]),
        connection: CONNECTION,
        kind: KeyKind::Gateway,
        origin: Origin::Issued,
        label: "a tool".parse().unwrap(),
        permission: Permission::ReadWrite,
        scope: Scope::default(),
        expires_at: None,
        state: KeyState::Active,
        generation: 1,
        predecessor: None,
        successor: None,
        issued_at: Timestamp::UNIX_EPOCH,
    }
}
