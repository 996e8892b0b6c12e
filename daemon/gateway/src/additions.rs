//! Writes of keys that may add but not overwrite. The provider is asked to refuse what exists
//! (`If-None-Match: *`). Where it is not proven that it does, and for what the proof does not
//! cover, the gateway looks itself, and admits one such writer of an object at a time. It must
//! never let such a write through without having established that the object does not exist, or
//! that the provider will.

use std::sync::Arc;

use bascule_domain::{
    access::{Denial, Permit},
    operation::Action,
};
use bascule_sigv4::Payload;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::timeout;

use crate::{
    answer::{Sent, heed},
    cells::KeyCell,
    exchange::InFlight,
    forward::place,
    learn::{self, Asked},
    proof,
    respond::{Holder, Refusal},
    route::{Outgoing, Route, Trouble},
    serve::Gateway,
    upstream::{UpstreamBody, UpstreamErrorKind},
    writers::Writer,
};

/// A write that must not overwrite. While it is held, no other one of the object is admitted.
pub(crate) struct Addition {
    /// The client asked for it too: then the provider's refusal is its answer.
    asked: bool,
    /// The client made further conditions, one of which may be what failed.
    conditional: bool,
    _writer: Writer,
}

/// These replace, or extend, what exists.
const REPLACING: [&str; 2] = ["if-match", "x-amz-write-offset-bytes"];
const FURTHER: [header::HeaderName; 2] = [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE];

/// Refuses headers that only make sense for an object that exists.
pub(crate) fn refuse_replacing(permit: &Permit, headers: &HeaderMap) -> Result<(), Refusal> {
    if permit.adds_only() && REPLACING.iter().any(|&name| headers.contains_key(name)) {
        return Err(Refusal::denied(Denial::Permission));
    }
    Ok(())
}

/// Admits a write that must not overwrite, before its body is asked for. `None` if the permit
/// sets no such bound.
pub(crate) async fn admit(
    gateway: &Arc<Gateway>,
    key: &Arc<KeyCell>,
    permit: &Permit,
    route: &Arc<Route>,
    headers: &HeaderMap,
) -> Result<Option<Addition>, Refusal> {
    if !permit.adds_only() {
        return Ok(None);
    }
    let operation = permit.operation();
    let (bucket, Some(object)) = place(operation)? else {
        return Err(Refusal::denied(Denial::Permission));
    };
    let writer = gateway
        .writers
        .admit(&route.access.authority, bucket, object)
        .ok_or(Refusal::ObjectBusy)?;
    let asked = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v == "*");
    if route.must_look(operation.action) && exists(gateway, key, permit, route).await? {
        proof::begin(gateway, key, route, bucket, object);
        return Err(if asked {
            Refusal::ObjectExists
        } else {
            overwrite(key)
        });
    }
    Ok(Some(Addition {
        asked,
        conditional: FURTHER.iter().any(|name| headers.contains_key(name)),
        _writer: writer,
    }))
}

fn overwrite(key: &KeyCell) -> Refusal {
    let refusal = Refusal::denied(Denial::Overwrite);
    match key.living() {
        Some(living) => refusal.held_by(|| Holder {
            connection: key.connection().name(),
            label: living.key.label.clone(),
        }),
        None => refusal,
    }
}

/// Asks the provider to refuse what exists, whatever the client asked for: no other value of the
/// header is stricter.
pub(crate) fn condition(exchange: &InFlight, route: &Route, headers: &mut HeaderMap) -> bool {
    if exchange.addition().is_none() {
        return false;
    }
    let sends = route.takes_condition(exchange.action());
    headers.remove(header::IF_NONE_MATCH);
    if sends {
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    sends
}

/// What the provider's answer to such a write means, before it is passed on.
pub(crate) fn heard(
    gateway: &Arc<Gateway>,
    exchange: &InFlight,
    route: &Arc<Route>,
    sent: &Sent,
    status: StatusCode,
) -> Result<(), Refusal> {
    let Some(addition) = exchange.addition() else {
        return Ok(());
    };
    let put = exchange.action() == Action::PutObject;
    if status == StatusCode::PRECONDITION_FAILED && sent.with_condition {
        if put && !addition.conditional {
            route.proven();
        }
        if !addition.asked {
            return Err(overwrite(exchange.key()));
        }
    }
    if status.is_success()
        && put
        && let (bucket, Some(object)) = place(exchange.permit().operation())?
    {
        proof::begin(gateway, exchange.key(), route, bucket, object);
    }
    Ok(())
}

/// Whether the object exists. What the provider does not tell is no permission.
async fn exists(
    gateway: &Gateway,
    key: &Arc<KeyCell>,
    permit: &Permit,
    route: &Route,
) -> Result<bool, Refusal> {
    let (bucket, object) = place(permit.operation())?;
    let connection = key.connection();
    let unknown = || Refusal::ExistenceUnknown(connection.name());
    let mut once_more = true;
    loop {
        if !key.honours(permit) {
            return Err(Refusal::Withdrawn);
        }
        let now = gateway.clock.now();
        let learned = route.region(bucket);
        let request = Outgoing {
            method: Method::HEAD,
            bucket,
            object,
            query: &[],
            headers: HeaderMap::new(),
            payload: Payload::EMPTY,
            body: UpstreamBody::empty(),
        }
        .sign(route, now)?;
        let sending = connection.upstream().send(request);
        let response = timeout(gateway.settings.answer_limit, sending)
            .await
            .map_err(|_| Refusal::Upstream(UpstreamErrorKind::Timeout))?
            .map_err(|error| Refusal::Upstream(error.kind))?;
        match response.status() {
            status if status.is_success() => return Ok(true),
            StatusCode::NOT_FOUND => return Ok(false),
            _ => {}
        }
        let asked = Asked {
            headless: true,
            with_trailers: false,
            with_condition: false,
            region: learned.as_deref().unwrap_or(&route.access.region),
            now,
            credentials_refused: route.trouble() == Some(Trouble::Credentials),
        };
        let lesson =
            learn::read(response.status(), response.headers(), &[], &asked).ok_or_else(unknown)?;
        let again = heed(connection, route, bucket, now, lesson)?;
        if !std::mem::take(&mut once_more) {
            return Err(again);
        }
    }
}
