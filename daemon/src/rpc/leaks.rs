//! `bascule.v1.Leaks`.

use std::sync::Arc;

use bascule_domain::leak::Remaining;
use bascule_proto::v1::{self, leaks_server::Leaks, report_leak_response::Leaked as Wire};
use tonic::{Request, Response, Status};

use super::{asked, convert, rotations, status::status};
use crate::app::{App, Brought, Leaked, Proof};

pub(super) struct Service(pub(super) Arc<App>);

#[tonic::async_trait]
impl Leaks for Service {
    async fn report(
        &self,
        request: Request<v1::ReportLeakRequest>,
    ) -> Result<Response<v1::ReportLeakResponse>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, asked) = (self.0.clone(), request.into_inner());
        let change = async move {
            app.leak(by, &asked.access_key_id, given(&asked.connection))
                .await
        };
        let leaked = self.0.to_its_end(change).await.map_err(status)?;
        let mut no_successor = String::new();
        let (access_key_id, wire) = match leaked {
            Leaked::Replaced(id, rotated) => (
                id.to_string(),
                Wire::Replaced(rotations::response(&self.0, &rotated)),
            ),
            Leaked::Buried(id, tombstone, why) => {
                no_successor = why;
                (id.to_string(), Wire::Dead(convert::dead_key(&tombstone)))
            }
            Leaked::Dead(id, tombstone) => (
                id.map_or_else(|| tombstone.masked.clone(), Into::into),
                Wire::Dead(convert::dead_key(&tombstone)),
            ),
            Leaked::Brought(brought) => (
                brought.leak.access_key_id.to_string(),
                Wire::Provider(provider_leak(&brought)),
            ),
        };
        Ok(Response::new(v1::ReportLeakResponse {
            access_key_id,
            no_successor,
            leaked: Some(wire),
        }))
    }

    async fn prove(
        &self,
        request: Request<v1::ProveLeakRequest>,
    ) -> Result<Response<v1::ProveLeakResponse>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, asked) = (self.0.clone(), request.into_inner());
        let change = async move {
            app.prove_leak(by, &asked.access_key_id, given(&asked.connection))
                .await
        };
        let (proof, brought) = self.0.to_its_end(change).await.map_err(status)?;
        let (proof, evidence) = match proof {
            Proof::Dead(evidence) => (v1::LeakProof::Dead, evidence),
            Proof::Alive(evidence) => (v1::LeakProof::Alive, evidence),
            Proof::NotKnown(evidence) => (v1::LeakProof::NotKnown, evidence),
        };
        Ok(Response::new(v1::ProveLeakResponse {
            proof: proof.into(),
            evidence,
            leak: Some(provider_leak(&brought)),
        }))
    }
}

fn given(connection: &str) -> Option<&str> {
    (!connection.is_empty()).then_some(connection)
}

fn provider_leak(brought: &Brought) -> v1::ProviderLeak {
    let step = |remaining: &Remaining| match remaining {
        Remaining::Pause => v1::LeakStep::Pause,
        Remaining::Replace => v1::LeakStep::Replace,
        Remaining::Resume => v1::LeakStep::Resume,
        Remaining::Prove => v1::LeakStep::Prove,
    };
    v1::ProviderLeak {
        connection: Some(convert::connection(&brought.view)),
        access_key_id: brought.leak.access_key_id.to_string(),
        reported_at: Some(convert::time(brought.leak.reported_at)),
        seen_dead_at: brought.leak.seen_dead_at.map(convert::time),
        remaining: brought
            .remaining
            .iter()
            .map(|remaining| step(remaining).into())
            .collect(),
        at_the_provider: brought.at_the_provider.clone(),
        also_used_by: brought.also_used_by.clone(),
        same_id_elsewhere: brought.same_id_elsewhere.clone(),
    }
}
