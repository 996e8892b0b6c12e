//! `bascule.v1.System`.

use std::{pin::Pin, sync::Arc};

use bascule_gateway::{Family, Kind, PausedBy};
use bascule_proto::v1::{self, system_server::System};
use futures_util::{Stream, StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{asked, convert, status::status};
use crate::app::{App, BackupWish, PausedConnection};

type Pieces = Pin<Box<dyn Stream<Item = Result<v1::BackupPiece, Status>> + Send>>;

pub(super) struct Service(pub(super) Arc<App>);

#[tonic::async_trait]
impl System for Service {
    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        let status = self.0.status();
        Ok(Response::new(v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: Some(convert::time(status.started_at)),
            gateways: status.gateways,
            state_dir: status.state_dir.display().to_string(),
            connections: status.connections as u32,
            living_keys: status.living_keys as u32,
            dead_keys: status.dead_keys as u32,
            open_requests: status.open_requests as u32,
            deletions: status
                .deletions
                .iter()
                .map(|deletion| deletion.id.to_string())
                .collect(),
            troubles: status.troubles,
            findings: status.findings as u32,
            paused: status.paused.iter().map(paused).collect(),
            sweep: Some(convert::sweep(&status.sweep)),
        }))
    }

    async fn metrics(
        &self,
        _: Request<v1::MetricsRequest>,
    ) -> Result<Response<v1::MetricsResponse>, Status> {
        let families = self.0.metrics().into_iter().map(family).collect();
        Ok(Response::new(v1::MetricsResponse { families }))
    }

    type BackupStream = Pieces;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Pieces>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let wish = BackupWish {
            file: convert::parse("file", &request.file).map_err(status)?,
            passphrase: request
                .passphrase
                .map(|text| Zeroizing::new(text.into_bytes())),
        };
        let (id, pieces) = self.0.clone().backup(by, wish).map_err(status)?;
        let first = v1::BackupPiece {
            id: id.to_string(),
            content: Vec::new(),
        };
        let content = ReceiverStream::new(pieces).map(|piece| {
            piece
                .map(|content| v1::BackupPiece {
                    id: String::new(),
                    content,
                })
                .map_err(status)
        });
        Ok(Response::new(Box::pin(
            stream::once(async { Ok(first) }).chain(content),
        )))
    }

    async fn activate(
        &self,
        request: Request<v1::ActivateRequest>,
    ) -> Result<Response<v1::ActivateResponse>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let accept = request.get_ref().accept_rollback;
        let app = self.0.clone();
        let activated = self
            .0
            .to_its_end(async move { app.activate(by, accept).await })
            .await
            .map_err(status)?;
        Ok(Response::new(v1::ActivateResponse {
            connections: activated.connections,
            was_active: activated.was_active,
        }))
    }
}

fn paused(paused: &PausedConnection) -> v1::PausedConnection {
    v1::PausedConnection {
        name: paused.name.clone(),
        since: Some(convert::time(paused.since)),
        by: match paused.by {
            PausedBy::User => "user",
            PausedBy::Leak => "leak",
            PausedBy::ScreamTest => "scream-test",
            PausedBy::Deletion => "deletion",
            PausedBy::Restore => "restore",
        }
        .to_owned(),
    }
}

fn family(family: Family) -> v1::MetricFamily {
    let samples = family.samples.into_iter().map(|sample| v1::MetricSample {
        labels: sample
            .labels
            .into_iter()
            .map(|(name, value)| v1::MetricLabel {
                name: name.to_owned(),
                value,
            })
            .collect(),
        value: sample.value,
    });
    v1::MetricFamily {
        name: family.name.to_owned(),
        help: family.help.to_owned(),
        kind: match family.kind {
            Kind::Counter => v1::MetricKind::Counter,
            Kind::Gauge => v1::MetricKind::Gauge,
        }
        .into(),
        samples: samples.collect(),
    }
}
