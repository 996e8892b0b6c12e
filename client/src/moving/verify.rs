//! Whether a consumer works after it was moved: what its tool would read now is looked at as any other
//! look does, and the key is tried with one listing.

use std::{collections::BTreeSet, sync::Arc};

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::Endpoint,
    names::BucketName,
    secret::{Credentials, SecretKey},
};
use bascule_watch::{
    Standing,
    adopt::{Access, Consumer, consumers},
    scan::Scope,
};

use super::{Seen, pictured};
use crate::{clock, verbs::look};

/// Why a consumer would not work. For people.
pub(crate) struct NotWorking(pub(crate) String);

/// A consumer that still has its key and would take it to another server than before the move.
fn sent_elsewhere<'s>(
    before: &'s [Consumer],
    after: &[Consumer],
    moved: &Consumer,
) -> Option<&'s Consumer> {
    let servers = |of: &Consumer| -> BTreeSet<String> {
        let named = of.all_taken();
        let named = named.filter_map(|found| found.key.endpoint.as_ref());
        named.map(ToString::to_string).collect()
    };
    let mut others = before
        .iter()
        .filter(|other| !other.stands_exactly_where(moved));
    others.find(|other| {
        let mut now = after.iter();
        let now = now.find(|now| now.id() == other.id() && now.stands_exactly_where(other));
        now.is_some_and(|now| servers(now) != servers(other))
    })
}

/// What was looked at after a move.
pub(crate) async fn check(
    seen: &Seen,
    moved: &Consumer,
    access: &Access,
    buckets: &[BucketName],
) -> Result<(), NotWorking> {
    let (machine, files) = (seen.machine.clone(), seen.files.clone());
    let picture = look(move || {
        // What runs has its old key still; that is told apart.
        let scope = Scope {
            processes: false,
            ..Scope::OWN
        };
        pictured(&machine, scope, &files)
    })
    .await
    .map_err(|error| NotWorking(error.message))?;
    let all = consumers(&picture, seen.home.as_deref());
    // Others may hold the same key, each in its own way.
    let mut found: Vec<_> = all
        .iter()
        .filter(|found| found.id().as_str() == access.id && found.stands_where(moved))
        .collect();
    if found.iter().any(|found| found.is_led_to_like(moved)) {
        found.retain(|found| found.is_led_to_like(moved));
    }
    // A line that was added before it, beside its key, moves it.
    if found.iter().any(|found| found.stands_exactly_where(moved)) {
        found.retain(|found| found.stands_exactly_where(moved));
    }
    if let Some(other) = sent_elsewhere(&seen.consumers, &all, moved) {
        return Err(NotWorking(format!(
            "{} would be sent elsewhere with its own key, since both take the server from one place: give each a place of its own",
            other.name
        )));
    }
    let consumer = &moved.name;
    let first = found.first().ok_or_else(|| {
        NotWorking(format!(
            "after the change {consumer} would not take the new key"
        ))
    })?;
    // What takes another key instead sends this one nowhere. The entry by itself may have had no server
    // before it was moved, and has none when it is back.
    let is_ours = AccessKeyId::looks_issued(&access.id);
    let uses = || {
        let by_hand = found.iter().flat_map(|found| &found.by_hand);
        let by_hand = by_hand.filter(|found| is_ours || found.key.endpoint.is_some());
        found.iter().flat_map(|found| found.taken()).chain(by_hand)
    };
    match &first.first().standing {
        Standing::Effective => {}
        Standing::Shadowed { by } => {
            return Err(NotWorking(format!(
                "{consumer} takes another key: {by} stands before it"
            )));
        }
        Standing::Unused { why } => {
            return Err(NotWorking(format!(
                "{consumer} would not take the new key: {why}"
            )));
        }
        Standing::Unknown => {}
    }
    let elsewhere = uses().find(|found| {
        let endpoint = found.key.endpoint.as_ref();
        endpoint.is_some_and(|endpoint| {
            *endpoint != access.endpoint && !(is_amazons(endpoint) && is_amazons(&access.endpoint))
        }) || endpoint.is_none() && !is_amazons(&access.endpoint)
    });
    if let Some(found) = elsewhere {
        let place = found.key.endpoint_place.as_ref();
        let set = place.map_or_else(String::new, |place| format!(" ({place})"));
        let to = found.key.endpoint.as_ref();
        let to = to.map_or_else(|| "no server that is set".to_owned(), ToString::to_string);
        return Err(NotWorking(format!(
            "{consumer} would send the new key to {to}{set}, not to {}",
            access.endpoint
        )));
    }
    if uses().any(|found| {
        found
            .key
            .secret
            .as_ref()
            .is_none_or(|secret| secret.expose() != access.secret.as_str())
    }) {
        return Err(NotWorking(format!(
            "{consumer} would take another secret than the new one"
        )));
    }
    listing(access, buckets).await
}

fn is_amazons(endpoint: &Endpoint) -> bool {
    endpoint.host().ends_with(".amazonaws.com")
}

/// One listing with the key.
async fn listing(access: &Access, buckets: &[BucketName]) -> Result<(), NotWorking> {
    let refused = |why: String| NotWorking(format!("a listing with the new key failed: {why}"));
    let id = access
        .id
        .parse()
        .map_err(|error| refused(format!("{error}")))?;
    let secret = SecretKey::parse(&access.secret).map_err(|error| refused(error.to_string()))?;
    let server = Server::of(Some(&access.endpoint), None, &id)
        .ok_or_else(|| refused("its server is not one".into()))?;
    let credentials = Credentials {
        access_key_id: id,
        secret,
    };
    let checker = Checker::new(Arc::new(clock::now));
    match checker.check(&server, &credentials, buckets.first()).await {
        Health::Alive { lacks: None } | Health::Denied => Ok(()),
        Health::Alive {
            lacks: Some(bucket),
        } => Err(refused(format!(
            "the server has no bucket {}",
            bucket.as_str()
        ))),
        Health::Dead => Err(refused("the server does not know the key".into())),
        Health::WrongSecret => Err(refused(
            "the server knows the key with another secret".into(),
        )),
        Health::Unreachable(_) => Err(refused(format!("{} could not be reached", access.endpoint))),
        Health::Unknown(why) => Err(refused(why)),
    }
}
