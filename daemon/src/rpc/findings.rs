//! `bascule.v1.Findings`. What the gateway refused; no watcher runs yet, and the list says so.

use std::sync::Arc;

use bascule_proto::v1::{self, findings_server::Findings};
use tonic::{Request, Response, Status};

use super::{convert, status::status};
use crate::app::{App, Finding, IssuedState, Judgement};

/// As many uses as a look at a machine tells.
const MOST_JUDGED: usize = 20_000;

pub(super) struct Service(pub(super) Arc<App>);

#[tonic::async_trait]
impl Findings for Service {
    async fn list(
        &self,
        request: Request<v1::ListFindingsRequest>,
    ) -> Result<Response<v1::ListFindingsResponse>, Status> {
        let connection = request.into_inner().connection;
        let connection = (!connection.is_empty()).then_some(connection.as_str());
        let findings = self.0.findings(connection).map_err(status)?;
        Ok(Response::new(v1::ListFindingsResponse {
            findings: findings
                .iter()
                .map(|found| finding(&self.0, found))
                .collect(),
            not_checked: vec![
                "configurations, jobs and processes: this release does not look at them yet".into(),
                "refusals before the daemon was last started".into(),
            ],
        }))
    }

    async fn show(
        &self,
        request: Request<v1::ShowFindingRequest>,
    ) -> Result<Response<v1::ShowFindingResponse>, Status> {
        let found = self.0.finding(&request.into_inner().id).map_err(status)?;
        Ok(Response::new(v1::ShowFindingResponse {
            finding: Some(finding(&self.0, &found)),
        }))
    }

    async fn judge(
        &self,
        request: Request<v1::JudgeRequest>,
    ) -> Result<Response<v1::JudgeResponse>, Status> {
        let ids = request.into_inner().access_key_ids;
        if ids.len() > MOST_JUDGED {
            return Err(Status::invalid_argument(format!(
                "{MOST_JUDGED} ids at most"
            )));
        }
        let judgements = ids.iter().map(|id| {
            let known = id.parse().ok().map(|id| self.0.judge(&id));
            judgement(known.unwrap_or(Judgement::Unknown))
        });
        Ok(Response::new(v1::JudgeResponse {
            judgements: judgements.collect(),
        }))
    }
}

fn judgement(found: Judgement) -> v1::Judgement {
    match found {
        Judgement::Unknown => v1::Judgement {
            state: "unknown".into(),
            ..v1::Judgement::default()
        },
        Judgement::Dead(tombstone) => {
            let key = convert::dead_key(&tombstone);
            v1::Judgement {
                state: "dead".into(),
                connection: key.connection,
                label: key.label,
                at: key.died_at,
                why: key.cause,
            }
        }
        Judgement::Brought {
            connection,
            leaked_at,
        } => v1::Judgement {
            state: if leaked_at.is_some() {
                "leaked"
            } else {
                "brought"
            }
            .into(),
            connection,
            at: leaked_at.map(convert::time),
            ..v1::Judgement::default()
        },
        Judgement::Issued {
            state,
            connection,
            label,
        } => {
            let (state, at) = match state {
                IssuedState::Living => ("living", None),
                IssuedState::Paused => ("paused", None),
                IssuedState::Expired(at) => ("expired", Some(at)),
                IssuedState::Retiring(at) => ("retiring", at),
            };
            v1::Judgement {
                state: state.into(),
                connection,
                label,
                at: at.map(convert::time),
                why: String::new(),
            }
        }
    }
}

pub(super) fn finding(app: &App, found: &Finding) -> v1::Finding {
    v1::Finding {
        id: found.id(),
        connection: found.connection.to_string(),
        chain: Vec::new(),
        found_at: Some(convert::time(found.first_at)),
        reason: found.reason.to_string(),
        key: found.masked.clone(),
        label: found.label.to_string(),
        last_at: Some(convert::time(found.last_at)),
        count: found.count,
        address: found.peer.to_string(),
        user_agent: found.user_agent.clone(),
        operation: found.operation.unwrap_or_default().to_owned(),
        message: found.message.clone(),
        next: app.advice(found),
    }
}
