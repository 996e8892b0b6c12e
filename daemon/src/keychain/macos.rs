//! The Keychain of macOS: a generic password in the user's default keychain.

use bascule_store::KeychainError;
use security_framework::{
    base::Error,
    passwords::{delete_generic_password, get_generic_password, set_generic_password},
};
use zeroize::Zeroizing;

use super::LABEL;

const NOT_FOUND: i32 = -25300;
const INTERACTION_NOT_ALLOWED: i32 = -25308;
const AUTHENTICATION_FAILED: i32 = -25293;
const USER_CANCELLED: i32 = -128;
const NO_DEFAULT_KEYCHAIN: i32 = -25307;
const NO_SUCH_KEYCHAIN: i32 = -25294;

pub(super) fn ready() -> Result<(), KeychainError> {
    // No store has this name. A locked one asks once something is written.
    read("").map(drop)
}

pub(super) fn read(store: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeychainError> {
    match get_generic_password(LABEL, store) {
        Ok(content) => Ok(Some(Zeroizing::new(content))),
        Err(error) if error.code() == NOT_FOUND => Ok(None),
        Err(error) => Err(told(error)),
    }
}

pub(super) fn write(store: &str, content: &[u8]) -> Result<(), KeychainError> {
    set_generic_password(LABEL, store, content).map_err(told)
}

pub(super) fn remove(store: &str) -> Result<(), KeychainError> {
    match delete_generic_password(LABEL, store) {
        Err(error) if error.code() != NOT_FOUND => Err(told(error)),
        _ => Ok(()),
    }
}

fn told(error: Error) -> KeychainError {
    let words = error.to_string();
    match error.code() {
        INTERACTION_NOT_ALLOWED | AUTHENTICATION_FAILED | USER_CANCELLED => {
            KeychainError::Locked(words)
        }
        NO_DEFAULT_KEYCHAIN | NO_SUCH_KEYCHAIN => KeychainError::Unreachable(words),
        _ => KeychainError::Failed(words),
    }
}
