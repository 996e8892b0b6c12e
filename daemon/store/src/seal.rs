//! Sealing: authenticated encryption that binds each ciphertext to its place.
//!
//! A sealed value is a format byte, a random nonce, the ciphertext and its tag. The associated data
//! holds the format and every part of the place, each with its length, so a value that was moved
//! does not open (threats.md D5). Random nonces under AES-256-GCM-SIV: even a repeated one would
//! reveal only whether two values are equal (D6). It must never return plaintext that did not
//! authenticate.

use std::{fmt, io};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::error::StoreError;

/// Format of sealed values and of the store; bound into everything sealed.
pub(crate) const FORMAT: u8 = 1;

pub(crate) const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const BODY: usize = 1 + NONCE_LEN;
/// Bytes that sealing adds.
pub(crate) const OVERHEAD: usize = BODY + TAG_LEN;

/// The value does not open with this key in this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rejected;

/// A key that seals and opens. The library wipes it when it is dropped.
pub(crate) struct Sealer(RandomizedNonceKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(redacted)")
    }
}

impl Sealer {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Result<Self, StoreError> {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, key)
            .map(Self)
            .map_err(|_| StoreError::Cryptography)
    }

    /// Seals for one place.
    pub(crate) fn seal(&self, place: &[&[u8]], plaintext: &[u8]) -> Result<Vec<u8>, StoreError> {
        // The exact capacity, so that no plaintext is left behind by growing; it is turned into
        // ciphertext where it stands.
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&[0; NONCE_LEN]);
        sealed.extend_from_slice(plaintext);
        let outcome = self
            .0
            .seal_in_place_separate_tag(Aad::from(associated(place)), &mut sealed[BODY..])
            .map_err(|_| StoreError::Cryptography);
        let (nonce, tag) = match outcome {
            Ok(parts) => parts,
            Err(error) => {
                drop(Zeroizing::new(sealed));
                return Err(error);
            }
        };
        sealed[1..BODY].copy_from_slice(nonce.as_ref());
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for this place.
    pub(crate) fn open(
        &self,
        place: &[&[u8]],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Rejected> {
        if sealed.len() < OVERHEAD || sealed[0] != FORMAT {
            return Err(Rejected);
        }
        let nonce = Nonce::try_assume_unique_for_key(&sealed[1..BODY]).map_err(|_| Rejected)?;
        let mut plaintext = Zeroizing::new(sealed[BODY..].to_vec());
        let len = self
            .0
            .open_in_place(nonce, Aad::from(associated(place)), &mut plaintext)
            .map_err(|_| Rejected)?
            .len();
        plaintext.truncate(len);
        Ok(plaintext)
    }

    /// Seals a value's JSON form.
    pub(crate) fn seal_json(
        &self,
        place: &[&[u8]],
        value: &impl Serialize,
    ) -> Result<Vec<u8>, StoreError> {
        self.seal(place, &to_json(value)?)
    }

    /// Opens a value sealed by [`Self::seal_json`].
    pub(crate) fn open_json<T: DeserializeOwned>(
        &self,
        place: &[&[u8]],
        sealed: &[u8],
    ) -> Result<T, Rejected> {
        // The parser's error could quote the content.
        serde_json::from_slice(&self.open(place, sealed)?).map_err(|_| Rejected)
    }
}

fn associated(place: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    for part in place {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The JSON form in one allocation, wiped when dropped.
fn to_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    struct Length(usize);
    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let unserialisable = |_| StoreError::OutOfOrder("a record has no JSON form");
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(unserialisable)?;
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, value).map_err(unserialisable)?;
    Ok(json)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, StoreError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).map_err(|_| StoreError::Cryptography)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&[7; KEY_LEN]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_in_its_place() {
        let sealed = sealer().seal(&[b"table", b"row"], b"secret").unwrap();
        assert_eq!(
            **sealer().open(&[b"table", b"row"], &sealed).unwrap(),
            *b"secret"
        );
        assert_eq!(sealer().open(&[b"table", b"rox"], &sealed), Err(Rejected));
        assert_eq!(sealer().open(&[b"tabler", b"ow"], &sealed), Err(Rejected));
        assert_eq!(sealer().open(&[b"table"], &sealed), Err(Rejected));
        let other = Sealer::new(&[8; KEY_LEN]).unwrap();
        assert_eq!(other.open(&[b"table", b"row"], &sealed), Err(Rejected));
    }

    #[test]
    fn d5_every_flipped_bit_and_every_cut_is_rejected() {
        let sealed = sealer().seal(&[b"place"], b"secret").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut altered = sealed.clone();
                altered[at] ^= 1 << bit;
                assert_eq!(
                    sealer().open(&[b"place"], &altered),
                    Err(Rejected),
                    "byte {at}"
                );
            }
            assert_eq!(
                sealer().open(&[b"place"], &sealed[..at]),
                Err(Rejected),
                "cut at {at}"
            );
        }
        let mut longer = sealed;
        longer.push(0);
        assert_eq!(sealer().open(&[b"place"], &longer), Err(Rejected));
    }

    #[test]
    fn d6_nonces_do_not_repeat() {
        let sealer = sealer();
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            let sealed = sealer.seal(&[], b"x").unwrap();
            assert!(seen.insert(sealed[1..BODY].to_vec()));
        }
    }

    #[test]
    fn neither_key_nor_plaintext_show_in_debug_or_ciphertext() {
        assert_eq!(format!("{:?}", sealer()), "Sealer(redacted)");
        let sealed = sealer().seal(&[], b"planted marker").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"planted"));
    }
}
