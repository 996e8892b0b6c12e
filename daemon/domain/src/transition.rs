//! How the rights of a living key change, so that at no moment it may do what either the old or
//! the new rights refuse: what is taken away goes before the change is durable, what is given
//! comes after it. This module must never answer "nothing in common" with an empty set, because
//! an empty set of buckets, prefixes or addresses means something wider.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;

use crate::{
    key::{IpRule, Key, KeyState, Permission, Scope},
    names::{BucketName, Label, Prefix},
};

/// What a living key is to be changed to; `None` leaves that part as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restriction {
    /// What the user calls it.
    pub label: Option<Label>,
    /// What it may do.
    pub permission: Option<Permission>,
    /// Empty: every bucket of the connection.
    pub buckets: Option<BTreeSet<BucketName>>,
    /// Empty: every object.
    pub prefixes: Option<Vec<Prefix>>,
    /// Empty: loopback only.
    pub addresses: Option<Vec<IpRule>>,
    /// `Some(None)`: never.
    pub expires_at: Option<Option<Timestamp>>,
}

impl Restriction {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The key as it is to be.
    #[must_use]
    pub fn of(self, key: &Key) -> Key {
        let mut key = key.clone();
        key.label = self.label.unwrap_or(key.label);
        key.permission = self.permission.unwrap_or(key.permission);
        key.scope = Scope {
            buckets: self.buckets.unwrap_or(key.scope.buckets),
            prefixes: self.prefixes.unwrap_or(key.scope.prefixes),
            addresses: self.addresses.unwrap_or(key.scope.addresses),
        };
        key.expires_at = self.expires_at.unwrap_or(key.expires_at);
        key
    }
}

impl Key {
    /// The same key, refused until it is resumed.
    #[must_use]
    pub fn paused(&self) -> Self {
        Self {
            state: KeyState::Paused,
            ..self.clone()
        }
    }

    /// The same key, admitted again.
    #[must_use]
    pub fn resumed(&self) -> Self {
        let state = match self.successor {
            Some(_) => KeyState::Retiring,
            None => KeyState::Active,
        };
        Self {
            state,
            ..self.clone()
        }
    }
}

/// The way of a key from one set of rights to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// In force before the change is durable: what both the old and the new rights allow.
    pub meanwhile: Key,
    /// What is stored, and in force afterwards.
    pub then: Key,
}

impl Transition {
    /// Plans the way. The generation grows only if something is taken away: what was permitted
    /// before is void then, and else goes on.
    #[must_use]
    pub fn new(now: &Key, then: Key) -> Self {
        let mut meanwhile = now.clone();
        if !covers(&then, now) {
            meanwhile = in_common(now, &then);
            meanwhile.generation = now.generation + 1;
        }
        let then = Key {
            generation: meanwhile.generation,
            ..then
        };
        Self { meanwhile, then }
    }

    /// Whether the key loses something it had in this generation.
    #[must_use]
    pub const fn takes_away(&self, now: &Key) -> bool {
        self.then.generation != now.generation
    }
}

impl Permission {
    /// Whether a key with `self` may do everything that one with `other` may.
    const fn includes(self, other: Self) -> bool {
        match self {
            Self::ReadWrite => true,
            Self::Append => matches!(other, Self::Append | Self::Read | Self::Write),
            // Without what `Append` may under a lock prefix.
            Self::ReadWriteNoDelete => {
                matches!(other, Self::ReadWriteNoDelete | Self::Read | Self::Write)
            }
            Self::Read => matches!(other, Self::Read),
            Self::Write => matches!(other, Self::Write),
        }
    }

    /// A permission that both include. Between `Append` and `ReadWriteNoDelete` it is less than
    /// what they share, for which there is no name.
    const fn in_common(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if self.includes(other) => Some(other),
            _ if other.includes(self) => Some(self),
            (Self::Append, Self::ReadWriteNoDelete) | (Self::ReadWriteNoDelete, Self::Append) => {
                Some(Self::Read)
            }
            _ => None,
        }
    }
}

/// Whether whatever `narrow` allows, `wide` allows too.
fn covers(wide: &Key, narrow: &Key) -> bool {
    if narrow.state == KeyState::Paused {
        return true;
    }
    let (wide_scope, narrow_scope) = (&wide.scope, &narrow.scope);
    let buckets = wide_scope.buckets.is_empty()
        || !narrow_scope.buckets.is_empty() && narrow_scope.buckets.is_subset(&wide_scope.buckets);
    let prefixes = wide_scope.prefixes.is_empty()
        || !narrow_scope.prefixes.is_empty()
            && narrow_scope
                .prefixes
                .iter()
                .all(|prefix| begins_with_any(prefix, &wide_scope.prefixes));
    let wide_addresses = IpNet::aggregate(&ranges(wide_scope));
    let addresses = ranges(narrow_scope)
        .iter()
        .all(|range| wide_addresses.iter().any(|wide| wide.contains(range)));
    let expiry = match (wide.expires_at, narrow.expires_at) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow <= wide,
    };
    // Where its locks are follows from an append key's prefixes.
    let locks = narrow.permission != Permission::Append
        || wide.permission != Permission::Append
        || wide_scope.prefixes == narrow_scope.prefixes;
    wide.state != KeyState::Paused
        && locks
        && wide.permission.includes(narrow.permission)
        && buckets
        && prefixes
        && addresses
        && expiry
}

/// The key with what both allow; paused when that is nothing.
fn in_common(now: &Key, then: &Key) -> Key {
    let mut key = now.clone();
    key.expires_at = match (now.expires_at, then.expires_at) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    if then.state == KeyState::Paused {
        key.state = KeyState::Paused;
    }
    let shared = now
        .permission
        .in_common(then.permission)
        .zip(scope_in_common(&now.scope, &then.scope));
    match shared {
        Some((permission, scope)) => {
            let moves_locks = |key: &Key| {
                key.permission == Permission::Append && key.scope.prefixes != scope.prefixes
            };
            key.permission = match permission {
                Permission::Append if [now, then].into_iter().any(moves_locks) => Permission::Read,
                permission => permission,
            };
            key.scope = scope;
        }
        None => key.state = KeyState::Paused,
    }
    key
}

fn scope_in_common(one: &Scope, other: &Scope) -> Option<Scope> {
    Some(Scope {
        buckets: buckets_in_common(&one.buckets, &other.buckets)?,
        prefixes: prefixes_in_common(&one.prefixes, &other.prefixes)?,
        addresses: addresses_in_common(one, other)?,
    })
}

fn buckets_in_common(
    one: &BTreeSet<BucketName>,
    other: &BTreeSet<BucketName>,
) -> Option<BTreeSet<BucketName>> {
    if one.is_empty() || other.is_empty() {
        return Some(if one.is_empty() { other } else { one }.clone());
    }
    let both: BTreeSet<_> = one.intersection(other).cloned().collect();
    (!both.is_empty()).then_some(both)
}

fn prefixes_in_common(one: &[Prefix], other: &[Prefix]) -> Option<Vec<Prefix>> {
    if one.is_empty() || other.is_empty() {
        return Some(if one.is_empty() { other } else { one }.to_vec());
    }
    let inside = |these: &[Prefix], those: &[Prefix]| -> Vec<Prefix> {
        these
            .iter()
            .filter(|prefix| begins_with_any(prefix, those))
            .cloned()
            .collect()
    };
    let both = [inside(one, other), inside(other, one)].concat();
    (!both.is_empty()).then_some(both)
}

fn addresses_in_common(one: &Scope, other: &Scope) -> Option<Vec<IpRule>> {
    if one.addresses == other.addresses {
        return Some(one.addresses.clone());
    }
    let (one, other) = (ranges(one), ranges(other));
    // Two ranges are apart, or one is inside the other.
    let inside = |these: &[IpNet], those: &[IpNet]| -> Vec<IpRule> {
        these
            .iter()
            .filter(|range| those.iter().any(|wide| wide.contains(*range)))
            .copied()
            .map(IpRule)
            .collect()
    };
    let both = [inside(&one, &other), inside(&other, &one)].concat();
    (!both.is_empty()).then_some(both)
}

fn begins_with_any(prefix: &Prefix, others: &[Prefix]) -> bool {
    others
        .iter()
        .any(|other| prefix.as_str().starts_with(other.as_str()))
}

/// The addresses a scope admits, spelled out.
fn ranges(scope: &Scope) -> Vec<IpNet> {
    if scope.addresses.is_empty() {
        let v4 = Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);
        let v6 = Ipv6Net::from(std::net::Ipv6Addr::LOCALHOST);
        return vec![v4.into(), v6.into()];
    }
    scope.addresses.iter().map(|rule| rule.0).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        access::{Verified, decide},
        connection::Buckets,
        ids::KeyId,
        operation::{Action, Operation, Target},
    };

    fn key() -> Key {
        Key {
            generation: 7,
            ..Key::sample()
        }
    }

    const BUCKETS: [&str; 2] = ["photos", "music"];
    const PREFIXES: [&str; 4] = ["a", "a/", "a/b", "c/"];
    const RANGES: [&str; 5] = [
        "127.0.0.1",
        "127.0.0.0/8",
        "10.0.0.0/9",
        "10.128.0.0/9",
        "10.0.0.0/8",
    ];

    fn some_of<T: std::str::FromStr + Clone + std::fmt::Debug + 'static>(
        texts: &'static [&'static str],
    ) -> impl Strategy<Value = Vec<T>>
    where
        T::Err: std::fmt::Debug,
    {
        prop::sample::subsequence(texts, 0..=texts.len())
            .prop_map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn second(number: i64) -> Timestamp {
        Timestamp::from_second(number).unwrap()
    }

    fn any_key() -> impl Strategy<Value = Key> {
        (
            prop::sample::select(&Permission::ALL[..]),
            some_of::<BucketName>(&BUCKETS),
            some_of::<Prefix>(&PREFIXES),
            some_of::<IpRule>(&RANGES),
            prop::option::of((1..4_i64).prop_map(second)),
            prop::bool::weighted(0.1),
        )
            .prop_map(
                |(permission, buckets, prefixes, addresses, expires_at, paused)| {
                    let key = Key {
                        permission,
                        scope: Scope {
                            buckets: buckets.into_iter().collect(),
                            prefixes,
                            addresses,
                        },
                        expires_at,
                        ..key()
                    };
                    if paused { key.paused() } else { key }
                },
            )
    }

    fn answer(
        key: &Key,
        action: Action,
        bucket: &str,
        object: &str,
        peer: &str,
        now: i64,
    ) -> Might {
        let buckets: Buckets = BUCKETS
            .iter()
            .map(|name| name.parse().unwrap())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let operation = Operation {
            action,
            target: Target::Object {
                bucket: bucket.parse().unwrap(),
                key: object.parse().unwrap(),
            },
            source: None,
        };
        let peer = peer.parse().unwrap();
        let decided = decide(
            Verified::attest(key.id),
            key,
            &buckets,
            operation,
            peer,
            second(now),
        );
        match decided {
            Err(_) => Might::Nothing,
            Ok(permit) if permit.adds_only() || permit.own_uploads_only() => Might::Some,
            Ok(_) => Might::All,
        }
    }

    /// How far a key is permitted something.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Might {
        Nothing,
        /// If it adds, or to an upload of its own.
        Some,
        All,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_change_never_allows_meanwhile_what_either_side_refuses(
            old in any_key(),
            new in any_key(),
            action in prop::sample::select(Action::ALL),
            bucket in prop::sample::select(&BUCKETS[..]),
            object in prop::sample::select(&["a", "a/x", "a/b/x", "c/x", "z", "locks/x", "a/locks/x", "c/locks/x"][..]),
            peer in prop::sample::select(&["127.0.0.1", "127.9.9.9", "::1", "10.1.1.1", "10.200.1.1", "192.0.2.1"][..]),
            now in 0..4_i64,
        ) {
            let transition = Transition::new(&old, new.clone());
            let ask = |key: &Key| answer(key, action, bucket, object, peer, now);
            let answers = [ask(&old), ask(&new), ask(&transition.meanwhile)];
            let [before, after, meanwhile] = answers;
            prop_assert!(meanwhile <= before.min(after), "{transition:?}");
            if !transition.takes_away(&old) {
                prop_assert!(before <= after, "permits of the old rights live on: {transition:?}");
                prop_assert_eq!(meanwhile, before);
            }
            prop_assert_eq!(
                Key { generation: old.generation, ..transition.then },
                new
            );
        }
    }

    #[test]
    fn only_a_loss_of_rights_voids_what_was_permitted() {
        let now = key();
        let with = |restriction: Restriction| Transition::new(&now, restriction.of(&now));
        let lost = [
            Restriction {
                permission: Some(Permission::Read),
                ..Restriction::default()
            },
            Restriction {
                prefixes: Some(vec!["a/".parse().unwrap()]),
                ..Restriction::default()
            },
            Restriction {
                addresses: Some(vec!["127.0.0.1".parse().unwrap()]),
                ..Restriction::default()
            },
            Restriction {
                expires_at: Some(Some(second(9))),
                ..Restriction::default()
            },
        ];
        for restriction in lost {
            let transition = with(restriction);
            assert!(transition.takes_away(&now), "{transition:?}");
            assert_eq!(transition.meanwhile, transition.then);
        }
        let kept = [
            Restriction::default(),
            Restriction {
                label: Some("other".parse().unwrap()),
                ..Restriction::default()
            },
            Restriction {
                addresses: Some(vec![
                    "127.0.0.0/8".parse().unwrap(),
                    "::1".parse().unwrap(),
                    "10.0.0.0/8".parse().unwrap(),
                ]),
                ..Restriction::default()
            },
        ];
        for restriction in kept {
            let transition = with(restriction);
            assert!(!transition.takes_away(&now), "{transition:?}");
            assert_eq!(transition.meanwhile, now);
        }
    }

    #[test]
    fn rights_that_share_nothing_are_none_at_all_meanwhile() {
        let with = |prefix: &str| {
            let mut key = key();
            key.scope.prefixes = vec![prefix.parse().unwrap()];
            key
        };
        let transition = Transition::new(&with("a/"), with("b/"));
        assert_eq!(transition.meanwhile.state, KeyState::Paused);
        assert_eq!(transition.then.state, KeyState::Active);
        assert_eq!(transition.then.generation, 8);
    }

    #[test]
    fn an_append_key_that_moves_has_no_locks_meanwhile() {
        let append = |prefixes: &[&str]| Key {
            permission: Permission::Append,
            scope: Scope {
                prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
                ..Scope::default()
            },
            ..key()
        };
        let may = |key: &Key, object: &str| {
            answer(key, Action::DeleteObject, "photos", object, "127.0.0.1", 0) == Might::All
        };
        for (old, new) in [
            (append(&[]), append(&["a/"])),
            (append(&["a/"]), append(&[])),
            (append(&["a/", "b/"]), append(&["b/"])),
        ] {
            let transition = Transition::new(&old, new.clone());
            assert!(transition.takes_away(&old));
            for object in ["locks/x", "a/locks/x", "b/locks/x"] {
                let both = may(&old, object) && may(&new, object);
                assert!(!may(&transition.meanwhile, object) || both, "{object}");
            }
        }
        let wide = Key {
            permission: Permission::ReadWrite,
            ..append(&[])
        };
        let transition = Transition::new(&wide, append(&["a/"]));
        assert_eq!(transition.meanwhile.permission, Permission::Append);
    }

    #[test]
    fn a_resumed_key_is_what_it_was_before_its_pause() {
        let active = key();
        assert_eq!(active.paused().resumed(), active);
        let retiring = Key {
            state: KeyState::Retiring,
            successor: Some(KeyId::from_random([9; 10])),
            ..key()
        };
        assert_eq!(retiring.paused().resumed(), retiring);
        let transition = Transition::new(&active.paused(), active.clone());
        assert_eq!(transition.meanwhile.state, KeyState::Paused);
    }
}
