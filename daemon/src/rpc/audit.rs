//! `bascule.v1.Audit`.

use std::{pin::Pin, sync::Arc};

use bascule_domain::audit::{Change, Entry};
use bascule_proto::v1::{self, audit_server::Audit};
use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};

use super::{convert, status::status};
use crate::app::{App, Reading};

pub(super) struct Service(pub(super) Arc<App>);

type Pages = Pin<Box<dyn Stream<Item = Result<v1::ReadAuditResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Audit for Service {
    type ReadStream = Pages;

    async fn read(
        &self,
        request: Request<v1::ReadAuditRequest>,
    ) -> Result<Response<Pages>, Status> {
        let request = request.into_inner();
        let since = convert::time_given(request.since).map_err(status)?;
        let reading = self.0.audit_of(&request.subject, since).map_err(status)?;
        Ok(Response::new(pages(self.0.clone(), reading)))
    }
}

/// Each page is read when the client has taken the one before.
fn pages(app: Arc<App>, reading: Reading) -> Pages {
    Box::pin(stream::unfold(Some(reading), move |reading| {
        let app = app.clone();
        async move {
            let mut reading = reading?;
            match app.next_entries(&mut reading).await {
                Ok(None) => None,
                Ok(Some(entries)) => {
                    let entries = entries.into_iter().map(entry).collect();
                    Some((Ok(v1::ReadAuditResponse { entries }), Some(reading)))
                }
                Err(error) => Some((Err(status(error)), None)),
            }
        }
    }))
}

fn entry(entry: Entry) -> v1::AuditEntry {
    let change = &entry.change;
    let (deletion_id, phase) = match change {
        Change::Deletion {
            deletion, phase, ..
        } => (deletion.to_string(), convert::phase(*phase)),
        Change::DeletionWentOn { deletion, .. } => (deletion.to_string(), v1::Phase::Unspecified),
        _ => (String::new(), v1::Phase::Unspecified),
    };
    let erased = entry.details.is_none();
    let details = entry.details.unwrap_or_default();
    v1::AuditEntry {
        at: Some(convert::time(entry.at)),
        by: entry.by.map(|by| v1::Caller {
            uid: by.uid,
            pid: by.pid.unwrap_or_default(),
            program: by.program.unwrap_or_default(),
            parent: by.parent.unwrap_or_default(),
        }),
        change: change.as_str().to_owned(),
        connection_id: change
            .connection()
            .map_or_else(String::new, |id| id.to_string()),
        key_id: change.key().map(|id| id.to_string()).unwrap_or_default(),
        successor_id: change
            .successor()
            .map(|id| id.to_string())
            .unwrap_or_default(),
        foreign_key: match change {
            Change::MarkedDead { key } | Change::UnmarkedDead { key } => key.clone(),
            _ => String::new(),
        },
        finding_id: match change {
            Change::FindingAcknowledged { finding, .. } => finding.to_string(),
            _ => String::new(),
        },
        adoption_id: match change {
            Change::Adoption { adoption, .. } => adoption.to_string(),
            _ => String::new(),
        },
        backup_id: change.backup().map(|id| id.to_string()).unwrap_or_default(),
        deletion_id,
        phase: phase.into(),
        erased,
        connection: details
            .connection
            .map(|name| name.to_string())
            .unwrap_or_default(),
        label: details
            .label
            .map(|label| label.to_string())
            .unwrap_or_default(),
        consumer: details
            .consumer
            .map(|consumer| consumer.to_string())
            .unwrap_or_default(),
        differences: details
            .differences
            .into_iter()
            .map(|difference| v1::Difference {
                part: difference.part.as_str().to_owned(),
                from: difference.from,
                to: difference.to,
            })
            .collect(),
        reason: details
            .reason
            .map(|reason| reason.to_string())
            .unwrap_or_default(),
    }
}
