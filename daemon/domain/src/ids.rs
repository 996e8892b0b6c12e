//! Typed ids. A `KeyId` cannot stand in for a `ConnectionId`.
//!
//! Each is 80 random bits, supplied by the caller, written as a prefix and 16 lower-case base32
//! characters (`conn_…`, `key_…`, `del_…`). They carry no meaning and reveal nothing, so they may
//! appear in logs and as table keys.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD_NOCASE;
use serde::{Deserialize, Serialize};

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} id: expected {prefix} and 16 characters of a-z2-7")]
pub struct IdError {
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 10]);

        impl $name {
            /// An id from 80 random bits.
            #[must_use]
            pub const fn from_random(bytes: [u8; 10]) -> Self {
                Self(bytes)
            }

            /// The bits, as used for table keys and associated data.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 10] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = BASE32_NOPAD_NOCASE.encode(&self.0);
                text.make_ascii_lowercase();
                write!(f, concat!($prefix, "{}"), text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(|body| BASE32_NOPAD_NOCASE.decode(body.as_bytes()).ok())
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or(IdError { kind: $kind, prefix: $prefix })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

typed_id!(
    /// One connection, whatever it is called now. Never reused, so a connection made again under
    /// an old name is a different one.
    ConnectionId, "connection", "conn_"
);
typed_id!(
    /// One key's record. Not the access key id that tools present.
    KeyId, "key", "key_"
);
typed_id!(
    /// One deletion, and the receipt it ends with.
    DeletionId, "deletion", "del_"
);

typed_id!(
    /// One backup of everything.
    BackupId, "backup", "bak_"
);

typed_id!(
    /// What a plan showed: the same facts have the same id.
    PlanId,
    "plan",
    "plan_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_do_not_cross_kinds() {
        let id = KeyId::from_random([7; 10]);
        let text = id.to_string();
        assert_eq!(text.parse::<KeyId>().unwrap(), id);
        assert!(text.parse::<ConnectionId>().is_err());
        assert!("key_".parse::<KeyId>().is_err());
        assert!("key_!!!!!!!!!!!!!!!!".parse::<KeyId>().is_err());
    }
}
