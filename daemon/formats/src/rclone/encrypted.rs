//! rclone's encrypted configuration: a mark, then base64 of a nonce and a NaCl secretbox.

use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// What an encrypted file begins with, behind comments; a version follows.
const MARK: &str = "RCLONE_ENCRYPT_V";
/// The only version there is.
const VERSION: &str = "RCLONE_ENCRYPT_V0:";
const NONCE: usize = 24;

/// Why a configuration stays locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockedError {
    /// Another version of the format.
    #[error("it is encrypted in a way that is not known")]
    Version,
    /// Not base64, or too short.
    #[error("its encrypted content is damaged")]
    Damaged,
    /// The password is another one, or the content was changed.
    #[error("the password does not open it")]
    Password,
}

/// Whether the file is encrypted: only comments and blank lines stand before the mark.
#[must_use]
pub fn is_encrypted(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    first.is_some_and(|line| line.starts_with(MARK))
}

/// What the password opens. Trailing blanks of the password do not count, as in rclone.
pub fn unlock(text: &str, password: &str) -> Result<Zeroizing<String>, LockedError> {
    let (_, behind) = text.split_once(VERSION).ok_or(LockedError::Version)?;
    let encoded: String = behind.split_whitespace().collect();
    let sealed = BASE64
        .decode(encoded.as_bytes())
        .map_err(|_| LockedError::Damaged)?;
    let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or(LockedError::Damaged)?;
    let normal: Zeroizing<String> = Zeroizing::new(password.trim_end().nfkc().collect());
    let mut hash = Sha256::new();
    for part in ["[", &normal, "][rclone-config]"] {
        hash.update(part.as_bytes());
    }
    let key = Zeroizing::new(<[u8; 32]>::from(hash.finalize()));
    let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| LockedError::Damaged)?;
    let opened = XSalsa20Poly1305::new(&(*key).into())
        .decrypt(&nonce.into(), sealed)
        .map_err(|_| LockedError::Password)?;
    let opened = Zeroizing::new(opened);
    let text = std::str::from_utf8(&opened).map_err(|_| LockedError::Damaged)?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by rclone 1.75.2 with the password `pässwörd½`.
    const SEALED: &str = "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\n\
        Fp6CgMbsbvf9CVRYTEjjpb3dasQ34/TB29Dm1aBwX/3oZEESsYJtTCiHIxyTZIUToNosj0LE+FPuwwWSiJFmPRtS\
        2cb66ZQzBFLlklRwXOW6WM7KKNap4PQLydWmXjHl3HYtbhTvCUPSx5SrAPqAwL7IW+jKYSq4+w==\n";

    #[test]
    fn what_rclone_has_sealed_is_opened_by_its_password_in_any_normal_form() {
        for password in ["pässwörd½", "pa\u{308}sswo\u{308}rd½", "pässwörd½\n"] {
            let opened = unlock(SEALED, password).unwrap();
            assert!(opened.contains("access_key_id = AKIAENCRYPTED0000001"));
        }
        assert_eq!(unlock(SEALED, "password"), Err(LockedError::Password));
        let changed = SEALED.replace("Fp6C", "Fp6D");
        assert_eq!(unlock(&changed, "pässwörd½"), Err(LockedError::Password));
        for damaged in ["RCLONE_ENCRYPT_V0:\n!", "RCLONE_ENCRYPT_V0:\nAAAA"] {
            assert_eq!(unlock(damaged, "x"), Err(LockedError::Damaged), "{damaged}");
        }
        assert_eq!(
            unlock("RCLONE_ENCRYPT_V1:\n", "x"),
            Err(LockedError::Version)
        );
    }

    proptest! {
        #[test]
        fn no_text_stops_it(text in "(RCLONE_ENCRYPT_V0:)?[A-Za-z0-9+/=\n]{0,200}", password in ".{0,8}") {
            let _ = unlock(&text, &password);
        }
    }
}
