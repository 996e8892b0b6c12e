//! One request, from its head to its answer. Each step needs what the one before it made: a
//! proof, a classified operation, a permit. It must never touch the body before the permit.

use std::{net::IpAddr, sync::Arc};

use bascule_domain::{
    access::{self, Denial, Permit},
    key::Key,
    names::ObjectKey,
    operation::{Action, Operation, Target},
};
use bascule_sigv4::{Head, Payload, Presented};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request::Parts};
use http_body::Body;
use hyper::body::Incoming;

use crate::{
    account::Account,
    additions,
    admission::Ticket,
    bulk,
    cells::{self, Closed, ConnectionCell, KeyCell, Living},
    classify::{self, Asked, Place},
    exchange::{Bounds, InFlight, Slot},
    forward,
    framing::Violation,
    headers,
    hosts::Named,
    knock::knock,
    load::{self, Collected, Freight, Parcel},
    proxies,
    reply::ReplyBody,
    respond::{AskedBy, Holder, Refusal},
    route::Route,
    serve::Gateway,
    uploads,
    visit::Visits,
};

/// Who asks, as far as the connection tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// The socket's peer, or the client that a trusted proxy names (gateway.md 52).
    pub(crate) peer: IpAddr,
    pub(crate) tls: bool,
}

/// Answers what stands in the place of an unsound request.
pub(crate) fn refuse_unsound(
    gateway: &Gateway,
    request: &Request<Incoming>,
    client: Client,
    visits: &Visits,
    violation: Violation,
) -> Response<ReplyBody> {
    let asked = AskedBy::of(request.method(), None);
    let refusal = Refusal::Framing(violation);
    let answer = refusal.respond(asked, true, &gateway.tail(), None);
    let mut account = Account::open(gateway, visits, request.method(), "", None, client.peer);
    account.refused(&refusal);
    account.answered(answer.status());
    answer
}

/// Answers one request.
pub(crate) async fn handle(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
    client: Client,
    slot: &Arc<Slot>,
    visits: &Visits,
) -> Response<ReplyBody> {
    let asked = AskedBy::of(request.method(), request.uri().query());
    let unread = !request.body().is_end_stream();
    // Chunks are not framed by us but by hyper, which is lenient: no further request is read from
    // such a connection (RFC 9112, 6.1; threats.md A17). `framing` counts on it.
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let agent = request.headers().get(header::USER_AGENT).cloned();
    let origin = proxies::origin(
        &gateway.settings.trusted_proxies,
        client.peer,
        request.headers(),
    );
    let trusted = &gateway.settings.trusted_proxies;
    let relayed = proxies::relayed(trusted, client.peer, request.headers());
    let peer = origin.unwrap_or(client.peer);
    let client = Client { peer, ..client };
    let mut account = Account::open(
        gateway,
        visits,
        request.method(),
        request.uri().path(),
        agent,
        peer,
    );
    let (parts, incoming) = request.into_parts();
    let admitted = match origin {
        Ok(_) => admit(gateway, parts, client, &mut account),
        Err(_) => Err(Refusal::InvalidRequest(
            "what the proxy says of its client cannot be read",
        )),
    };
    let answered = match admitted {
        Ok(Admitted::Answer(answer)) => Ok(*answer),
        Ok(Admitted::Forward(errand)) => run(gateway, errand, incoming, slot, &account).await,
        Err(refusal) => Err(refusal),
    };
    let mut answer = answered.unwrap_or_else(|refusal| {
        account.refused(&refusal);
        let key = account.key().map(|key| key.id());
        gateway.failures.note(&refusal, key, peer);
        let ends = visits.ends().filter(|_| !relayed);
        let finding = knock(gateway, &refusal, &account, peer, ends);
        refusal.respond(asked, unread, &gateway.tail(), finding.as_deref())
    });
    account.answered(answer.status());
    if chunked {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

/// A permitted request, before anything of its body was read.
struct Errand {
    ticket: Ticket,
    key: Arc<KeyCell>,
    living: Arc<Living>,
    permit: Permit,
    parcel: Box<Parcel>,
    route: Arc<Route>,
}

/// What becomes of a request that is not refused.
enum Admitted {
    /// It is answered here.
    Answer(Box<Response<ReplyBody>>),
    Forward(Box<Errand>),
}

fn holder(key: &KeyCell, living: &Living) -> Holder {
    Holder {
        connection: key.connection().name(),
        label: living.key.label.clone(),
    }
}

/// Decides about a request by its head alone.
fn admit(
    gateway: &Gateway,
    mut parts: Parts,
    client: Client,
    account: &mut Account<'_>,
) -> Result<Admitted, Refusal> {
    let host = host(&parts.headers)?;
    let named = gateway
        .hosts
        .read(host)
        .ok_or_else(|| Refusal::ForeignHost(host.into()))?;
    refuse_browsers(&parts)?;
    if parts.uri.authority().is_some() {
        return Err(Refusal::InvalidUri("the request target must be a path"));
    }
    let now = gateway.clock.now();
    let head = Head {
        method: &parts.method,
        target: parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str()),
        headers: &parts.headers,
    };
    let presented = Presented::parse(&head).map_err(Refusal::Signature)?;
    let id = presented.access_key_id();
    let dead = || gateway.dead_keys.find(id).map(Box::new);
    let Some(key) = gateway.keyring.key(id) else {
        return Err(dead().map_or(Refusal::UnknownKey, |tombstone| {
            Refusal::Revoked(Some(tombstone))
        }));
    };
    account.names(Arc::clone(&key));
    let proof = presented
        .verify_with(key.signing_keys(), &head, key.id(), key.secret(), now)
        .map_err(Refusal::Signature)?;
    key.used_at(now);
    account.proven(now);
    let connection = key.connection();
    let ticket = cells::enter(connection).map_err(|closed| match closed {
        Closed::Dead => Refusal::Revoked(dead()),
        Closed::Paused(by) => Refusal::ConnectionPaused(connection.name(), by),
        Closed::Busy { limit } => Refusal::ConnectionBusy {
            connection: connection.name(),
            limit,
        },
    })?;
    let living = key.living().ok_or_else(|| Refusal::Revoked(dead()))?;
    let holder = || holder(&key, &living);
    let place = place(named, proof.target.decoded_path()).map_err(|r| r.held_by(holder))?;
    for (name, value) in proof.hoisted {
        parts.headers.insert(name, value);
    }
    let classified = classify::classify(&Asked {
        method: &parts.method,
        place,
        query: proof.target.query(),
        headers: &parts.headers,
    })
    .map_err(|refusal| refusal.held_by(holder))?;
    account.action = Some(classified.operation.action);
    refuse_dot_segments(&living.key, &classified.operation)
        .and_then(|()| refuse_foreign_markers(&living.key, &classified.query))
        .map_err(|refusal| refusal.held_by(holder))?;
    let permit = access::decide(
        proof.verified,
        &living.key,
        connection.buckets(),
        classified.operation,
        client.peer,
        now,
    )
    .map_err(|denial| Refusal::denied(denial).held_by(holder))?;

    refuse_totals(&permit, &classified.query)
        .and_then(|()| additions::refuse_replacing(&permit, &parts.headers))
        .map_err(|refusal| refusal.held_by(holder))?;
    let action = permit.operation().action;
    match action {
        Action::ListBuckets => {
            let answer = list_buckets(connection, &living.key, proof.target.query())?;
            return Ok(Admitted::Answer(Box::new(answer)));
        }
        Action::CreateBucket => return Err(Refusal::BucketIsYours),
        Action::Preflight => return Err(Refusal::Preflight),
        _ => {}
    }
    let mut parcel = Box::new(Parcel {
        tls: client.tls,
        method: parts.method,
        query: classified.query,
        headers: parts.headers,
        rebuilt: None,
        payload: proof.payload,
        seed: proof.chunks,
    });
    uploads::refuse_foreign(&gateway.keyring, connection, &permit, &parcel.query)?;
    let route = connection.route();
    // Refuses what cannot be rebuilt before the client is told to go on with its body.
    parcel.rebuilt = Some(headers::rebuild(action, &parcel.headers)?);
    if load::has_body(action) {
        refuse_absent_body(&parcel)?;
    }
    Ok(Admitted::Forward(Box::new(Errand {
        ticket,
        living,
        permit,
        parcel,
        route,
        key,
    })))
}

/// Carries out what was permitted. What is rare in it lies elsewhere, so that a request is not moved
/// about with the room for it.
async fn run(
    gateway: &Arc<Gateway>,
    mut errand: Box<Errand>,
    incoming: Incoming,
    slot: &Arc<Slot>,
    account: &Account<'_>,
) -> Result<Response<ReplyBody>, Refusal> {
    let token = errand.living.ending().clone();
    let tied = slot.tie(&token);
    let addition = if errand.permit.adds_only() {
        Box::pin(additions::admit(
            gateway,
            &errand.key,
            &errand.permit,
            &errand.route,
            &errand.parcel.headers,
        ))
        .await?
    } else {
        None
    };
    let action = errand.permit.operation().action;
    let idle = gateway.settings.idle_limit;
    let takes_trailers = errand.route.takes_trailers();
    let mut objects = Vec::new();
    let freight = if !load::has_body(action) {
        Freight::None
    } else if action == Action::DeleteObjects {
        let collecting = load::collect(incoming, &mut errand.parcel, bulk::LONGEST, idle);
        let collected = Box::pin(collecting).await?;
        objects = named_objects(&errand, &collected)?;
        Freight::Whole(collected)
    } else if let Some(length) = load::whole(action, &errand.parcel, takes_trailers) {
        let collecting = load::collect(incoming, &mut errand.parcel, length, idle);
        Freight::Whole(Box::pin(collecting).await?)
    } else {
        Freight::Stream(incoming)
    };
    let Errand {
        ticket,
        living,
        key,
        permit,
        parcel,
        route,
    } = *errand;
    let exchange = InFlight::begin(
        ticket,
        key,
        permit,
        Bounds {
            token,
            end: living.end.clone(),
            addition,
        },
        objects,
        Arc::clone(&gateway.usage),
        account.told(),
    );
    if let Freight::Whole(collected) = &freight {
        exchange.received(collected.bytes.len());
        let lane = exchange.throttle().inbound();
        lane.charge(collected.bytes.len());
    }
    forward::forward(gateway, exchange, tied, parcel, freight, route).await
}

/// What the body of a `DeleteObjects` names, each within the permit.
fn named_objects(errand: &Errand, body: &Collected) -> Result<Vec<ObjectKey>, Refusal> {
    let objects = bulk::keys(&body.bytes).map_err(|_| {
        Refusal::MalformedXml("the body is not the plain form of DeleteObjects, with 1 to 1000 objects and no comments, CDATA or entities of its own")
    })?;
    let climbs_out = |object: &ObjectKey| climbs(object.as_str()) && limited(&errand.living.key);
    for object in &objects {
        let covered = errand.permit.covers(object).and_then(|()| {
            if climbs_out(object) {
                Err(Denial::Prefix)
            } else {
                Ok(())
            }
        });
        covered.map_err(|denial| {
            Refusal::denied(denial).held_by(|| holder(&errand.key, &errand.living))
        })?;
    }
    Ok(objects)
}

/// HTTP takes a request without any length for one without a body. Where a body was signed, the
/// length is what is missing (gateway.md 34).
fn refuse_absent_body(parcel: &Parcel) -> Result<(), Refusal> {
    let stated = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| parcel.headers.contains_key(name));
    match parcel.payload {
        Payload::EMPTY | Payload::Unsigned => Ok(()),
        _ if stated => Ok(()),
        _ => Err(Refusal::LengthMissing),
    }
}

/// Browsers are not this gateway's clients, and what they send first carries no signature.
fn refuse_browsers(parts: &Parts) -> Result<(), Refusal> {
    if parts.method == Method::OPTIONS {
        return Err(Refusal::Preflight);
    }
    // A signed request with a query is another operation on an object of that kind.
    let operation =
        parts.headers.contains_key(header::AUTHORIZATION) && parts.uri.query().is_some();
    let form = parts.method == Method::POST
        && !operation
        && parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes();
            kind.len() >= 19 && kind[..19].eq_ignore_ascii_case(b"multipart/form-data")
        });
    if form { Err(Refusal::PostForm) } else { Ok(()) }
}

fn host(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host
            .to_str()
            .map_err(|_| Refusal::InvalidRequest("the host header is malformed")),
        _ => Err(Refusal::InvalidRequest(
            "the request must have one host header",
        )),
    }
}

/// The bucket and object that the signed host and path name (gateway.md 51).
fn place(named: Named<'_>, path: &[u8]) -> Result<Place, Refusal> {
    let path = std::str::from_utf8(path)
        .map_err(|_| Refusal::InvalidUri("the object key is not UTF-8"))?;
    let path = path
        .strip_prefix('/')
        .ok_or(Refusal::InvalidUri("the path does not begin with a slash"))?;
    let (bucket, key) = match named {
        Named::Bucket(bucket) => (bucket, path),
        Named::Gateway if path.is_empty() => return Ok(Place::Service),
        Named::Gateway => path.split_once('/').unwrap_or((path, "")),
    };
    // Names no bucket can have are like buckets the key may not use.
    let bucket = bucket
        .parse()
        .map_err(|_| Refusal::denied(Denial::Bucket))?;
    if key.is_empty() {
        return Ok(Place::Bucket(bucket));
    }
    let key = key.parse().map_err(|_| Refusal::KeyTooLong)?;
    Ok(Place::Object(bucket, key))
}

const fn limited(key: &Key) -> bool {
    !key.scope.prefixes.is_empty()
}

fn climbs(name: &str) -> bool {
    name.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// A server that folds `a/../b` would take a key out of its prefixes (gateway.md 4).
fn refuse_dot_segments(key: &Key, operation: &Operation) -> Result<(), Refusal> {
    if !limited(key) {
        return Ok(());
    }
    let target = match &operation.target {
        Target::Service => false,
        Target::Bucket { prefix, .. } => climbs(prefix),
        Target::Object { key, .. } => climbs(key.as_str()),
    };
    if target
        || operation
            .source
            .as_ref()
            .is_some_and(|source| climbs(source.key.as_str()))
    {
        return Err(Refusal::denied(Denial::Prefix));
    }
    Ok(())
}

/// Where a listing begins, by name.
const MARKERS: [&str; 3] = ["marker", "start-after", "key-marker"];

/// The prefix bounds what a listing shows, wherever it begins. But what a server says about a
/// place outside, or does when it lies before or behind the prefix, is not the key's to learn
/// (threats.md B4).
fn refuse_foreign_markers(key: &Key, query: &[(String, String)]) -> Result<(), Refusal> {
    let inside = |marker: &str| {
        let prefixes = &key.scope.prefixes;
        !climbs(marker)
            && prefixes
                .iter()
                .any(|prefix| marker.starts_with(prefix.as_str()))
    };
    let begins_inside = |(name, value): &(String, String)| {
        !MARKERS.contains(&name.as_str()) || value.is_empty() || inside(value)
    };
    if limited(key) && !query.iter().all(begins_inside) {
        return Err(Refusal::denied(Denial::Prefix));
    }
    Ok(())
}

/// How much a bucket holds is for keys that may list all of it.
fn refuse_totals(permit: &Permit, query: &[(String, String)]) -> Result<(), Refusal> {
    let asked = query.iter().any(|(name, _)| name == "read-stats");
    if asked && !permit.sees_whole_bucket() {
        return Err(Refusal::denied(Denial::Permission));
    }
    Ok(())
}

/// Buckets in one answer.
const MOST_BUCKETS: usize = 10_000;

/// The connection's buckets that the key may use: the provider is not asked, and would tell more.
fn list_buckets(
    connection: &ConnectionCell,
    key: &Key,
    query: &[(String, String)],
) -> Result<Response<ReplyBody>, Refusal> {
    let parameter = |wanted: &str| {
        query
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let prefix = parameter("prefix").unwrap_or_default();
    let after = parameter("continuation-token").unwrap_or_default();
    let most = match parameter("max-buckets").map(str::parse) {
        None => MOST_BUCKETS,
        Some(Ok(most)) if (1..=MOST_BUCKETS).contains(&most) => most,
        Some(_) => return Err(Refusal::InvalidArgument("max-buckets must be 1 to 10000")),
    };
    let mut names: Vec<&str> = connection
        .buckets()
        .iter()
        .filter(|bucket| key.scope.buckets.is_empty() || key.scope.buckets.contains(bucket))
        .map(|bucket| bucket.as_str())
        .filter(|name| name.starts_with(prefix) && *name > after)
        .collect();
    names.sort_unstable();
    let more = names.len() > most;
    names.truncate(most);
    let mut document = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>bascule</ID><DisplayName>bascule</DisplayName></Owner><Buckets>",
    );
    // Bucket names hold nothing that XML would need escaped.
    for name in &names {
        document.push_str(&format!(
            "<Bucket><Name>{name}</Name><CreationDate>{:.0}</CreationDate></Bucket>",
            connection.created_at()
        ));
    }
    document.push_str("</Buckets>");
    if let Some(last) = names.last().filter(|_| more) {
        document.push_str(&format!("<ContinuationToken>{last}</ContinuationToken>"));
    }
    document.push_str("</ListAllMyBucketsResult>");
    let mut response = Response::new(ReplyBody::whole(Bytes::from(document)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    Ok(response)
}
