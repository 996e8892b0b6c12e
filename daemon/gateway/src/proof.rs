//! Whether a provider honours `If-None-Match: *`, proven without any risk to what it holds: a write
//! of an object that exists is announced, with a body that is never sent. A refusal before the body
//! is the proof; anything else leaves it unproven, and the broken request can change nothing. It
//! must never send a byte of that body.

use std::{sync::Arc, time::Duration};

use bascule_domain::names::{BucketName, ObjectKey};
use bascule_sigv4::Payload;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{
    cells::{self, KeyCell},
    route::{Outgoing, Route},
    serve::Gateway,
    upstream::UpstreamBody,
};

/// A provider that would refuse does so at once; one that waits for the body waits for ever.
const LIMIT: Duration = Duration::from_secs(10);
/// The hash of no body that anybody could send.
const NO_HASH: Payload = Payload::Literal([0; 32]);

/// What a provider's answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It honours conditions.
    Honoured,
    /// It did not show it.
    Unproven,
    /// It did not come to an answer.
    Nothing,
}

/// Lets the provider prove it, apart from any request, if it is not known and nobody is at it. The
/// object must exist. Like a request, it counts as open, and ends with the key.
pub(crate) fn begin(
    gateway: &Arc<Gateway>,
    key: &Arc<KeyCell>,
    route: &Arc<Route>,
    bucket: &BucketName,
    object: &ObjectKey,
) {
    let Some(living) = key.living() else { return };
    let Ok(ticket) = cells::enter(key.connection()) else {
        return;
    };
    if !route.begin_proof() {
        return;
    }
    let attempt = Attempt {
        route: Arc::clone(route),
        shown: Shown::Nothing,
    };
    let now = gateway.clock.now();
    let (bucket, object) = (bucket.clone(), object.clone());
    gateway.tasks.spawn(async move {
        let mut attempt = attempt;
        let asking = async {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
            headers.insert(header::CONTENT_LENGTH, 1.into());
            let request = Outgoing {
                method: Method::PUT,
                bucket: &bucket,
                object: Some(&object),
                query: &[],
                headers,
                payload: NO_HASH,
                body: UpstreamBody::withheld(),
            }
            .sign(&attempt.route, now)
            .ok()?;
            let sending = ticket.connection().upstream().send(request);
            match tokio::time::timeout(LIMIT, sending).await {
                Ok(Ok(response)) => Some(shown(response.status())),
                Ok(Err(_)) => None,
                Err(_) => Some(Shown::Unproven),
            }
        };
        let shown = tokio::select! {
            shown = asking => shown,
            () = living.token.cancelled() => None,
        };
        attempt.shown = shown.unwrap_or(Shown::Nothing);
        if attempt.shown != Shown::Nothing {
            tracing::info!(
                connection = %ticket.connection().id(),
                honoured = attempt.shown == Shown::Honoured,
                "whether the provider refuses to overwrite when asked to"
            );
        }
    });
}

fn shown(status: StatusCode) -> Shown {
    match status {
        StatusCode::PRECONDITION_FAILED => Shown::Honoured,
        StatusCode::NOT_IMPLEMENTED => Shown::Unproven,
        StatusCode::TOO_MANY_REQUESTS => Shown::Nothing,
        status if status.is_server_error() => Shown::Nothing,
        _ => Shown::Unproven,
    }
}

/// Tells the route what came of it, even if it is dropped half way.
struct Attempt {
    route: Arc<Route>,
    shown: Shown,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.route.end_proof(self.shown);
    }
}
