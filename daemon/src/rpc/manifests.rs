//! Streams manifests, and what verifying a receipt finds.

use std::{pin::Pin, sync::Arc};

use bascule_domain::{ids::DeletionId, receipt::Receipt, survey::Round};
use bascule_proto::v1::{self, verify_event::Event};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{connections, convert, status::status};
use crate::app::{
    App, ManifestPart, Told, VerifyWish,
    error::{Error, Kind, Result},
};

/// Pieces that wait for a slow reader.
const WAITING: usize = 8;

pub(super) type Parts = Pin<Box<dyn Stream<Item = Answered<v1::ManifestPart>> + Send>>;
pub(super) type Verified = Pin<Box<dyn Stream<Item = Answered<v1::VerifyEvent>> + Send>>;
type Answered<T> = std::result::Result<T, Status>;

/// The manifests of a deletion that waits for it.
pub(super) fn take(app: Arc<App>, id: DeletionId, following: bool) -> Parts {
    let (to, from) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        if let Err(error) = app.take_manifests(id, following, to.clone()).await {
            to.send(Err(error)).await.ok();
        }
    });
    Box::pin(ReceiverStream::new(from).map(|part| part.map(wire).map_err(status)))
}

/// What verifying a receipt finds.
pub(super) fn verify(app: Arc<App>, request: v1::VerifyRequest) -> Result<Verified> {
    let receipt: Receipt = serde_json::from_str(&request.receipt)
        .map_err(|error| Error::invalid("the receipt", error))?;
    let place = (request.place)
        .ok_or_else(|| Error::new(Kind::Invalid, "it is not said where the buckets are"))?;
    let wish = connections::wish(place)?;
    let wish = VerifyWish {
        receipt,
        place: wish.place,
        credentials: wish.credentials,
        manifests: request.manifests,
    };
    let (to, from) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        if let Err(error) = app.verify(wish, &to).await {
            to.send(Err(error)).await.ok();
        }
    });
    Ok(Box::pin(ReceiverStream::new(from).map(|told| {
        let event = match told.map_err(status)? {
            Told::Progress(survey) => Event::Survey(convert::survey_progress(&survey)),
            Told::Manifest(part) => Event::Manifest(wire(part)),
            Told::Since(since) => {
                let json = serde_json::to_string(&since).map_err(|error| {
                    status(Error::new(
                        Kind::Storage,
                        format!("it has no JSON form: {error}"),
                    ))
                })?;
                Event::Since(json)
            }
        };
        Ok(v1::VerifyEvent { event: Some(event) })
    })))
}

fn wire(part: ManifestPart) -> v1::ManifestPart {
    v1::ManifestPart {
        bucket: part.bucket.to_string(),
        after: part.round == Round::After,
        lines: part.lines,
    }
}
