//! What a rotation makes of keys: the successor, the old key beside it, and whole changes of several
//! keys. It knows nothing of time.

use jiff::Timestamp;

use super::{Ending, Rotation, Terms};
use crate::{
    access_key::AccessKeyId,
    audit::Caller,
    ids::KeyId,
    key::{Key, KeyKind, KeyState},
    moment::Moment,
    tombstone::CauseOfDeath,
};

/// Why a key can't be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRotatable {
    /// It has a successor already.
    #[error("the key is retiring already")]
    Retiring,
    /// A successor would be born expired.
    #[error("the key has expired, and its successor would inherit that")]
    Expired,
    /// Making it work again beside its successor is not what a pause is for.
    #[error("the key is paused")]
    Paused,
    /// The provider made it.
    #[error("the key was minted by the provider")]
    Minted,
}

/// The key that takes another one's place: it inherits every restriction, the label, and a pause.
/// Two keys may share a label only this way; state and access key id tell them apart.
pub fn succeed(
    old: &Key,
    id: KeyId,
    access_key_id: AccessKeyId,
    now: Timestamp,
) -> Result<Key, NotRotatable> {
    if old.successor.is_some() || old.state == KeyState::Retiring {
        return Err(NotRotatable::Retiring);
    }
    if old.kind != KeyKind::Gateway {
        return Err(NotRotatable::Minted);
    }
    if old.expires_at.is_some_and(|end| now >= end) {
        return Err(NotRotatable::Expired);
    }
    Ok(Key {
        id,
        access_key_id,
        generation: 1,
        predecessor: Some(old.id),
        successor: None,
        issued_at: now,
        ..old.clone()
    })
}

/// The old key beside its successor. Its rights stay as they are and so does its generation: what
/// it has open goes on.
pub fn retire(old: &Key, successor: KeyId) -> Result<Key, NotRotatable> {
    match old.state {
        KeyState::Active => Ok(Key {
            state: KeyState::Retiring,
            successor: Some(successor),
            ..old.clone()
        }),
        KeyState::Paused => Err(NotRotatable::Paused),
        KeyState::Retiring => Err(NotRotatable::Retiring),
    }
}

/// The old key after its rotation was called off. A pause stays.
#[must_use]
pub fn restore(old: &Key) -> Key {
    Key {
        state: match old.state {
            KeyState::Retiring => KeyState::Active,
            state => state,
        },
        successor: None,
        ..old.clone()
    }
}

/// Why whoever holds an old key can't simply be given the one that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotInherited {
    /// Somebody wants it to be refused.
    #[error("it is paused")]
    Paused,
    /// It stopped working by itself.
    #[error("it has expired")]
    Expired,
    /// The tool would get more than it had, or less.
    #[error("it may not do what the old key might: their rights were changed since")]
    Rights,
}

/// Whether the key that took an old one's place may be given to whoever holds that. `old` is `None` once
/// it is dead; `changed` says whether rights of one of them were changed since the rotation began.
pub fn inherits(
    old: Option<&Key>,
    heir: &Key,
    changed: bool,
    now: Timestamp,
) -> Result<(), NotInherited> {
    if heir.state == KeyState::Paused {
        return Err(NotInherited::Paused);
    }
    if heir.expires_at.is_some_and(|end| now >= end) {
        return Err(NotInherited::Expired);
    }
    let rights = |key: &Key| (key.permission, key.scope.clone(), key.expires_at);
    let differ = old.map_or(changed, |old| rights(old) != rights(heir));
    match differ {
        true => Err(NotInherited::Rights),
        false => Ok(()),
    }
}

/// A change of several keys that is made as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// A new key.
    pub add: Option<Key>,
    /// Living keys whose records change.
    pub update: Vec<Key>,
    /// A key that dies, and why.
    pub bury: Option<(Key, CauseOfDeath)>,
    /// Rotations as they are from now on.
    pub rotations: Vec<Rotation>,
    /// Rotations that are over, by their old keys.
    pub over: Vec<KeyId>,
}

/// Both keys work from here on.
pub fn begin(
    old: &Key,
    successor: Key,
    terms: Terms,
    by: Caller,
    now: Moment,
) -> Result<KeyChange, NotRotatable> {
    Ok(KeyChange {
        update: vec![retire(old, successor.id)?],
        rotations: vec![Rotation::begin(old, successor.id, terms, by, now)],
        add: Some(successor),
        ..KeyChange::default()
    })
}

/// The key dies before its successor works. Whatever retires in favour of the dead key does so in
/// favour of the new one. `others` are the connection's rotations, each with its old key.
#[must_use]
pub fn replace<'a>(
    key: &Key,
    successor: Key,
    others: impl IntoIterator<Item = (&'a Rotation, &'a Key)>,
) -> KeyChange {
    let mut change = KeyChange {
        bury: Some((
            key.clone(),
            CauseOfDeath::Rotated {
                successor: successor.id,
                ending: Ending::AtOnce,
            },
        )),
        ..KeyChange::default()
    };
    for (rotation, old) in others {
        if rotation.successor == key.id {
            change.update.push(Key {
                successor: Some(successor.id),
                ..old.clone()
            });
            change.rotations.push(Rotation {
                successor: successor.id,
                ..rotation.clone()
            });
        }
    }
    change.add = Some(successor);
    change
}

/// The key dies. If it was to take another one's place, that one lives on as it was; if it retired,
/// its rotation is over. `others` are the connection's rotations, each with its old key.
#[must_use]
pub fn bury<'a>(
    key: &Key,
    cause: CauseOfDeath,
    others: impl IntoIterator<Item = (&'a Rotation, &'a Key)>,
) -> KeyChange {
    let mut change = KeyChange {
        bury: Some((key.clone(), cause)),
        ..KeyChange::default()
    };
    for (rotation, old) in others {
        if rotation.successor == key.id {
            change.update.push(restore(old));
        }
        if rotation.successor == key.id || rotation.old == key.id {
            change.over.push(rotation.old);
        }
    }
    change
}
