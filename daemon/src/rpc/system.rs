//! `bascule.v1.System`.

use std::sync::Arc;

use bascule_gateway::{Family, Kind, PausedBy};
use bascule_proto::v1::{self, system_server::System};
use tonic::{Request, Response, Status};

use super::convert;
use crate::app::{App, PausedConnection};

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
