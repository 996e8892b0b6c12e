//! `bascule.v1.System`.

use std::{pin::Pin, sync::Arc};

use bascule_domain::{
    backup::{Found, Place},
    ids::ConnectionId,
    root_key::KeptIn,
};
use bascule_gateway::{Family, Kind, PausedBy};
use bascule_proto::v1::{self, system_server::System};
use bascule_store::{Unfinished, Whereabouts};
use futures_util::{Stream, StreamExt, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{asked, convert, status::status};
use crate::app::{App, BackupWish, Check, Held, KnownBackup, PausedConnection, Standing};

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
            config_file: status.config_file,
            after_restart: names(status.after_restart),
        }))
    }

    async fn reload(
        &self,
        _: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        let reloaded = self.0.reload().await.map_err(status)?;
        Ok(Response::new(v1::ReloadResponse {
            file: reloaded.file,
            changed: names(reloaded.changed),
            after_restart: names(reloaded.after_restart),
        }))
    }

    async fn examine(
        &self,
        request: Request<v1::ExamineRequest>,
    ) -> Result<Response<v1::ExamineResponse>, Status> {
        let checks = self.0.examine(request.into_inner().offline).await;
        Ok(Response::new(v1::ExamineResponse {
            checks: checks.into_iter().map(check).collect(),
        }))
    }

    async fn metrics(
        &self,
        _: Request<v1::MetricsRequest>,
    ) -> Result<Response<v1::MetricsResponse>, Status> {
        let families = families(&self.0);
        Ok(Response::new(v1::MetricsResponse { families }))
    }

    type BackupStream = Pieces;

    async fn backup(
        &self,
        request: Request<v1::BackupRequest>,
    ) -> Result<Response<Pieces>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let place = place(&request).map_err(status)?;
        let wish = BackupWish {
            file: convert::parse("file", &request.file).map_err(status)?,
            place,
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

    async fn list_backups(
        &self,
        _: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        let backups = self.0.backups().await.map_err(status)?;
        Ok(Response::new(v1::ListBackupsResponse {
            backups: backups.into_iter().map(known_backup).collect(),
        }))
    }

    async fn note_backups(
        &self,
        request: Request<v1::NoteBackupsRequest>,
    ) -> Result<Response<v1::NoteBackupsResponse>, Status> {
        let noted = request.into_inner().backups.into_iter().map(|noted| {
            let id = convert::parse("backup", &noted.id)?;
            // What nobody could look at tells nothing new.
            Ok(found(noted.found()).map(|found| (id, found)))
        });
        let noted: Vec<_> = noted
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()
            .map_err(status)?;
        self.0.note_backups(noted).await.map_err(status)?;
        Ok(Response::new(v1::NoteBackupsResponse {}))
    }

    async fn forget_backup(
        &self,
        request: Request<v1::ForgetBackupRequest>,
    ) -> Result<Response<v1::ForgetBackupResponse>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let id = convert::parse("backup", &request.id).map_err(status)?;
        let (app, found) = (self.0.clone(), found(request.found()));
        self.0
            .to_its_end(async move { app.forget_backup(by, id, found).await })
            .await
            .map_err(status)?;
        Ok(Response::new(v1::ForgetBackupResponse {}))
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

    async fn show_root_key(
        &self,
        _: Request<v1::ShowRootKeyRequest>,
    ) -> Result<Response<v1::RootKey>, Status> {
        let at = self.0.root_key().await.map_err(status)?;
        Ok(Response::new(root_key(at)))
    }

    async fn move_root_key(
        &self,
        request: Request<v1::MoveRootKeyRequest>,
    ) -> Result<Response<v1::RootKey>, Status> {
        let by = asked(&request, &request.get_ref().reason)?;
        let to = kept_in(request.get_ref().to()).map_err(status)?;
        let app = self.0.clone();
        let at = self
            .0
            .to_its_end(async move { app.move_root_key(by, to).await })
            .await
            .map_err(status)?;
        Ok(Response::new(root_key(at)))
    }
}

fn kept_in(wire: v1::RootKeyPlace) -> crate::app::error::Result<KeptIn> {
    match wire {
        v1::RootKeyPlace::File => Ok(KeptIn::File),
        v1::RootKeyPlace::Keychain => Ok(KeptIn::Keychain),
        v1::RootKeyPlace::Credential => Ok(KeptIn::Credential),
        v1::RootKeyPlace::Unspecified => convert::parse("to", ""),
    }
}

fn root_key(at: Whereabouts) -> v1::RootKey {
    let place = |place: Option<KeptIn>| {
        i32::from(match place {
            None => v1::RootKeyPlace::Unspecified,
            Some(KeptIn::File) => v1::RootKeyPlace::File,
            Some(KeptIn::Keychain) => v1::RootKeyPlace::Keychain,
            Some(KeptIn::Credential) => v1::RootKeyPlace::Credential,
        })
    };
    let (moving_to, leaving) = match at.unfinished {
        None => (None, None),
        Some(Unfinished::To(to)) => (Some(to), None),
        Some(Unfinished::From(from)) => (None, Some(from)),
    };
    v1::RootKey {
        kept_in: place(Some(at.kept_in)),
        moving_to: place(moving_to),
        leaving: place(leaving),
        copy: place(at.copy),
        file: at.file.display().to_string(),
        store: at.store,
        left_in: place(at.left_in),
    }
}

fn names(names: Vec<&'static str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn check(check: Check) -> v1::Check {
    v1::Check {
        area: check.area.to_owned(),
        standing: match check.standing {
            Standing::Ok => v1::Standing::Ok,
            Standing::Warning => v1::Standing::Warning,
            Standing::Problem => v1::Standing::Problem,
            Standing::NotChecked => v1::Standing::NotChecked,
        }
        .into(),
        told: check.told,
        remedy: check.remedy.unwrap_or_default(),
    }
}

fn place(request: &v1::BackupRequest) -> crate::app::error::Result<Place> {
    Ok(match convert::parse_given("path", &request.path)? {
        Some(path) => Place::Here {
            path,
            mount: convert::parse_given("mount", &request.mount)?,
        },
        None => Place::Unknown,
    })
}

const fn found(wire: v1::BackupFound) -> Option<Found> {
    match wire {
        v1::BackupFound::Unspecified => None,
        v1::BackupFound::Present => Some(Found::Present),
        v1::BackupFound::Gone => Some(Found::Gone),
        v1::BackupFound::Changed => Some(Found::Changed),
    }
}

fn known_backup(known: KnownBackup) -> v1::KnownBackup {
    let backup = known.backup;
    let (place, path, mount) = match backup.place {
        Place::Unknown => (v1::BackupPlace::Unspecified, None, None),
        Place::Here { path, mount } => (v1::BackupPlace::Here, Some(path), mount),
        Place::Elsewhere { path } => (v1::BackupPlace::Elsewhere, Some(path), None),
    };
    v1::KnownBackup {
        id: backup.id.to_string(),
        made_at: Some(convert::time(backup.made_at)),
        file: backup.file.to_string(),
        portable: backup.portable,
        place: place.into(),
        path: path.map(String::from).unwrap_or_default(),
        mount: mount.map(String::from).unwrap_or_default(),
        mark: backup.mark.map(|mark| v1::BackupMark {
            bytes: mark.bytes,
            tag: mark.tag,
        }),
        holds: known
            .holds
            .into_iter()
            .map(|(id, held)| held_connection(id, held))
            .collect(),
        last_look: backup.last_look.map(|look| v1::BackupLook {
            at: Some(convert::time(look.at)),
            found: match look.found {
                Found::Present => v1::BackupFound::Present,
                Found::Gone => v1::BackupFound::Gone,
                Found::Changed => v1::BackupFound::Changed,
            }
            .into(),
        }),
    }
}

fn held_connection(id: ConnectionId, held: Held) -> v1::HeldConnection {
    let (standing, name, deletion) = match held {
        Held::Living(name) => (v1::HeldStanding::Living, Some(name), None),
        Held::BeingDeleted(name, deletion) => {
            (v1::HeldStanding::BeingDeleted, Some(name), Some(deletion))
        }
        Held::Deleted(name, deletion) => (v1::HeldStanding::Deleted, Some(name), Some(deletion)),
        Held::Unknown => (v1::HeldStanding::Unspecified, None, None),
    };
    v1::HeldConnection {
        id: id.to_string(),
        name: name.map(String::from).unwrap_or_default(),
        standing: standing.into(),
        deletion_id: deletion.map(|id| id.to_string()).unwrap_or_default(),
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

/// What was counted, as it is told.
pub(crate) fn families(app: &App) -> Vec<v1::MetricFamily> {
    app.metrics().into_iter().map(family).collect()
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
