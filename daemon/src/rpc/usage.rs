//! `bascule.v1.Usage`.

use std::{pin::Pin, sync::Arc};

use bascule_domain::{Timestamp, audit, tool::tool};
use bascule_proto::v1::{self, usage_event, usage_server::Usage};
use bascule_store::ledger::{By, Gap, Group, Passed, Process, Row, What};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{convert, findings, status::status};
use crate::app::{
    App, Event, NamedKey, Watcher,
    error::{Error, Kind, start},
};

/// Cells of activity, unless another number is asked for.
const CELLS: u32 = 30;
const MOST_CELLS: u32 = 1_000;

pub(super) struct Service {
    pub(super) app: Arc<App>,
    pub(super) stop: CancellationToken,
}

type Answer<T> = Result<Response<T>, Status>;
type Events = Pin<Box<dyn Stream<Item = Result<v1::UsageEvent, Status>> + Send>>;

#[tonic::async_trait]
impl Usage for Service {
    async fn report(
        &self,
        request: Request<v1::UsageReportRequest>,
    ) -> Answer<v1::UsageReportResponse> {
        let request = request.into_inner();
        let by = match request.by() {
            v1::UsageBy::Unspecified | v1::UsageBy::Key => By::Key,
            v1::UsageBy::Tool => By::Tool,
            v1::UsageBy::Process => By::Process,
            v1::UsageBy::Address => By::Address,
        };
        let since = convert::time_given(request.since)
            .and_then(|since| {
                since.ok_or_else(|| Error::new(Kind::Invalid, "it is not said since when"))
            })
            .map_err(status)?;
        let cells = match request.cells {
            0 => CELLS,
            cells => cells.min(MOST_CELLS),
        };
        let usage = self
            .app
            .usage(&request.of, since, by, cells)
            .await
            .map_err(status)?;
        let report = &usage.report;
        let used = report
            .rows
            .iter()
            .filter_map(|row| Some(used(row, usage.key_of(row)?)));
        let rows = used.chain(usage.unused.iter().map(unused)).collect();
        Ok(Response::new(v1::UsageReportResponse {
            from: Some(convert::time(report.from)),
            to: Some(convert::time(usage.to)),
            cell: duration(report.cell),
            recorded_since: Some(convert::time(report.begun)),
            rows,
            gaps: report
                .gaps
                .iter()
                .map(|gap| told(gap, report.from))
                .collect(),
        }))
    }

    type WatchStream = Events;

    async fn watch(&self, request: Request<v1::WatchUsageRequest>) -> Answer<Events> {
        let watcher = self.app.watch(&request.into_inner().of).map_err(status)?;
        let begun = v1::UsageEvent {
            at: Some(convert::time(self.app.now())),
            event: Some(usage_event::Event::Begun(v1::WatchBegun {
                without_requests: !self.app.counts_requests(),
            })),
            ..v1::UsageEvent::default()
        };
        let state = Some((watcher, self.app.clone(), self.stop.clone()));
        let rest = stream::unfold(state, |state| async {
            let (mut watcher, app, stop) = state?;
            let event = tokio::select! {
                event = next(&mut watcher, &app) => event?,
                () = stop.cancelled() => {
                    let error = Error::new(Kind::Stopping, "the daemon is stopping").next(start());
                    return Some((Err(status(error)), None));
                }
            };
            Some((Ok(event), Some((watcher, app, stop))))
        });
        Ok(Response::new(Box::pin(
            stream::iter([Ok(begun)]).chain(rest),
        )))
    }
}

/// The next event that concerns the watcher; `None` when there will be none any more.
async fn next(watcher: &mut Watcher, app: &App) -> Option<v1::UsageEvent> {
    loop {
        match watcher.events.recv().await {
            Ok(event) if watcher.concerns(&event, app) => return Some(event_of(event, app)),
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                return Some(v1::UsageEvent {
                    at: Some(convert::time(app.now())),
                    event: Some(usage_event::Event::Missed(missed)),
                    ..v1::UsageEvent::default()
                });
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

fn event_of(event: Event, app: &App) -> v1::UsageEvent {
    let (at, key, connection, event) = match event {
        Event::Passed(seen) => (
            seen.at,
            Some(seen.key),
            Some(seen.connection),
            usage_event::Event::Passed(passed(&seen)),
        ),
        Event::Found(key, found, news) => (
            found.last_at,
            Some(key),
            None,
            usage_event::Event::Finding(findings::finding(app, &found, Some(news))),
        ),
        Event::Consumer(found, news) => {
            let (key, connection) = found.judgement.ids();
            let told = findings::consumer(app, &found, Some(news));
            (
                app.now(),
                key,
                connection,
                usage_event::Event::Finding(told),
            )
        }
        Event::Gone(id, record) => {
            let told = findings::gone(id, &record);
            let event = usage_event::Event::Finding(told);
            (app.now(), None, None, event)
        }
        Event::Changed(entry) => {
            let (key, connection) = (entry.change.key(), entry.change.connection());
            let change = usage_event::Event::Change(change(&entry));
            (entry.at, key, connection, change)
        }
    };
    let named = key.and_then(|key| app.named(key));
    let (key, label, name) = named.map_or_else(Default::default, |named| {
        (named.access_key_id, named.label, named.connection_name)
    });
    let name = if name.is_empty() {
        connection
            .and_then(|connection| app.name_of(connection))
            .unwrap_or_default()
    } else {
        name
    };
    v1::UsageEvent {
        at: Some(convert::time(at)),
        key,
        label,
        connection: name,
        event: Some(event),
    }
}

fn passed(passed: &Passed) -> v1::UsagePassed {
    let mut told = v1::UsagePassed {
        tool: tool(&passed.client.user_agent),
        user_agent: passed.client.user_agent.clone(),
        address: passed.client.address.to_string(),
        process: passed.client.process.as_ref().map(process),
        ..v1::UsagePassed::default()
    };
    for (what, requests, bytes_in, bytes_out) in &passed.counts {
        match what {
            What::Did(operation) => told.operations.push(v1::UsageOperation {
                operation: (*operation).to_owned(),
                requests: *requests,
                bytes_in: *bytes_in,
                bytes_out: *bytes_out,
            }),
            What::Refused(reason) => told.refused.push(v1::UsageRefusal {
                reason: (*reason).to_owned(),
                requests: *requests,
            }),
        }
    }
    told
}

fn change(entry: &audit::Entry) -> v1::UsageChange {
    let change = &entry.change;
    let phase = match change {
        audit::Change::Deletion { phase, .. } => phase.as_str(),
        _ => "",
    };
    let by = entry.by.as_ref();
    v1::UsageChange {
        what: change.as_str().to_owned(),
        phase: phase.to_owned(),
        uid: by.map(|by| by.uid),
        pid: by.and_then(|by| by.pid),
        connection_id: change
            .connection()
            .map_or_else(String::new, |id| id.to_string()),
        key_id: change.key().map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn unused(named: &NamedKey) -> v1::UsageRow {
    v1::UsageRow {
        key: named.access_key_id.clone(),
        label: named.label.clone(),
        connection: named.connection_name.clone(),
        dead: named.dead,
        ..v1::UsageRow::default()
    }
}

fn used(row: &Row, named: &NamedKey) -> v1::UsageRow {
    const UNKNOWN: &str = "unknown";
    let (who, seen) = match &row.group {
        Group::Key => (String::new(), None),
        Group::Tool(tool) => (tool.clone(), None),
        Group::Client {
            tool,
            process: seen,
            ..
        } => (tool.clone(), seen.as_ref().map(process)),
        Group::Process(Some(seen)) => (String::new(), Some(process(seen))),
        Group::Process(None) | Group::Erased => (UNKNOWN.to_owned(), None),
        Group::Address(address) => (address.to_string(), None),
        Group::Other => ("other".to_owned(), None),
    };
    let operations: Vec<_> = row
        .operations
        .iter()
        .map(
            |(operation, (requests, bytes_in, bytes_out))| v1::UsageOperation {
                operation: operation.clone(),
                requests: *requests,
                bytes_in: *bytes_in,
                bytes_out: *bytes_out,
            },
        )
        .collect();
    v1::UsageRow {
        who,
        process: seen,
        first_at: Some(convert::time(row.first)),
        last_at: Some(convert::time(row.last)),
        requests: operations.iter().map(|sums| sums.requests).sum(),
        bytes_in: operations.iter().map(|sums| sums.bytes_in).sum(),
        bytes_out: operations.iter().map(|sums| sums.bytes_out).sum(),
        refusals: row.refused.values().sum(),
        operations,
        refused: row
            .refused
            .iter()
            .map(|(reason, requests)| v1::UsageRefusal {
                reason: reason.clone(),
                requests: *requests,
            })
            .collect(),
        tools: row.tools.iter().cloned().collect(),
        longest_interval: row.longest.and_then(duration),
        at_most: row.at_most,
        activity: row
            .activity
            .iter()
            .map(|cell| v1::UsageCell {
                requests: cell.requests,
                unknown: cell.unknown,
            })
            .collect(),
        ..unused(named)
    }
}

fn process(seen: &Process) -> v1::Process {
    v1::Process {
        pid: seen.pid,
        exe: seen.exe.clone().unwrap_or_default(),
        command: seen.command.clone().unwrap_or_default(),
        unit: seen.unit.clone().unwrap_or_default(),
        container: seen.container.clone().unwrap_or_default(),
        uid: None,
    }
}

fn told(gap: &Gap, begin: Timestamp) -> v1::UsageGap {
    v1::UsageGap {
        from: (gap.from > begin).then(|| convert::time(gap.from)),
        to: Some(convert::time(gap.to)),
        cause: gap.cause.as_str().to_owned(),
        lost: gap.lost,
    }
}

fn duration(time: std::time::Duration) -> Option<prost_types::Duration> {
    time.try_into().ok()
}
