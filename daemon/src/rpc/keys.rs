//! `bascule.v1.Keys`.

use std::sync::Arc;

use bascule_domain::{
    endpoint::Region,
    key::{IpRule, Scope},
};
use bascule_gateway::InDoubt;
use bascule_proto::v1::{self, keys_server::Keys};
use tonic::{Request, Response, Status};

use super::{caller, convert, status::status};
use crate::app::{
    App, Issued, KeyWish,
    error::{Error, Result},
};

pub(super) struct Service(pub(super) Arc<App>);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Keys for Service {
    async fn issue(&self, request: Request<v1::IssueKeyRequest>) -> Answer<v1::IssueKeyResponse> {
        let by = caller(&request)?;
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
        let living = listed
            .living
            .iter()
            .map(|(key, name)| convert::key(key, name, self.0.last_used(key)));
        let keys = living
            .chain(listed.dead.iter().map(convert::dead_key))
            .collect();
        Ok(Response::new(v1::ListKeysResponse { keys }))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Answer<v1::RevokeKeyResponse> {
        let by = caller(&request)?;
        let (app, id) = (self.0.clone(), request.into_inner().access_key_id);
        let change = async move { app.revoke_key(by, &id).await };
        let revoked = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::RevokeKeyResponse {
            key: Some(convert::dead_key(&revoked.tombstone)),
            in_doubt: revoked.in_doubt.iter().map(doubtful).collect(),
        }))
    }
}

/// The one form in which a secret leaves the daemon.
pub(super) fn handed_out(app: &App, issued: &Issued) -> v1::IssueKeyResponse {
    v1::IssueKeyResponse {
        key: Some(convert::key(&issued.key, &issued.connection, None)),
        secret_access_key: issued.secret.expose().to_owned(),
        endpoint: app.gateway_url(),
        // With `auto`, boto3 does not fall back to SigV2.
        region: Region::AUTO.to_string(),
        buckets: issued.buckets.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn doubtful(change: &InDoubt) -> v1::DoubtfulChange {
    v1::DoubtfulChange {
        operation: change.action.name().to_owned(),
        bucket: change.bucket.to_string(),
        key: change
            .key
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

fn wish(request: v1::IssueKeyRequest) -> Result<KeyWish> {
    let buckets = request
        .buckets
        .iter()
        .map(|b| convert::parse("bucket", b))
        .collect::<Result<_>>()?;
    let prefixes = request
        .prefixes
        .iter()
        .map(|p| convert::parse("prefix", p))
        .collect::<Result<_>>()?;
    let addresses = request
        .addresses
        .iter()
        .map(|cidr| {
            cidr.parse()
                .map(IpRule)
                .map_err(|error| Error::invalid("address range", error))
        })
        .collect::<Result<_>>()?;
    Ok(KeyWish {
        connection: request.connection,
        label: convert::parse("label", &request.label)?,
        permission: convert::permission(request.permission)?,
        scope: Scope {
            buckets,
            prefixes,
            addresses,
        },
        expires_at: convert::time_given(request.expires_at)?,
    })
}
