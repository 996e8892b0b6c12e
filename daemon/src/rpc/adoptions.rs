//! `bascule.v1.Adoptions`.

use std::sync::Arc;

use bascule_domain::{
    adoption::{Layout, Original, State},
    connection::Location,
};
use bascule_proto::v1::{self, adoptions_server::Adoptions};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{asked, convert, keys, status::status};
use crate::app::{
    Access, AdoptionView, AdoptionWish, App, ConnectionState, Successor,
    error::{Error, Kind, Result},
};

pub(super) struct Service(pub(super) Arc<App>);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Adoptions for Service {
    async fn prepare(
        &self,
        request: Request<v1::PrepareAdoptionRequest>,
    ) -> Answer<v1::AdoptionResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let wish = wish(request.into_inner()).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.prepare_adoption(by, wish).await };
        one(self.0.to_its_end(change).await)
    }

    async fn settle(
        &self,
        request: Request<v1::SettleAdoptionRequest>,
    ) -> Answer<v1::AdoptionResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let outcome = outcome(&request.outcome).map_err(status)?;
        let layout = Some(request.layout).filter(|text| !text.is_empty());
        let layout = layout.map(layout_of).transpose().map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.settle_adoption(by, &request.id, outcome, layout).await };
        one(self.0.to_its_end(change).await)
    }

    async fn list(
        &self,
        request: Request<v1::ListAdoptionsRequest>,
    ) -> Answer<v1::ListAdoptionsResponse> {
        let of = request.into_inner().connection;
        let adoptions = self.0.list_adoptions(&of).await.map_err(status)?;
        Ok(Response::new(v1::ListAdoptionsResponse {
            adoptions: adoptions.into_iter().map(adoption).collect(),
        }))
    }

    async fn originals(
        &self,
        request: Request<v1::OriginalsRequest>,
    ) -> Answer<v1::OriginalsResponse> {
        let id = request.into_inner().id;
        let originals = self.0.originals(&id).await.map_err(status)?;
        let files = originals.iter().map(|file| v1::OriginalFile {
            path: file.path.as_str().to_owned(),
            content: file.content.to_vec(),
        });
        Ok(Response::new(v1::OriginalsResponse {
            files: files.collect(),
        }))
    }

    async fn access(&self, request: Request<v1::AccessRequest>) -> Answer<v1::AccessResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let consumer = convert::parse("consumer", &request.consumer).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.access(by, &request.connection, &consumer).await };
        let access = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(handed_out(&access)))
    }

    async fn successor(
        &self,
        request: Request<v1::SuccessorRequest>,
    ) -> Answer<v1::SuccessorResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        if request.look_only {
            let found = self.0.successor_of(&request.key).await.map_err(status)?;
            return Ok(Response::new(looked_at(found)));
        }
        let consumer = convert::parse("consumer", &request.consumer).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.hand_out_successor(by, &request.key, &consumer).await };
        let issued = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::SuccessorResponse {
            issued: issued.map(|issued| keys::handed_out(&self.0, &issued)),
            unfit: String::new(),
        }))
    }
}

fn looked_at(found: Option<Successor>) -> v1::SuccessorResponse {
    let unfit = found.as_ref().and_then(|found| found.unfit);
    v1::SuccessorResponse {
        issued: found.map(|found| v1::IssueKeyResponse {
            key: Some(convert::key(&found.view)),
            ..v1::IssueKeyResponse::default()
        }),
        unfit: unfit.map_or_else(String::new, |why| why.to_string()),
    }
}

/// The one form in which a connection's own credentials leave the daemon.
fn handed_out(access: &Access) -> v1::AccessResponse {
    let connection = &access.connection;
    let (endpoint, region, addressing) = match &connection.location {
        Location::Server {
            endpoint,
            region,
            addressing,
            ..
        } => (
            endpoint.to_string(),
            region.to_string(),
            convert::addressing(*addressing).to_owned(),
        ),
        Location::Folder { .. } => Default::default(),
    };
    v1::AccessResponse {
        credentials: Some(v1::Credentials {
            access_key_id: access.credentials.access_key_id.to_string(),
            secret_access_key: access.credentials.secret.expose().to_owned(),
        }),
        provider: convert::provider_told(connection.provider).into(),
        endpoint,
        region,
        addressing,
        buckets: connection.buckets.iter().map(ToString::to_string).collect(),
    }
}

fn one(outcome: Result<AdoptionView>) -> Answer<v1::AdoptionResponse> {
    Ok(Response::new(v1::AdoptionResponse {
        adoption: Some(adoption(outcome.map_err(status)?)),
    }))
}

fn adoption(view: AdoptionView) -> v1::Adoption {
    let (state, originals_kept) = (view.state().to_owned(), view.originals_kept());
    let adoption = view.adoption;
    v1::Adoption {
        id: adoption.id.to_string(),
        connection: view.connection,
        connection_id: adoption.connection.to_string(),
        key_id: adoption.key.to_string(),
        label: view.label,
        consumer: adoption.consumer.to_string(),
        state,
        replaces: adoption
            .replaces
            .map_or_else(String::new, |id| id.to_string()),
        layout: adoption.layout.as_str().to_owned(),
        paths: adoption
            .paths
            .iter()
            .map(|path| path.as_str().to_owned())
            .collect(),
        connection_state: match view.connection_state {
            ConnectionState::Living => "living",
            ConnectionState::Deleting => "deleting",
            ConnectionState::Deleted => "deleted",
        }
        .into(),
        originals_kept,
        prepared_at: Some(convert::time(adoption.prepared_at)),
        settled_at: adoption.settled_at.map(convert::time),
        rights: adoption.rights.as_ref().map(convert::rights),
    }
}

fn wish(request: v1::PrepareAdoptionRequest) -> Result<AdoptionWish> {
    // Wiped, whatever becomes of the request.
    let files: Vec<_> = request
        .files
        .into_iter()
        .map(|file| (file.path, Zeroizing::new(file.content)))
        .collect();
    let originals = files
        .into_iter()
        .map(|(path, content)| {
            let path = convert::parse("path", &path)?;
            Ok(Original { path, content })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(AdoptionWish {
        key: request.key,
        consumer: convert::parse("consumer", &request.consumer)?,
        layout: layout_of(request.layout)?,
        originals: originals
            .try_into()
            .map_err(|error| Error::invalid("files", error))?,
        replaces: Some(request.replaces).filter(|id| !id.is_empty()),
    })
}

fn layout_of(text: String) -> Result<Layout> {
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
        // The parser's error could quote the text.
        return Err(Error::new(Kind::Invalid, "layout: it is no JSON"));
    }
    Layout::new(text).map_err(|error| Error::invalid("layout", error))
}

fn outcome(text: &str) -> Result<State> {
    let outcome = text.parse().ok();
    let asked = outcome.filter(|outcome| !matches!(outcome, State::Prepared | State::Replaced));
    asked.ok_or_else(|| {
        Error::new(
            Kind::Invalid,
            format!("outcome: {text:?} is none of adopted, rolled-back, undone and ejected"),
        )
    })
}
