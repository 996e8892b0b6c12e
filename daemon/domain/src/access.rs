//! The one place that grants a [`Permit`]. Without one, nothing is forwarded to a provider.

use std::net::IpAddr;

use jiff::Timestamp;

use crate::{
    connection::Buckets,
    ids::{ConnectionId, KeyId},
    key::{Key, KeyState, Permission},
    names::{ObjectKey, Prefix},
    operation::{Action, Class, Operation, Target},
    rights::{self, Grant, Locks},
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
    /// The key may add but not overwrite, and the object exists.
    Overwrite,
    /// The bucket is not one this key may use.
    Bucket,
    /// The object is outside the key's prefixes.
    Prefix,
    /// Bucket administration, which no key has.
    BucketAdmin,
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
    grant: Grant,
    /// What alone it covers, if it is so limited.
    only: Option<Locks>,
    sees_whole_bucket: bool,
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
    pub fn covers(&self, object: &ObjectKey) -> Result<(), Denial> {
        if !within(&self.prefixes, object.as_str()) {
            return Err(Denial::Prefix);
        }
        match &self.only {
            Some(locks) if !locks.hold(object) => Err(Denial::Permission),
            _ => Ok(()),
        }
    }

    /// Whether facts about the whole bucket, such as how much it holds, may be told.
    #[must_use]
    pub const fn sees_whole_bucket(&self) -> bool {
        self.sees_whole_bucket
    }

    /// Whether an object that exists must stay as it is. The gateway must see to that.
    #[must_use]
    pub const fn adds_only(&self) -> bool {
        self.grant.adds_only()
    }

    /// Whether it covers no upload that another key began. The gateway must see to that.
    #[must_use]
    pub const fn own_uploads_only(&self) -> bool {
        self.grant.own_uploads_only()
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
    let (grant, only) = granted(key, &operation)?;
    within_prefixes(&key.scope.prefixes, &operation)?;
    Ok(Permit {
        key: key.id,
        connection: key.connection,
        generation: key.generation,
        operation,
        prefixes: key.scope.prefixes.clone(),
        grant,
        only,
        sees_whole_bucket: key.scope.prefixes.is_empty()
            && rights::grant(key.permission, Action::ListObjects) == Grant::All,
    })
}

/// What the key's right comes to for this operation: the exception for locks is resolved where
/// the object is known, and else left for the body to be compared with.
fn granted(key: &Key, operation: &Operation) -> Result<(Grant, Option<Locks>), Denial> {
    let grant = rights::grant(key.permission, operation.action);
    match grant {
        Grant::Nothing => return Err(Denial::Permission),
        Grant::All | Grant::OwnUploads => return Ok((grant, None)),
        Grant::Additions | Grant::OwnAdditions | Grant::Locks => {}
    }
    let locks = || (key.permission == Permission::Append).then(|| Locks::of(&key.scope.prefixes));
    match (&operation.target, grant) {
        (Target::Object { key: object, .. }, grant) => {
            let lock = locks().is_some_and(|locks| locks.hold(object));
            match grant {
                Grant::Locks if !lock => Err(Denial::Permission),
                Grant::Locks | Grant::Additions if lock => Ok((Grant::All, None)),
                Grant::OwnAdditions if lock => Ok((Grant::OwnUploads, None)),
                grant => Ok((grant, None)),
            }
        }
        (_, Grant::Locks) => Ok((grant, locks())),
        (_, grant) => Ok((grant, None)),
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
    use crate::operation::CopySource;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn key(permission: Permission) -> Key {
        Key {
            permission,
            ..Key::sample()
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

    fn permit(key: &Key, action: Action, name: &str) -> Result<Permit, Denial> {
        let mut operation = object(action);
        operation.target = Target::Object {
            bucket: "photos".parse().unwrap(),
            key: name.parse().unwrap(),
        };
        decide(
            Verified::attest(key.id),
            key,
            &vec!["photos".parse().unwrap()].try_into().unwrap(),
            operation,
            LOOPBACK,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn an_append_key_replaces_and_deletes_locks_and_nothing_else() {
        let append = key(Permission::Append);
        for action in [Action::PutObject, Action::CompleteMultipartUpload] {
            assert!(permit(&append, action, "data/x").unwrap().adds_only());
            assert!(!permit(&append, action, "locks/x").unwrap().adds_only());
        }
        let complete = permit(&append, Action::CompleteMultipartUpload, "locks/x").unwrap();
        assert!(complete.own_uploads_only());
        assert_eq!(
            permit(&append, Action::DeleteObject, "data/x").map(|_| ()),
            Err(Denial::Permission)
        );
        assert!(permit(&append, Action::DeleteObject, "locks/x").is_ok());

        let mut limited = append.clone();
        limited.scope.prefixes = vec!["a/".parse().unwrap()];
        assert!(permit(&limited, Action::DeleteObject, "a/locks/x").is_ok());
        assert!(permit(&limited, Action::DeleteObject, "locks/x").is_err());
    }

    #[test]
    fn an_append_key_deletes_in_bulk_what_it_may_delete_one_by_one() {
        let mut bulk = object(Action::DeleteObjects);
        bulk.target = Target::Bucket {
            bucket: "photos".parse().unwrap(),
            prefix: String::new(),
        };
        let append = key(Permission::Append);
        let buckets = vec!["photos".parse().unwrap()].try_into().unwrap();
        let granted = decide(
            Verified::attest(append.id),
            &append,
            &buckets,
            bulk,
            LOOPBACK,
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        assert_eq!(granted.covers(&"locks/x".parse().unwrap()), Ok(()));
        assert_eq!(
            granted.covers(&"data/x".parse().unwrap()),
            Err(Denial::Permission)
        );
    }

    #[test]
    fn a_write_key_has_no_locks() {
        let write = key(Permission::Write);
        assert!(
            permit(&write, Action::PutObject, "locks/x")
                .unwrap()
                .adds_only()
        );
        assert!(permit(&write, Action::DeleteObject, "locks/x").is_err());
    }

    #[test]
    fn a_key_ends_at_its_second_and_not_before() {
        let end: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        let mut expiring = key(Permission::ReadWrite);
        expiring.expires_at = Some(end);
        let at = |now: &str| {
            decide(
                Verified::attest(expiring.id),
                &expiring,
                &vec!["photos".parse().unwrap()].try_into().unwrap(),
                object(Action::GetObject),
                LOOPBACK,
                now.parse().unwrap(),
            )
            .map(|_| ())
        };
        assert_eq!(at("2026-11-25T11:59:59.999999999Z"), Ok(()));
        assert_eq!(at("2026-11-25T12:00:00Z"), Err(Denial::Expired));
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
