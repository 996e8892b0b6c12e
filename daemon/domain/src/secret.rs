//! Secrets as types: redacted in `Debug`, without `Display` or serialisation, wiped on drop.

use std::fmt;

use zeroize::Zeroizing;

use crate::access_key::AccessKeyId;

/// A secret access key. It is allocated once and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Zeroizing<Box<str>>);

/// Why a text cannot be a secret access key. It never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing was given; an empty secret would authenticate anybody.
    #[error("the secret access key is empty")]
    Empty,
    /// No provider issues secrets of this length.
    #[error("the secret access key is longer than 256 characters")]
    TooLong,
    /// Blank space, control or non-ASCII characters, which usually means a paste went wrong.
    #[error(
        "the secret access key holds a character that no provider uses (blank, control or non-ASCII)"
    )]
    Character,
}

impl SecretKey {
    /// Characters of an issued secret.
    pub const ISSUED_LEN: usize = 40;
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// Takes a secret the user or a tool's configuration holds.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.len() > 256 {
            return Err(SecretError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SecretError::Character);
        }
        Ok(Self(Zeroizing::new(text.into())))
    }

    /// Makes a secret of 40 characters of `A-Za-z0-9`. `fill` supplies random bytes; bytes that
    /// would favour some characters are drawn again.
    pub fn issue(mut fill: impl FnMut(&mut [u8])) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::ISSUED_LEN));
        let mut byte = [0_u8; 1];
        while text.len() < Self::ISSUED_LEN {
            fill(&mut byte);
            // 248 is the largest multiple of 62 in a byte.
            if byte[0] < 248 {
                text.push(char::from(Self::ALPHABET[usize::from(byte[0] % 62)]));
            }
        }
        Self(Zeroizing::new(text.as_str().into()))
    }

    /// The secret itself: for signing, for sealing, and for the one time it is shown.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// An access key id with its secret: what a connection brought, or what was just issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret: SecretKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d8_debug_never_shows_the_secret() {
        let secret = SecretKey::parse("hunter2hunter2").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn issued_secrets_have_the_promised_shape_and_skip_biased_bytes() {
        let mut next = 255_u8;
        let secret = SecretKey::issue(|buf| {
            for b in buf {
                *b = next;
                next = next.wrapping_sub(1);
            }
        });
        assert_eq!(secret.expose().len(), 40);
        assert!(secret.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(
            &secret.expose()[..1],
            "9",
            "247 is the first byte without bias"
        );
    }

    #[test]
    fn unusable_secrets_are_refused() {
        assert_eq!(SecretKey::parse(""), Err(SecretError::Empty));
        assert_eq!(SecretKey::parse("a b"), Err(SecretError::Character));
        assert_eq!(
            SecretKey::parse(&"x".repeat(257)),
            Err(SecretError::TooLong)
        );
    }
}
