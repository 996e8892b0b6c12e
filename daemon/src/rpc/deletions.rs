//! `bascule.v1.Deletions`.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use bascule_domain::{
    audit::Asked,
    deletion::{Deletion, Phase},
    ids::DeletionId,
    plan::{CheckBox, Standing},
    survey::Extent,
};
use bascule_proto::v1::{self, deletion_event::Event, deletions_server::Deletions};
use futures_util::{Stream, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{asked, convert, manifests, status::status};
use crate::app::{
    App, BucketUploads, ClientUse, DeletionWish, Holder, Progress, Subscription, Wanted,
    error::{Error, Kind, start},
};

pub(super) struct Service {
    pub(super) app: Arc<App>,
    pub(super) stop: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;
type Events = Pin<Box<dyn Stream<Item = Result<v1::DeletionEvent, Status>> + Send>>;

#[tonic::async_trait]
impl Deletions for Service {
    async fn plan(&self, request: Request<v1::PlanRequest>) -> Answer<v1::PlanResponse> {
        let request = request.into_inner();
        let plan = self
            .app
            .plan(&request.connection, request.emergency)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::PlanResponse {
            plan_id: plan.id.to_string(),
            connection: Some(convert::connection(&plan.view)),
            keys: plan.keys.iter().map(convert::key).collect(),
            boxes: plan
                .boxes
                .into_iter()
                .map(|checked| v1::Box {
                    name: checked.name.to_string(),
                    state: match checked.standing {
                        Standing::Met => v1::BoxState::Met,
                        Standing::Open => v1::BoxState::Open,
                        Standing::Unknown => v1::BoxState::Unknown,
                        Standing::NotApplicable => v1::BoxState::NotApplicable,
                    }
                    .into(),
                    evidence: checked.evidence,
                    remedy: checked.remedy,
                })
                .collect(),
            siblings: plan.siblings,
            open_transfers: plan.open_transfers,
            stays_valid: plan.stays_valid,
            alternatives: plan
                .alternatives
                .into_iter()
                .map(|(what, command)| v1::Alternative { what, command })
                .collect(),
            not_checked: plan.not_checked,
            clients: plan.clients.iter().map(client).collect(),
            consumers: plan.consumers.iter().map(holder).collect(),
            bypasses: plan.bypasses.iter().map(holder).collect(),
            uploads_through_keys: (plan.uploads.through_keys.into_iter())
                .map(|(label, uploads)| v1::PlanKeyUploads {
                    label,
                    uploads: uploads as u64,
                })
                .collect(),
            uploads: plan.uploads.buckets.into_iter().map(uploads).collect(),
        }))
    }

    type StartStream = Events;

    async fn start(&self, request: Request<v1::StartDeletionRequest>) -> Answer<Events> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let acknowledged = request
            .acknowledged
            .iter()
            .map(|name| convert::parse("box", name))
            .collect::<Result<BTreeSet<CheckBox>, _>>()
            .map_err(status)?;
        let survey = match request.survey.as_str() {
            "" => Extent::default(),
            named => convert::parse("survey", named).map_err(status)?,
        };
        let plan = match request.plan_id.as_str() {
            "" => None,
            id => Some(convert::parse("plan id", id).map_err(status)?),
        };
        let wish = DeletionWish {
            name: request.connection,
            acknowledged,
            emergency: request.emergency,
            scream: convert::given_length(request.scream).map_err(status)?,
            plan,
            survey,
            keep_manifests: request.keep_manifests,
        };
        let app = self.app.clone();
        let change = async move { app.delete(by, wish).await };
        let subscription = self.app.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(self.events(subscription)))
    }

    type WatchStream = Events;

    async fn watch(&self, request: Request<v1::WatchDeletionRequest>) -> Answer<Events> {
        let request = request.into_inner();
        let id = self.id(&request.id)?;
        let subscription = self.app.watch_deletion(id, request.keep_manifests);
        let subscription = subscription.map_err(status)?;
        Ok(Response::new(self.events(subscription)))
    }

    async fn list(
        &self,
        _: Request<v1::ListDeletionsRequest>,
    ) -> Answer<v1::ListDeletionsResponse> {
        let deletions = self.app.deletions().iter().map(convert::deletion).collect();
        Ok(Response::new(v1::ListDeletionsResponse { deletions }))
    }

    async fn show(
        &self,
        request: Request<v1::ShowDeletionRequest>,
    ) -> Answer<v1::ShowDeletionResponse> {
        let id = self.id(&request.into_inner().id)?;
        let (deletion, findings) = self.app.deletion(id).map_err(status)?;
        let own = findings
            .map(|findings| findings.own_changes)
            .unwrap_or_default();
        let in_doubt = own
            .iter()
            .filter(|change| change.in_doubt && change.sibling.is_none())
            .map(|change| match &change.key {
                Some(key) => format!("{} {}/{key}", change.action, change.bucket),
                None => format!("{} in {}", change.action, change.bucket),
            })
            .collect();
        Ok(Response::new(v1::ShowDeletionResponse {
            deletion: Some(convert::deletion(&deletion)),
            in_doubt,
        }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelDeletionRequest>,
    ) -> Answer<v1::CancelDeletionResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let id = self.id(&request.into_inner().id)?;
        let deletion = self.ask(by, id, Wanted::Cancel).await?;
        Ok(Response::new(v1::CancelDeletionResponse {
            deletion: Some(convert::deletion(&deletion)),
        }))
    }

    async fn go_on(
        &self,
        request: Request<v1::GoOnDeletionRequest>,
    ) -> Answer<v1::GoOnDeletionResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let id = self.id(&request.into_inner().id)?;
        let deletion = self.ask(by, id, Wanted::GoOn).await?;
        Ok(Response::new(v1::GoOnDeletionResponse {
            deletion: Some(convert::deletion(&deletion)),
        }))
    }

    async fn finish_unverified(
        &self,
        request: Request<v1::FinishUnverifiedRequest>,
    ) -> Answer<v1::FinishUnverifiedResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let id = self.id(&request.into_inner().id)?;
        let deletion = self.ask(by, id, Wanted::FinishUnverified).await?;
        Ok(Response::new(v1::FinishUnverifiedResponse {
            deletion: Some(convert::deletion(&deletion)),
        }))
    }

    async fn list_receipts(
        &self,
        _: Request<v1::ListReceiptsRequest>,
    ) -> Answer<v1::ListReceiptsResponse> {
        let receipts = self.app.receipts().await.map_err(status)?;
        let receipts = receipts
            .into_iter()
            .map(|receipt| v1::ReceiptSummary {
                id: receipt.id.to_string(),
                connection: receipt.connection.name.to_string(),
                revoked_at: receipt.revoked_at.map(convert::time),
                erased_at: receipt.erased_at.map(convert::time),
                verdict: receipt.verdict.as_str().to_owned(),
                keys: receipt.keys.len() as u32,
            })
            .collect();
        Ok(Response::new(v1::ListReceiptsResponse { receipts }))
    }

    type TakeManifestsStream = manifests::Parts;

    async fn take_manifests(
        &self,
        request: Request<v1::TakeManifestsRequest>,
    ) -> Answer<manifests::Parts> {
        let request = request.into_inner();
        let id = self.id(&request.id)?;
        let parts = manifests::take(self.app.clone(), id, request.following);
        Ok(Response::new(parts))
    }

    type VerifyStream = manifests::Verified;

    async fn verify(&self, request: Request<v1::VerifyRequest>) -> Answer<manifests::Verified> {
        let request = request.into_inner();
        manifests::verify(self.app.clone(), request)
            .map(Response::new)
            .map_err(status)
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Answer<v1::GetReceiptResponse> {
        let id = self.id(&request.into_inner().id)?;
        let receipt = self.app.receipt(id).await.map_err(status)?;
        Ok(Response::new(v1::GetReceiptResponse {
            receipt: json(&receipt)?,
        }))
    }
}

impl Service {
    async fn ask(&self, by: Asked, id: DeletionId, wanted: Wanted) -> Result<Deletion, Status> {
        let asked = self.app.ask_deletion(by, id, wanted).await;
        asked.map_err(status)
    }

    fn id(&self, text: &str) -> Result<DeletionId, Status> {
        convert::parse("deletion id", text)
            .map_err(|error| status(error.next("bascule deletion list shows the ids")))
    }

    /// What happened so far, then what happens, until it ends or parks.
    fn events(&self, subscription: Subscription) -> Events {
        let Subscription {
            deletion,
            events,
            hold,
        } = subscription;
        let first = stream::iter([Ok(event(&deletion, Event::Reached(true)))]);
        if deletion.phase.is_over() {
            return Box::pin(stream::StreamExt::chain(first, self.last_word(deletion)));
        }
        let stop = self.stop.clone();
        // Dropped with the stream: who has left wants no manifests.
        let rest = stream::unfold(Some((events, stop, hold)), |state| async {
            let (mut events, stop, hold) = state?;
            loop {
                let received = tokio::select! {
                    received = events.recv() => received,
                    () = stop.cancelled() => {
                        let error = Error::new(Kind::Stopping, "the daemon is stopping; the deletion goes on when it is started again")
                            .next(start());
                        return Some((Err(status(error)), None));
                    }
                };
                return match received {
                    // The next message says where it stands.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => None,
                    Ok((deletion, progress)) => {
                        // Who wants the manifests stays until they are there.
                        let waits = hold.is_some() && matches!(progress, Progress::Parked(_));
                        let over = ends(&deletion, &progress) && !waits;
                        Some((
                            told(&deletion, progress),
                            (!over).then_some((events, stop, hold)),
                        ))
                    }
                };
            }
        });
        Box::pin(stream::StreamExt::chain(first, rest))
    }

    /// The receipt of a deletion that has ended before anybody asked.
    fn last_word(&self, deletion: Deletion) -> Events {
        let app = self.app.clone();
        Box::pin(stream::StreamExt::filter_map(
            stream::once(async move {
                if deletion.phase != Phase::Finished {
                    return None;
                }
                let receipt = app.receipt(deletion.id).await.map_err(status);
                Some(
                    receipt
                        .and_then(|receipt| Ok(event(&deletion, Event::Receipt(json(&receipt)?)))),
                )
            }),
            std::future::ready,
        ))
    }
}

fn client(used: &ClientUse) -> v1::PlanClient {
    let client = &used.client;
    v1::PlanClient {
        label: client.label.clone(),
        tool: client.tool.clone(),
        process: client.process.clone().unwrap_or_default(),
        address: client.address.clone().unwrap_or_default(),
        writes: client.writes,
        requests: used.requests,
        last_at: Some(convert::time(client.last)),
        longest_interval: used.longest.map(convert::length),
    }
}

fn uploads(of: BucketUploads) -> v1::PlanUploads {
    let (seen, not_looked) = match of.seen {
        Ok(seen) => (seen, String::new()),
        Err(why) => (Default::default(), why),
    };
    v1::PlanUploads {
        bucket: of.bucket.to_string(),
        not_looked,
        count: seen.count,
        more: seen.more,
        oldest_at: seen.oldest.map(convert::time),
        some: (seen.some.into_iter())
            .map(|upload| v1::PlanUpload {
                key: upload.key.to_string(),
                id: upload.id.into(),
                begun_at: upload.begun_at.map(convert::time),
            })
            .collect(),
        commands: of.commands,
    }
}

fn holder(held: &Holder) -> v1::PlanHolder {
    let consumer = &held.consumer;
    v1::PlanHolder {
        label: held.label.clone(),
        key: held.key.clone(),
        chain: held.chain.clone(),
        kind: consumer.tool.clone(),
        rank: held.rank.as_str().to_owned(),
        next_run: held.next_run.as_ref().map(super::findings::next_run),
        user: consumer.user.clone().unwrap_or_default(),
        adopted: held
            .adopted
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        next: consumer.moves.clone(),
    }
}

/// Whether nothing more is worth waiting for.
fn ends(deletion: &Deletion, progress: &Progress) -> bool {
    match progress {
        Progress::Receipt(_) | Progress::Parked(_) => true,
        Progress::Reached => deletion.phase == Phase::Cancelled,
        Progress::Survey(_) => false,
    }
}

fn told(deletion: &Deletion, progress: Progress) -> Result<v1::DeletionEvent, Status> {
    Ok(event(
        deletion,
        match progress {
            Progress::Reached => Event::Reached(true),
            Progress::Survey(survey) => Event::Survey(convert::survey_progress(&survey)),
            Progress::Parked(reason) => Event::Parked(reason),
            Progress::Receipt(receipt) => Event::Receipt(json(&receipt)?),
        },
    ))
}

fn event(deletion: &Deletion, event: Event) -> v1::DeletionEvent {
    v1::DeletionEvent {
        deletion: Some(convert::deletion(deletion)),
        event: Some(event),
    }
}

fn json(receipt: &bascule_domain::receipt::Receipt) -> Result<String, Status> {
    serde_json::to_string_pretty(receipt).map_err(|error| {
        status(Error::new(
            Kind::Storage,
            format!("the receipt has no JSON form: {error}"),
        ))
    })
}
