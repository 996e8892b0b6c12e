//! The one place that grants a [`Permit`]. Without one, nothing is forwarded to a provider.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    connection::Buckets,
    ids::{ConnectionId, KeyId},
    key::{Key, KeyState, Permission},
    names::{ObjectKey, Prefix},
    operation::{Action, Class, Operation, Target},
};

/// Proof that a request was signed with the secret of this key.
///
/// Only the signature verifier (`bascule-sigv4`) may attest; a test guards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    key: KeyId,
}

impl Verified {
    /// States that the signature was checked with this key's secret and was right.
    #[must_use]
    pub const fn attest(key: KeyId) -> Self {
        Self { key }
    }
}

/// Why a request is refused. Each has one S3 answer, in the gateway's `respond`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The key is paused, or its connection is.
    Paused,
    /// The key's time is over.
    Expired,
    /// The socket peer is not among the key's addresses.
    Address,
    /// The key lacks the right.
    Permission,
    /// The bucket is not one this key may use.
    Bucket,
    /// The object is outside the key's prefixes.
    Prefix,
    /// Bucket administration, which no key has.
    BucketAdmin,
    /// A right or limit that is stored but not enforced yet; refused rather than ignored.
    NotAvailable,
}

/// Permission for one operation with one generation of one key. It cannot be made elsewhere,
/// cloned or changed.
#[derive(Debug)]
pub struct Permit {
    key: KeyId,
    connection: ConnectionId,
    generation: u64,
    operation: Operation,
    prefixes: Vec<Prefix>,
}

impl Permit {
    /// The key it was granted to.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The connection it opens.
    #[must_use]
    pub const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The generation of the key it was granted to; it is void for any other.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What it allows.
    #[must_use]
    pub const fn operation(&self) -> &Operation {
        &self.operation
    }

    /// Whether an object named inside a request's body (`DeleteObjects`) is covered too.
    #[must_use]
    pub fn covers(&self, object: &ObjectKey) -> bool {
        within(&self.prefixes, object.as_str())
    }
}

/// Decides about one request. `buckets` are the connection's; `peer` is the socket's peer, never
/// a forwarding header; `now` is the time by the one clock.
pub fn decide(
    verified: Verified,
    key: &Key,
    buckets: &Buckets,
    operation: Operation,
    peer: IpAddr,
    now: Timestamp,
) -> Result<Permit, Denial> {
    debug_assert_eq!(
        verified.key, key.id,
        "verified with the secret of another key"
    );
    if verified.key != key.id {
        return Err(Denial::Permission);
    }
    match key.state {
        KeyState::Active | KeyState::Retiring => {}
        KeyState::Paused => return Err(Denial::Paused),
    }
    if key.expires_at.is_some_and(|end| now >= end) {
        return Err(Denial::Expired);
    }
    if !key.scope.admits_address(peer) {
        return Err(Denial::Address);
    }
    if operation.action.class() == Class::BucketAdmin {
        return Err(Denial::BucketAdmin);
    }
    let sources = operation.source.iter().map(|source| &source.bucket);
    for bucket in operation.target.bucket().into_iter().chain(sources) {
        let granted = key.scope.buckets.is_empty() || key.scope.buckets.contains(bucket);
        if !granted || !buckets.contains(bucket) {
            return Err(Denial::Bucket);
        }
    }
    if !permits(key.permission, operation.action)? {
        return Err(Denial::Permission);
    }
    within_prefixes(&key.scope.prefixes, &operation)?;
    Ok(Permit {
        key: key.id,
        connection: key.connection,
        generation: key.generation,
        operation,
        prefixes: key.scope.prefixes.clone(),
    })
}

fn permits(permission: Permission, action: Action) -> Result<bool, Denial> {
    let class = action.class();
    let always = matches!(class, Class::Service | Class::BucketReadConfig);
    match permission {
        Permission::ReadWrite => Ok(class != Class::BucketAdmin),
        Permission::Read => Ok(always
            || matches!(
                class,
                Class::List | Class::Read | Class::BucketReadConfigWhole
            )
            || matches!(action, Action::ListMultipartUploads | Action::ListParts)),
        Permission::ReadWriteNoDelete => Ok(!matches!(class, Class::Delete | Class::BucketAdmin)
            && !matches!(action, Action::RenameObject | Action::DeleteObjectTagging)),
        // Both need conditional writes, or a check under a lock; until those exist the gateway
        // must not let such a key through with more than it was given.
        Permission::Append | Permission::Write => Err(Denial::NotAvailable),
    }
}

fn within(prefixes: &[Prefix], object: &str) -> bool {
    prefixes.is_empty()
        || prefixes
            .iter()
            .any(|prefix| object.starts_with(prefix.as_str()))
}

fn within_prefixes(prefixes: &[Prefix], operation: &Operation) -> Result<(), Denial> {
    if prefixes.is_empty() {
        return Ok(());
    }
    if operation.action.class() == Class::BucketReadConfigWhole {
        return Err(Denial::Prefix);
    }
    let inside = match &operation.target {
        Target::Service => true,
        Target::Bucket { prefix, .. } => match operation.action.class() {
            Class::List | Class::Multipart => within(prefixes, prefix),
            // Objects named in the body are checked one by one with `Permit::covers`.
            _ => true,
        },
        Target::Object { key, .. } => within(prefixes, key.as_str()),
    };
    // The provider chooses between the two readings of a source.
    let mut sources = operation
        .source
        .iter()
        .flat_map(|source| [Some(&source.key), source.with_blanks.as_ref()])
        .flatten();
    if inside && sources.all(|key| within(prefixes, key.as_str())) {
        Ok(())
    } else {
        Err(Denial::Prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access_key::AccessKeyId,
        key::{KeyKind, Origin, Scope},
        operation::CopySource,
    };

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn key(permission: Permission) -> Key {
        Key {
            id: KeyId::from_random([1; 10]),
            access_key_id: AccessKeyId::issue([1; 15]),
            connection: ConnectionId::from_random([2; 10]),
            kind: KeyKind::Gateway,
            origin: Origin::Issued,
            label: "test".parse().unwrap(),
            permission,
            scope: Scope::default(),
            expires_at: None,
            state: KeyState::Active,
            generation: 1,
            predecessor: None,
            successor: None,
            issued_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn object(action: Action) -> Operation {
        Operation {
            action,
            target: Target::Object {
                bucket: "photos".parse().unwrap(),
                key: "a/b".parse().unwrap(),
            },
            source: None,
        }
    }

    fn check(key: &Key, operation: Operation) -> Result<(), Denial> {
        let buckets = vec!["photos".parse().unwrap(), "music".parse().unwrap()]
            .try_into()
            .unwrap();
        decide(
            Verified::attest(key.id),
            key,
            &buckets,
            operation,
            LOOPBACK,
            Timestamp::UNIX_EPOCH,
        )
        .map(|_| ())
    }

    #[test]
    fn a_read_key_can_run_no_action_that_changes_a_bucket() {
        for &action in Action::ALL {
            if action.mutates() {
                assert_eq!(
                    check(&key(Permission::Read), object(action)),
                    Err(Denial::Permission),
                    "{action:?}"
                );
            }
        }
        assert_eq!(
            check(&key(Permission::Read), object(Action::GetObject)),
            Ok(())
        );
    }

    #[test]
    fn rights_that_are_not_enforced_yet_grant_nothing() {
        for permission in [Permission::Append, Permission::Write] {
            assert_eq!(
                check(&key(permission), object(Action::GetObject)),
                Err(Denial::NotAvailable)
            );
        }
    }

    #[test]
    fn paused_expired_and_foreign_are_told_apart() {
        let mut paused = key(Permission::ReadWrite);
        paused.state = KeyState::Paused;
        assert_eq!(
            check(&paused, object(Action::GetObject)),
            Err(Denial::Paused)
        );

        let mut expired = key(Permission::ReadWrite);
        expired.expires_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(
            check(&expired, object(Action::GetObject)),
            Err(Denial::Expired)
        );

        let mut elsewhere = key(Permission::ReadWrite);
        elsewhere.scope.addresses = vec![crate::key::IpRule("192.0.2.0/24".parse().unwrap())];
        assert_eq!(
            check(&elsewhere, object(Action::GetObject)),
            Err(Denial::Address)
        );
    }

    #[test]
    fn a_copy_needs_its_source_bucket_and_prefix_too() {
        let mut limited = key(Permission::ReadWrite);
        let mut copy = object(Action::CopyObject);
        copy.source = Some(CopySource {
            bucket: "secrets".parse().unwrap(),
            key: "a/x".parse().unwrap(),
            with_blanks: None,
            version: None,
        });
        assert_eq!(check(&limited, copy.clone()), Err(Denial::Bucket));

        limited.scope.prefixes = vec!["a/".parse().unwrap()];
        let source = copy.source.as_mut().unwrap();
        source.bucket = "music".parse().unwrap();
        source.key = "b/x".parse().unwrap();
        assert_eq!(check(&limited, copy.clone()), Err(Denial::Prefix));

        limited.scope.prefixes = vec!["a+".parse().unwrap(), "a/".parse().unwrap()];
        let source = copy.source.as_mut().unwrap();
        source.key = "a+b".parse().unwrap();
        assert_eq!(check(&limited, copy.clone()), Ok(()));
        copy.source.as_mut().unwrap().with_blanks = Some("a b".parse().unwrap());
        assert_eq!(check(&limited, copy), Err(Denial::Prefix));
    }

    #[test]
    fn a_prefix_key_lists_only_below_its_prefix() {
        let mut limited = key(Permission::ReadWrite);
        limited.scope.prefixes = vec!["a/".parse().unwrap()];
        let list = |prefix: &str| Operation {
            action: Action::ListObjectsV2,
            target: Target::Bucket {
                bucket: "photos".parse().unwrap(),
                prefix: prefix.into(),
            },
            source: None,
        };
        assert_eq!(check(&limited, list("a/b")), Ok(()));
        assert_eq!(check(&limited, list("")), Err(Denial::Prefix));
        assert_eq!(check(&limited, list("b/")), Err(Denial::Prefix));
    }
}
