//! `bascule.v1.Keys`.

use std::{fmt::Display, str::FromStr, sync::Arc};

use bascule_domain::{endpoint::Region, key::Scope, transition::Restriction};
use bascule_gateway::InDoubt;
use bascule_proto::v1::{self, keys_server::Keys};
use tonic::{Request, Response, Status};

use super::{asked, convert, status::status};
use crate::app::{
    App, Changed, Issued, KeyWish, Named,
    error::{Error, Kind, Result},
};

/// A request looks through all of a key's prefixes and addresses.
const MOST_NAMES: usize = 100;

pub(super) struct Service(pub(super) Arc<App>);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Keys for Service {
    async fn issue(&self, request: Request<v1::IssueKeyRequest>) -> Answer<v1::IssueKeyResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let wish = wish(request.into_inner()).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.issue_key(by, wish).await };
        let issued = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(handed_out(&self.0, &issued)))
    }

    async fn list(&self, request: Request<v1::ListKeysRequest>) -> Answer<v1::ListKeysResponse> {
        let request = request.into_inner();
        let name = (!request.connection.is_empty()).then_some(request.connection.as_str());
        let listed = self.0.list_keys(name).map_err(status)?;
        let living = listed.living.iter().map(convert::key);
        let keys = living
            .chain(listed.dead.iter().map(convert::dead_key))
            .collect();
        Ok(Response::new(v1::ListKeysResponse { keys }))
    }

    async fn show(&self, request: Request<v1::ShowKeyRequest>) -> Answer<v1::ShowKeyResponse> {
        let named = self.0.find_key(&request.into_inner().key).map_err(status)?;
        let key = match named {
            Named::Living(entry, key) => {
                convert::key(&self.0.key_view(key, entry.connection.name.as_str()))
            }
            Named::Dead(tombstone) => convert::dead_key(&tombstone),
        };
        Ok(Response::new(v1::ShowKeyResponse { key: Some(key) }))
    }

    async fn restrict(
        &self,
        request: Request<v1::RestrictKeyRequest>,
    ) -> Answer<v1::ChangeKeyResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let (app, id) = (self.0.clone(), request.key.clone());
        let restriction = restriction(request).map_err(status)?;
        let change = async move { app.restrict_key(by, &id, restriction).await };
        changed(self.0.to_its_end(change).await)
    }

    async fn pause(&self, request: Request<v1::PauseKeyRequest>) -> Answer<v1::ChangeKeyResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, id) = (self.0.clone(), request.into_inner().key);
        let change = async move { app.pause_key(by, &id).await };
        changed(self.0.to_its_end(change).await)
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeKeyRequest>,
    ) -> Answer<v1::ChangeKeyResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, id) = (self.0.clone(), request.into_inner().key);
        let change = async move { app.resume_key(by, &id).await };
        changed(self.0.to_its_end(change).await)
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Answer<v1::RevokeKeyResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, id) = (self.0.clone(), request.into_inner().key);
        let change = async move { app.revoke_key(by, &id).await };
        let revoked = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::RevokeKeyResponse {
            key: Some(convert::dead_key(&revoked.tombstone)),
            in_doubt: in_doubt(&revoked.in_doubt),
        }))
    }
}

/// The one form in which the secret of a key of ours leaves the daemon.
pub(super) fn handed_out(app: &App, issued: &Issued) -> v1::IssueKeyResponse {
    v1::IssueKeyResponse {
        key: Some(convert::key(&issued.view)),
        secret_access_key: issued.secret.expose().to_owned(),
        endpoint: app.gateway_url(),
        // With `auto`, boto3 does not fall back to SigV2.
        region: Region::AUTO.to_string(),
        buckets: issued.buckets.iter().map(ToString::to_string).collect(),
    }
}

fn changed(outcome: Result<Changed>) -> Answer<v1::ChangeKeyResponse> {
    let changed = outcome.map_err(status)?;
    Ok(Response::new(v1::ChangeKeyResponse {
        key: Some(convert::key(&changed.view)),
        in_doubt: in_doubt(&changed.in_doubt),
    }))
}

pub(super) fn in_doubt(changes: &[InDoubt]) -> Vec<v1::DoubtfulChange> {
    let changes = changes.iter().map(|change| v1::DoubtfulChange {
        operation: change.action.name().to_owned(),
        bucket: change.bucket.to_string(),
        key: change
            .key
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    });
    changes.collect()
}

fn wish(request: v1::IssueKeyRequest) -> Result<KeyWish> {
    Ok(KeyWish {
        connection: request.connection,
        label: convert::parse("label", &request.label)?,
        permission: convert::permission(request.permission)?,
        scope: Scope {
            buckets: names("bucket", &request.buckets)?.into_iter().collect(),
            prefixes: names("prefix", &request.prefixes)?,
            addresses: names("address range", &request.addresses)?,
        },
        expires_at: convert::time_given(request.expires_at)?,
    })
}

fn restriction(request: v1::RestrictKeyRequest) -> Result<Restriction> {
    use v1::restrict_key_request::Expiry;
    let permission = match request.permission() {
        v1::Permission::Unspecified => None,
        _ => Some(convert::permission(request.permission)?),
    };
    Ok(Restriction {
        label: convert::parse_given("label", &request.label)?,
        permission,
        buckets: given("bucket", request.buckets)?.map(|names| names.into_iter().collect()),
        prefixes: given("prefix", request.prefixes)?,
        addresses: given("address range", request.addresses)?,
        expires_at: match request.expiry {
            None | Some(Expiry::NeverExpires(false)) => None,
            Some(Expiry::NeverExpires(true)) => Some(None),
            Some(Expiry::ExpiresAt(time)) => Some(convert::time_given(Some(time))?),
        },
    })
}

fn given<T>(what: &str, list: Option<v1::Names>) -> Result<Option<Vec<T>>>
where
    T: FromStr + PartialEq,
    T::Err: Display,
{
    list.map(|list| names(what, &list.names)).transpose()
}

/// Each once, in the order given.
fn names<T>(what: &str, texts: &[String]) -> Result<Vec<T>>
where
    T: FromStr + PartialEq,
    T::Err: Display,
{
    if texts.len() > MOST_NAMES {
        let message = format!("{what}: a key takes {MOST_NAMES} of them at most");
        return Err(Error::new(Kind::Invalid, message));
    }
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        let name = convert::parse(&format!("{what} {text:?}"), text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
