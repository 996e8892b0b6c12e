//! Names that people and providers give: connections, labels, buckets, prefixes, object keys.
//! Each is valid by construction.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// See [`ConnectionName`].
    #[error(
        "a connection name has 1 to 64 letters, digits, '.', '_' or '-', and starts with a letter or digit"
    )]
    Connection,
    /// See [`Label`].
    #[error("a label has 1 to 64 printable characters and neither starts nor ends with a blank")]
    Label,
    /// See [`BucketName`].
    #[error(
        "a bucket name has 3 to 255 letters, digits, '.', '_' or '-', starts and ends with a letter or digit, and has no '..'"
    )]
    Bucket,
    /// See [`ObjectKey`].
    #[error("an object key has 1 to 1024 bytes")]
    ObjectKey,
    /// See [`Prefix`].
    #[error("a prefix has 1 to 1024 bytes and no '.' or '..' segment")]
    Prefix,
    /// See [`ConsumerName`].
    #[error(
        "a consumer has 1 to 200 printable characters, and neither starts nor ends with a blank"
    )]
    Consumer,
    /// See [`Reason`].
    #[error(
        "a reason has 1 to 500 printable characters on one line, and neither starts nor ends with a blank"
    )]
    Reason,
    /// See [`FilePath`].
    #[error("a path is absolute and has at most 4096 bytes")]
    FilePath,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $error:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The name itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err($error) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

name!(
    /// What the user calls a connection.
    ConnectionName,
    NameError::Connection,
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(plain)
        && text.as_bytes()[0].is_ascii_alphanumeric()
);
name!(
    /// What the user calls a key: usually the tool it is for.
    Label,
    NameError::Label,
    |text| (1..=64).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
);
name!(
    /// A bucket. Wider than today's AWS rules, because older buckets and other servers are.
    BucketName,
    NameError::Bucket,
    |text| (3..=255).contains(&text.len())
        && text.bytes().all(plain)
        && !text.contains("..")
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.as_bytes()[text.len() - 1].is_ascii_alphanumeric()
);
name!(
    /// An object's key, decoded. `//`, leading `/` and `.` segments are part of it.
    ObjectKey,
    NameError::ObjectKey,
    |text| (1..=1024).contains(&text.len())
);
name!(
    /// The beginning of object keys that a key is limited to.
    Prefix,
    NameError::Prefix,
    |text| (1..=1024).contains(&text.len())
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
);
name!(
    /// Who uses a key, such as `rclone:r2`: a tool, and what it calls the place it uses it for.
    ConsumerName,
    NameError::Consumer,
    |text| (1..=200).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
);
name!(
    /// Why a user asked for a change.
    Reason,
    NameError::Reason,
    |text| (1..=500).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
);
name!(
    /// Where a file of a user's is.
    FilePath,
    NameError::FilePath,
    |text| text.starts_with('/') && text.len() <= 4096 && !text.contains('\0')
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_that_could_climb_or_confuse_are_refused() {
        for text in [
            "ab", "..", "a..b", ".abc", "abc.", "a/b", "a b", "-abc", "abc\0", "",
        ] {
            assert!(text.parse::<BucketName>().is_err(), "{text:?}");
        }
        for text in ["photos", "my.bucket", "Legacy_Bucket1", "a-b"] {
            assert!(text.parse::<BucketName>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn labels_may_be_in_any_script_but_never_control_a_terminal() {
        assert!("バックアップ".parse::<Label>().is_ok());
        assert!("a\x1b[31m".parse::<Label>().is_err());
        assert!(" a".parse::<Label>().is_err());
    }

    #[test]
    fn prefixes_with_dot_segments_are_refused() {
        assert!("a/../b".parse::<Prefix>().is_err());
        assert!("a/b".parse::<Prefix>().is_ok());
    }
}
