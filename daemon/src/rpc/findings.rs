//! `bascule.v1.Findings`: what the gateway refused, and what the watcher sees.

use std::sync::Arc;

use bascule_domain::finding::{FindingId, News, Record};
use bascule_proto::v1::{self, finding_caller::Who as Told, findings_server::Findings};
use bascule_watch::{Link, NextRun, Place, Use};
use tonic::{Request, Response, Status};

use super::{asked, convert, status::status};
use crate::app::{
    App, Caller, ConsumerFinding, Finding, IssuedState, Judgement, Who, marked_words,
};

/// As many uses as a look at a machine tells.
const MOST_JUDGED: usize = 20_000;

pub(super) struct Service(pub(super) Arc<App>);

#[tonic::async_trait]
impl Findings for Service {
    async fn list(
        &self,
        request: Request<v1::ListFindingsRequest>,
    ) -> Result<Response<v1::ListFindingsResponse>, Status> {
        let of = request.into_inner().of;
        let of = (!of.is_empty()).then_some(of.as_str());
        let app = &self.0;
        let consumers = app.consumer_findings(of);
        let knocks = app.findings(of, !consumers.is_empty()).map_err(status)?;
        let mut not_checked = app.consumers().not_checked();
        not_checked.extend(app.not_swept());
        not_checked.push("refusals before the daemon was last started".into());
        let consumers = consumers.iter().map(|found| consumer(app, found, None));
        let knocks = knocks.iter().map(|found| finding(app, found, None));
        Ok(Response::new(v1::ListFindingsResponse {
            findings: consumers.chain(knocks).collect(),
            not_checked,
            sweep: Some(convert::sweep(&app.sweep_view())),
        }))
    }

    async fn show(
        &self,
        request: Request<v1::ShowFindingRequest>,
    ) -> Result<Response<v1::ShowFindingResponse>, Status> {
        let id = request.into_inner().id;
        let app = &self.0;
        let found = if id.starts_with(['W', 'w']) {
            consumer(app, &app.consumer_finding(&id).map_err(status)?, None)
        } else {
            finding(app, &app.finding(&id).map_err(status)?, None)
        };
        Ok(Response::new(v1::ShowFindingResponse {
            finding: Some(found),
        }))
    }

    async fn acknowledge(
        &self,
        request: Request<v1::AcknowledgeFindingRequest>,
    ) -> Result<Response<v1::ShowFindingResponse>, Status> {
        let by = asked(&request, &request.get_ref().why)?;
        let id = request.into_inner().id;
        let app = self.0.clone();
        let change = async move {
            let found = app.acknowledge(by, &id).await?;
            Ok(consumer(&app, &found, None))
        };
        let found = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::ShowFindingResponse {
            finding: Some(found),
        }))
    }

    async fn mark_dead(
        &self,
        request: Request<v1::MarkDeadRequest>,
    ) -> Result<Response<v1::MarkDeadResponse>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let access_key_id = request.into_inner().access_key_id;
        let app = self.0.clone();
        let change = async move {
            let marked = app.mark_dead(by, &access_key_id).await?;
            let users = app.consumer_findings(Some(marked.access_key_id.as_str()));
            let users = users.iter().map(|found| consumer(&app, found, None));
            Ok(v1::MarkDeadResponse {
                key: marked.access_key_id.masked(),
                marked_at: Some(convert::time(marked.marked_at)),
                findings: users.collect(),
            })
        };
        let response = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(response))
    }

    async fn unmark_dead(
        &self,
        request: Request<v1::UnmarkDeadRequest>,
    ) -> Result<Response<v1::UnmarkDeadResponse>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let id = request.into_inner().access_key_id;
        let app = self.0.clone();
        let change = async move { app.unmark_dead(by, &id).await };
        self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::UnmarkDeadResponse {}))
    }

    async fn look(
        &self,
        request: Request<v1::LookRequest>,
    ) -> Result<Response<v1::LookResponse>, Status> {
        if request.into_inner().sweep {
            self.0.sweep_now().await;
        }
        self.0.look_now().await;
        Ok(Response::new(v1::LookResponse {}))
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
        let judgements = ids.iter().map(|id| match id.parse() {
            Ok(id) => v1::Judgement {
                own_key_of: self
                    .0
                    .own_key_of(&id)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                ..judgement(self.0.judge(&id))
            },
            Err(_) => judgement(Judgement::Unknown),
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
            let connection_id = tombstone.connection.to_string();
            let key = convert::dead_key(&tombstone);
            v1::Judgement {
                connection_id,
                state: "dead".into(),
                connection: key.connection,
                label: key.label,
                at: key.died_at,
                why: key.cause,
                ..v1::Judgement::default()
            }
        }
        Judgement::Marked(marked) => v1::Judgement {
            state: "marked-dead".into(),
            at: Some(convert::time(marked.marked_at)),
            why: marked_words(&marked),
            ..v1::Judgement::default()
        },
        Judgement::Brought {
            connection_id,
            connection,
            leaked_at,
        } => v1::Judgement {
            connection_id: connection_id.to_string(),
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
            connection_id,
            connection,
            label,
            ..
        } => {
            let (state, at) = match state {
                IssuedState::Living => ("living", None),
                IssuedState::Paused => ("paused", None),
                IssuedState::Expired(at) => ("expired", Some(at)),
                IssuedState::Retiring(at) => ("retiring", at),
            };
            v1::Judgement {
                connection_id: connection_id.to_string(),
                state: state.into(),
                connection,
                label,
                at: at.map(convert::time),
                ..v1::Judgement::default()
            }
        }
    }
}

/// A refusal's finding; with what became of it, in a stream of events.
pub(crate) fn finding(app: &App, found: &Finding, news: Option<News>) -> v1::Finding {
    let (callers, other_callers) = found.callers.all();
    v1::Finding {
        id: found.id(),
        connection: found.connection.to_string(),
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
        sense: "knock".into(),
        news: news.map_or("", News::as_str).to_owned(),
        callers: callers.into_iter().map(caller).collect(),
        other_callers,
        ..v1::Finding::default()
    }
}

fn caller(caller: &Caller) -> v1::FindingCaller {
    let who = match &caller.who {
        Who::Sought => Told::Unknown("it is being looked for".into()),
        Who::Process(process) => Told::Process(v1::Process {
            pid: process.pid,
            exe: process
                .exe
                .as_ref()
                .map_or_else(String::new, |path| path.to_string_lossy().into_owned()),
            command: process.command.clone().unwrap_or_default(),
            unit: process
                .unit
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            container: process.container.clone().unwrap_or_default(),
            uid: Some(process.uid),
        }),
        Who::Address(address) => Told::Address(address.to_string()),
        Who::Unknown(why) => Told::Unknown(why.to_string()),
    };
    v1::FindingCaller {
        who: Some(who),
        first_at: Some(convert::time(caller.first_at)),
        last_at: Some(convert::time(caller.last_at)),
        count: caller.count,
        keeps_trying: caller.keeps_trying(),
    }
}

/// A consumer's finding; with what became of it, in a stream of events.
pub(crate) fn consumer(app: &App, finding: &ConsumerFinding, news: Option<News>) -> v1::Finding {
    let found = &finding.found;
    let mut steps: Vec<_> = found.chain.iter().map(step).collect();
    steps.push(key_step(found));
    let (connection, label) = finding.judgement.owner();
    let acknowledged = finding.record.acknowledged.as_ref();
    v1::Finding {
        id: finding.id.to_string(),
        connection: connection.to_owned(),
        label: label.to_owned(),
        chain: finding.chain(),
        found_at: Some(convert::time(finding.record.first_at)),
        changed_at: Some(convert::time(finding.record.changed_at)),
        reason: finding.reason().to_owned(),
        key: found.key.id.masked(),
        next: app.consumer_advice(finding),
        sense: "consumer".into(),
        state: if acknowledged.is_some() {
            "acknowledged"
        } else {
            "open"
        }
        .into(),
        message: match (&finding.judgement, &found.suspected) {
            (Judgement::Marked(marked), _) => marked_words(marked),
            (_, Some(suspicion)) => format!("{} failed: {}", suspicion.unit, suspicion.line),
            _ => String::new(),
        },
        acknowledged_why: acknowledged.map_or_else(String::new, |known| known.why.clone()),
        kind: found.kind.to_string(),
        rank: found.rank.as_str().to_owned(),
        standing: found.standing.as_str().to_owned(),
        steps,
        next_run: found.next_run.as_ref().map(next_run),
        user: found.user.clone().unwrap_or_default(),
        news: news.map_or("", News::as_str).to_owned(),
        ..v1::Finding::default()
    }
}

/// All that is known of one that was gone when this daemon first looked.
pub(crate) fn gone(id: FindingId, record: &Record) -> v1::Finding {
    v1::Finding {
        id: id.to_string(),
        found_at: Some(convert::time(record.first_at)),
        changed_at: Some(convert::time(record.changed_at)),
        sense: "consumer".into(),
        news: News::Resolved.as_str().to_owned(),
        ..v1::Finding::default()
    }
}

fn step(link: &Link) -> v1::ChainStep {
    let (path, line) = file(link.place.as_ref());
    v1::ChainStep {
        kind: link.kind.as_str().to_owned(),
        name: link.name.clone(),
        path,
        line,
        why: link.why.to_string(),
    }
}

fn key_step(found: &Use) -> v1::ChainStep {
    let (path, line) = file(Some(&found.key.place));
    v1::ChainStep {
        kind: "key".into(),
        name: found.key.place.to_string(),
        path,
        line,
        why: "holds".into(),
    }
}

fn file(place: Option<&Place>) -> (String, u32) {
    match place {
        Some(Place::File { path, line }) => (path.display().to_string(), *line),
        _ => (String::new(), 0),
    }
}

pub(super) fn next_run(next: &NextRun) -> v1::NextRun {
    use v1::next_run::When;
    v1::NextRun {
        when: Some(match next {
            NextRun::At(time) => When::At(convert::time(*time)),
            NextRun::On(event) => When::On(event.clone()),
            NextRun::Never(why) => When::Never(why.clone()),
            NextRun::Unknown(why) => When::Unknown(why.clone()),
        }),
    }
}
