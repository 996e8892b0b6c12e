//! A key and what it may do. Its secret is kept apart (`secret::SecretKey`).

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    access_key::AccessKeyId,
    ids::{ConnectionId, KeyId},
    names::{BucketName, Label, Prefix},
};

/// Who checks the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Our gateway.
    Gateway,
    /// The provider, which minted it for us.
    ProviderMinted,
}

/// Where the key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Bascule made it.
    Issued,
    /// The user brought it: a connection's own credentials.
    Brought,
    /// Met in a configuration; it belongs to nobody yet.
    Found,
}

/// What a key may do with objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Read and list.
    Read,
    /// Read and add; never overwrite or delete, except what is a lock (`rights::Locks`).
    Append,
    /// Add only.
    Write,
    /// Everything but bucket administration.
    ReadWrite,
    /// Everything but deleting.
    ReadWriteNoDelete,
}

impl Permission {
    /// All, in the order in which help texts name them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Append,
        Self::Write,
        Self::ReadWrite,
        Self::ReadWriteNoDelete,
    ];

    /// The name on the command line and in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Write => "write",
            Self::ReadWrite => "read-write",
            Self::ReadWriteNoDelete => "read-write-no-delete",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown permission: expected read, append, write, read-write or read-write-no-delete")]
pub struct UnknownPermission;

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or(UnknownPermission)
    }
}

/// The state of a living key. A dead one has no record, only a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Requests are admitted.
    Active,
    /// Requests are refused, reversibly.
    Paused,
    /// A successor exists; still admitted until the grace ends.
    Retiring,
}

/// A range of addresses a key may be used from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpRule(pub IpNet);

/// The text is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address or a range, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
pub struct IpRuleError;

impl FromStr for IpRule {
    type Err = IpRuleError;

    /// A range without the bits below its length. One of IPv4-mapped addresses is that of their
    /// IPv4 addresses, as peers are.
    fn from_str(text: &str) -> Result<Self, IpRuleError> {
        let range = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| IpRuleError)?;
        let mapped = match range {
            IpNet::V6(range) => range
                .addr()
                .to_ipv4_mapped()
                .zip(range.prefix_len().checked_sub(96))
                .and_then(|(address, length)| Ipv4Net::new(address, length).ok()),
            IpNet::V4(_) => None,
        };
        Ok(Self(mapped.map_or(range, IpNet::from).trunc()))
    }
}

impl fmt::Display for IpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl IpRule {
    /// Whether the peer is inside. An IPv4-mapped IPv6 address is its IPv4 address.
    #[must_use]
    pub fn admits(&self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }
}

/// What a key is limited to. Empty sets do not mean "nothing": each field says what they mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Empty: every bucket of the connection.
    pub buckets: BTreeSet<BucketName>,
    /// Empty: every object.
    pub prefixes: Vec<Prefix>,
    /// Empty: loopback only, never the whole world.
    pub addresses: Vec<IpRule>,
}

impl Scope {
    /// Whether requests from this socket peer are admitted.
    #[must_use]
    pub fn admits_address(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if self.addresses.is_empty() {
            peer.is_loopback()
        } else {
            self.addresses.iter().any(|rule| rule.admits(peer))
        }
    }
}

/// A key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The record's id.
    pub id: KeyId,
    /// What tools present.
    pub access_key_id: AccessKeyId,
    /// The connection it opens.
    pub connection: ConnectionId,
    /// Who checks it.
    pub kind: KeyKind,
    /// Where it came from.
    pub origin: Origin,
    /// What the user calls it.
    pub label: Label,
    /// What it may do.
    pub permission: Permission,
    /// What it is limited to.
    pub scope: Scope,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// Its state now.
    pub state: KeyState,
    /// Counts changes that took something away, from 1. A permit is good for one generation.
    pub generation: u64,
    /// The key it replaced.
    pub predecessor: Option<KeyId>,
    /// The key that replaces it.
    pub successor: Option<KeyId>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

#[cfg(test)]
impl Key {
    /// One that may do everything, for ever.
    pub(crate) fn sample() -> Self {
        Self {
            id: KeyId::from_random([1; 10]),
            access_key_id: AccessKeyId::issue([1; 15]),
            connection: ConnectionId::from_random([2; 10]),
            kind: KeyKind::Gateway,
            origin: Origin::Issued,
            label: "test".parse().unwrap(),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_rule_means_loopback_only() {
        let scope = Scope::default();
        assert!(scope.admits_address("127.0.0.1".parse().unwrap()));
        assert!(scope.admits_address("::1".parse().unwrap()));
        assert!(scope.admits_address("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!scope.admits_address("192.0.2.1".parse().unwrap()));
        assert!(!scope.admits_address("::ffff:192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn an_address_rule_reads_back_and_folds_mapped_addresses() {
        for (text, shown) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ] {
            let rule: IpRule = text.parse().unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rule));
        }
        for text in ["", "localhost", "192.0.2.0/33", "192.0.2", "1.2.3.4/", "/8"] {
            assert_eq!(text.parse::<IpRule>(), Err(IpRuleError), "{text}");
        }
    }

    #[test]
    fn an_address_rule_replaces_loopback() {
        let scope = Scope {
            addresses: vec![IpRule("192.0.2.0/24".parse().unwrap())],
            ..Scope::default()
        };
        assert!(scope.admits_address("192.0.2.77".parse().unwrap()));
        assert!(scope.admits_address("::ffff:192.0.2.77".parse().unwrap()));
        assert!(!scope.admits_address("127.0.0.1".parse().unwrap()));
    }
}
