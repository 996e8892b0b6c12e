//! Which refusals somebody should look at, and as what (gateway.md 54): a key that is dead, paused,
//! expired, used from elsewhere, or used for more than it may. Only keys that are or were ours:
//! strangers must not be able to make findings up.

use std::net::IpAddr;

use bascule_domain::{
    ids::KeyId,
    names::{ConnectionName, Label},
};
use http::HeaderValue;

use crate::{
    account::Account,
    ports::{Ends, Knock},
    respond::Refusal,
    serve::Gateway,
};

/// Notes a refusal, and gives the id under which it can be looked up.
pub(crate) fn knock(
    gateway: &Gateway,
    refusal: &Refusal,
    account: &Account<'_>,
    peer: IpAddr,
    ends: Option<&Ends>,
) -> Option<String> {
    let message = match refusal {
        Refusal::Revoked(_)
        | Refusal::ConnectionPaused(..)
        | Refusal::Denied { .. }
        | Refusal::NotAllowed(_) => refusal.message(),
        _ => return None,
    };
    let note = |key: KeyId, masked: &str, label: &Label, connection: &ConnectionName| {
        gateway.findings.knock(&Knock {
            key,
            masked,
            label,
            connection,
            reason: refusal.reason(),
            message: &message,
            operation: account.action,
            peer,
            ends,
            user_agent: account.agent().map_or(b"", HeaderValue::as_bytes),
            at: gateway.clock.now(),
        })
    };
    if let Refusal::Revoked(Some(dead)) = refusal {
        return Some(note(
            dead.key,
            &dead.masked,
            &dead.label,
            &dead.connection_name,
        ));
    }
    let key = account.key()?;
    let living = key.living()?;
    Some(note(
        key.id(),
        &key.access_key_id().masked(),
        &living.key.label,
        &key.connection().name(),
    ))
}
