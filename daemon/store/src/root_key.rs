//! The root key: what every other key hangs on.
//!
//! Its file holds a magic, the id of the one store it belongs to, the key, and a check value over
//! both under a key derived from it, so that a cut, altered or foreign file is told apart from the
//! right one before anything is opened with it. The key itself only derives others, each for one
//! purpose, and leaves memory right after.

use std::fmt;

use aws_lc_rs::{constant_time, hkdf, hmac};
use zeroize::Zeroizing;

use crate::{
    error::StoreError,
    seal::{KEY_LEN, Sealer, random},
};

const MAGIC: &[u8; 8] = b"BSCROOT\x01";
const ID_LEN: usize = 16;
const CHECK_LEN: usize = 32;
/// Where the magic says the format.
const FORMAT_AT: usize = MAGIC.len() - 1;
/// The most that is read of a file: one of a later version may be longer than ours.
pub(crate) const LIMIT: u64 = 4096;
/// Bytes of the file.
pub(crate) const FILE_LEN: usize = MAGIC.len() + ID_LEN + KEY_LEN + CHECK_LEN;

/// Which store; random, drawn when it is created.
pub(crate) type StoreId = [u8; ID_LEN];

/// Why a file's content is no root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRootKey {
    /// What is wrong with it, in fixed words.
    Damaged(&'static str),
    /// It was written by a later version, in this format.
    TooNew(u8),
}

impl NoRootKey {
    /// The newest format that is known.
    pub(crate) const KNOWN: u8 = MAGIC[FORMAT_AT];
}

/// The keys derived from the root key.
pub(crate) struct RootKey {
    /// The store it belongs to.
    pub(crate) store_id: StoreId,
    /// Wraps connection keys.
    pub(crate) wrap: Sealer,
    /// Seals what must outlive a connection.
    pub(crate) seal: Sealer,
    /// Authenticates backups.
    pub(crate) backups: hmac::Key,
    /// Authenticates what the anchor says.
    pub(crate) anchors: hmac::Key,
    lookup: hmac::Key,
    file_names: hmac::Key,
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(redacted)")
    }
}

impl RootKey {
    /// A new root key for a new store, as the content of its file.
    pub(crate) fn generate() -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let store_id = random::<ID_LEN>()?;
        let key = random::<KEY_LEN>()?;
        let mut file = Zeroizing::new(Vec::with_capacity(FILE_LEN));
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&*store_id);
        file.extend_from_slice(&*key);
        let check = check(&store_id, &key)?;
        file.extend_from_slice(check.as_ref());
        Ok(file)
    }

    /// Reads the file's content.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, NoRootKey> {
        if let Some(&format) = file.get(FORMAT_AT)
            && file.starts_with(&MAGIC[..FORMAT_AT])
            && format > NoRootKey::KNOWN
        {
            return Err(NoRootKey::TooNew(format));
        }
        Self::parse_known(file).map_err(NoRootKey::Damaged)
    }

    fn parse_known(file: &[u8]) -> Result<Self, &'static str> {
        if file.len() != FILE_LEN {
            return Err("its length is wrong");
        }
        let (magic, rest) = file.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err("it does not begin as a root key does");
        }
        let (store_id, rest) = rest
            .split_first_chunk::<ID_LEN>()
            .ok_or("its length is wrong")?;
        let (key, check_value) = rest
            .split_first_chunk::<KEY_LEN>()
            .ok_or("its length is wrong")?;
        let refused = |_| "the cryptographic library refused it";
        let expected = check(store_id, key).map_err(refused)?;
        constant_time::verify_slices_are_equal(expected.as_ref(), check_value)
            .map_err(|_| "its check value is wrong")?;
        let sealer = |label| {
            derive(store_id, key, label)
                .and_then(|key| Sealer::new(&key))
                .map_err(refused)
        };
        let hasher = |label| {
            derive(store_id, key, label)
                .map(|key| hmac::Key::new(hmac::HMAC_SHA256, &*key))
                .map_err(refused)
        };
        Ok(Self {
            store_id: *store_id,
            wrap: sealer(b"bascule 1 wrap connection keys")?,
            seal: sealer(b"bascule 1 seal records")?,
            backups: hasher(b"bascule 1 authenticate backups")?,
            anchors: hasher(b"bascule 1 authenticate anchors")?,
            lookup: hasher(b"bascule 1 look up access key ids")?,
            file_names: hasher(b"bascule 1 name files")?,
        })
    }

    /// Keyed hash of an access key id.
    pub(crate) fn lookup(&self, access_key_id: &str) -> [u8; 32] {
        digest(&self.lookup, access_key_id.as_bytes())
    }

    /// A file name's part that stands for a name without revealing it.
    pub(crate) fn file_name(&self, name: &str) -> [u8; 32] {
        digest(&self.file_names, name.as_bytes())
    }
}

fn digest(key: &hmac::Key, bytes: &[u8]) -> [u8; 32] {
    let digest = digest_on_stack(key, bytes);
    wipe_stack();
    digest
}

/// The library moves its state, with the bytes in it, and wipes only the last place.
#[inline(never)]
fn digest_on_stack(key: &hmac::Key, bytes: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(key, bytes);
    let mut digest = [0; 32];
    digest.copy_from_slice(tag.as_ref());
    digest
}

/// Overwrites what calls that have returned left on this thread's stack.
#[inline(never)]
fn wipe_stack() {
    let mut left = [0_u8; 8 << 10];
    std::hint::black_box(&mut left);
}

fn check(store_id: &StoreId, key: &[u8; KEY_LEN]) -> Result<hmac::Tag, StoreError> {
    let key = derive(store_id, key, b"bascule 1 check the root key")?;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*key));
    context.update(MAGIC);
    context.update(store_id);
    Ok(context.sign())
}

fn derive(
    store_id: &StoreId,
    key: &[u8; KEY_LEN],
    label: &[u8],
) -> Result<Zeroizing<[u8; KEY_LEN]>, StoreError> {
    let mut derived = Zeroizing::new([0; KEY_LEN]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, store_id)
        .extract(key)
        .expand(&[label], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *derived))
        .map_err(|_| StoreError::Cryptography)?;
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_key_reads_back_and_differs_from_any_other() {
        let file = RootKey::generate().unwrap();
        let key = RootKey::parse(&file).unwrap();
        // As whoever has no store reads it.
        let store = bascule_domain::root_key::store_of(&file);
        assert_eq!(store, Some(&key.store_id));
        assert_eq!(
            key.lookup("BSCEXAMPLE"),
            RootKey::parse(&file).unwrap().lookup("BSCEXAMPLE")
        );
        let other = RootKey::parse(&RootKey::generate().unwrap()).unwrap();
        assert_ne!(key.store_id, other.store_id);
        assert_ne!(key.lookup("BSCEXAMPLE"), other.lookup("BSCEXAMPLE"));
        assert_ne!(key.lookup("BSCEXAMPLE"), key.file_name("BSCEXAMPLE"));
    }

    #[test]
    fn d7_cut_zeroed_and_altered_files_are_no_root_key() {
        let file = RootKey::generate().unwrap();
        for len in 0..file.len() {
            assert_eq!(
                RootKey::parse(&file[..len]).unwrap_err(),
                NoRootKey::Damaged("its length is wrong")
            );
        }
        assert_eq!(
            RootKey::parse(&[0; FILE_LEN]).unwrap_err(),
            NoRootKey::Damaged("it does not begin as a root key does")
        );
        for at in 0..file.len() {
            let mut altered = file.to_vec();
            altered[at] ^= 1;
            assert!(RootKey::parse(&altered).is_err(), "byte {at}");
        }
    }
}
