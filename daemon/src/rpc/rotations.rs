//! `bascule.v1.Rotations`.

use std::sync::Arc;

use bascule_gateway::KeyUse;
use bascule_proto::v1::{self, rotations_server::Rotations};
use bascule_watch::Use;
use tonic::{Request, Response, Status};

use super::{asked, convert, findings, keys, status::status};
use crate::app::{App, Consumer, Former, Report, RotateWish, Rotated, error::Result, way};

pub(super) struct Service(pub(super) Arc<App>);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Rotations for Service {
    async fn rotate(&self, request: Request<v1::RotateRequest>) -> Answer<v1::RotateResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let wish = wish(request.into_inner()).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.rotate_key(by, wish).await };
        let rotated = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(response(&self.0, &rotated)))
    }

    async fn show(
        &self,
        request: Request<v1::ShowRotationRequest>,
    ) -> Answer<v1::ShowRotationResponse> {
        let id = request.into_inner().access_key_id;
        let report = self.0.rotation(&id).await;
        Ok(Response::new(shown(&report.map_err(status)?)))
    }

    async fn end(&self, request: Request<v1::EndRotationRequest>) -> Answer<v1::RotateResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, id) = (self.0.clone(), request.into_inner().access_key_id);
        let change = async move { app.end_rotation(by, &id).await };
        let rotated = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(response(&self.0, &rotated)))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRotationRequest>,
    ) -> Answer<v1::CancelRotationResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, id) = (self.0.clone(), request.into_inner().access_key_id);
        let change = async move {
            let key = app.call_rotation_off(by, &id).await?;
            let name = app.connection_name(&key)?;
            Ok(convert::key(&app.key_view(key, &name)))
        };
        let key = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::CancelRotationResponse { key: Some(key) }))
    }

    async fn go_on(&self, request: Request<v1::GoOnRequest>) -> Answer<v1::ShowRotationResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, id) = (self.0.clone(), request.into_inner().access_key_id);
        let change = async move { app.go_on_with_rotation(by, &id).await };
        let report = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(shown(&report)))
    }
}

fn wish(request: v1::RotateRequest) -> Result<RotateWish> {
    Ok(RotateWish {
        key: request.access_key_id,
        grace: convert::given_length(request.grace)?,
        until_silent: convert::given_length(request.until_silent)?,
        now: request.now,
        again: request.again,
    })
}

pub(super) fn response(app: &App, rotated: &Rotated) -> v1::RotateResponse {
    v1::RotateResponse {
        issued: rotated
            .issued
            .as_ref()
            .map(|issued| keys::handed_out(app, issued)),
        rotation: Some(rotation(&rotated.report)),
        in_doubt: keys::in_doubt(&rotated.in_doubt),
    }
}

fn shown(report: &Report) -> v1::ShowRotationResponse {
    v1::ShowRotationResponse {
        rotation: Some(rotation(report)),
    }
}

fn rotation(report: &Report) -> v1::Rotation {
    let running = report.rotation.as_ref();
    v1::Rotation {
        old: Some(match &report.old {
            Former::Retiring(view) => convert::key(view),
            Former::Dead(tombstone) => convert::dead_key(tombstone),
        }),
        successor: report.successor.as_ref().map(convert::key),
        began_at: running.map(|rotation| convert::time(rotation.began_at)),
        deadline: running.map(|rotation| convert::time(rotation.deadline())),
        grace: running.map(|rotation| convert::length(rotation.grace.length)),
        grace_because: report.grace_words(),
        until_silent: running.and_then(|rotation| rotation.until_silent.map(convert::length)),
        silent_since: report.silent_since.map(convert::time),
        parked: report.parked_words(),
        ended: report.ended_words(),
        counted_since: Some(convert::time(report.counted_since)),
        old_use: Some(key_use(report.old_use)),
        successor_use: Some(key_use(report.successor_use)),
        consumers: report.consumers.iter().map(consumer).collect(),
        holders: report.holders.iter().map(holder).collect(),
        looked_at: report.looked_at.map(convert::time),
        not_known: report.not_known.clone(),
        next: report.next.clone(),
    }
}

fn holder((old, found): &(bool, Use)) -> v1::RotationHolder {
    v1::RotationHolder {
        old: *old,
        chain: way(found),
        kind: found.kind.to_string(),
        rank: found.rank.as_str().to_owned(),
        next_run: found.next_run.as_ref().map(findings::next_run),
        user: found.user.clone().unwrap_or_default(),
    }
}

fn consumer(consumer: &Consumer) -> v1::RotationConsumer {
    v1::RotationConsumer {
        name: consumer.name.clone(),
        last_with_old: consumer.last_with_old.map(convert::time),
        last_with_successor: consumer.last_with_successor.map(convert::time),
        first_with_successor: consumer.first_with_successor.map(convert::time),
    }
}

fn key_use(usage: KeyUse) -> v1::KeyUse {
    v1::KeyUse {
        requests: usage.requests,
        last_at: usage.last.map(convert::time),
        open: u32::try_from(usage.open).unwrap_or(u32::MAX),
    }
}
