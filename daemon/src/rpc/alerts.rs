//! `bascule.v1.Alerts`.

use std::sync::Arc;

use bascule_domain::Timestamp;
use bascule_proto::v1::{self, alerts_server::Alerts};
use tonic::{Request, Response, Status};

use super::convert;
use crate::{
    alerts::{Failure, State},
    app::App,
};

pub(super) struct Service(pub(super) Arc<App>);

#[tonic::async_trait]
impl Alerts for Service {
    async fn list(
        &self,
        _: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let channels = self.0.alerts().states().into_iter().map(channel);
        Ok(Response::new(v1::ListAlertsResponse {
            channels: channels.collect(),
        }))
    }

    async fn test(
        &self,
        _: Request<v1::TestAlertsRequest>,
    ) -> Result<Response<v1::TestAlertsResponse>, Status> {
        let tests = self.0.test_alerts().await.into_iter();
        let tests = tests.map(|tested| v1::AlertTest {
            channel: tested.channel.to_owned(),
            to: tested.to,
            failure: tested.failure.map(failure),
        });
        Ok(Response::new(v1::TestAlertsResponse {
            tests: tests.collect(),
        }))
    }
}

fn channel(state: State) -> v1::AlertChannel {
    v1::AlertChannel {
        channel: state.channel.to_owned(),
        to: state.to,
        off: state.off.unwrap_or_default(),
        waiting: state.waiting as u32,
        lost: state.lost,
        last_success_at: state.last_success_at.map(convert::time),
        last_failure: state.last_failure.map(failure),
    }
}

fn failure((at, failure): (Timestamp, Failure)) -> v1::AlertFailure {
    v1::AlertFailure {
        at: Some(convert::time(at)),
        why: failure.why,
        next: failure.next,
    }
}
