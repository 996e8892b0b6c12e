//! `bascule.v1.Connections`.

use std::{path::PathBuf, pin::Pin, sync::Arc};

use bascule_adapters::BrowseItem;
use bascule_domain::{
    connection::{Buckets, CARD_VERSION, ReconnectCard},
    endpoint::Addressing,
    names::{BucketName, ConnectionName},
};
use bascule_proto::v1::{self, connections_server::Connections};
use futures_util::Stream;
use tonic::{Request, Response, Status};

use super::{asked, convert, status::status};
use crate::app::{
    App, Level, Options, Place, Wish,
    error::{Error, Kind, Result},
};

pub(super) struct Service(pub(super) Arc<App>);

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl Connections for Service {
    async fn connect(&self, request: Request<v1::ConnectRequest>) -> Answer<v1::ConnectResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let wish = wish(request.into_inner()).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.connect(by, wish).await };
        let (view, probe) = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::ConnectResponse {
            connection: Some(convert::connection(&view)),
            probe: Some(convert::probe(&probe)),
        }))
    }

    async fn list(
        &self,
        _: Request<v1::ListConnectionsRequest>,
    ) -> Answer<v1::ListConnectionsResponse> {
        let connections = self.0.list().iter().map(convert::connection).collect();
        Ok(Response::new(v1::ListConnectionsResponse { connections }))
    }

    async fn show(
        &self,
        request: Request<v1::ShowConnectionRequest>,
    ) -> Answer<v1::ShowConnectionResponse> {
        let (view, keys) = self.0.show(&request.into_inner().name).map_err(status)?;
        Ok(Response::new(v1::ShowConnectionResponse {
            connection: Some(convert::connection(&view)),
            keys: keys.iter().map(convert::key).collect(),
            gateway: self.0.gateway_url(),
        }))
    }

    async fn rename(&self, request: Request<v1::RenameRequest>) -> Answer<v1::RenameResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let new = convert::parse("new name", &request.new_name).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.rename(by, &request.old_name, new).await };
        let view = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::RenameResponse {
            connection: Some(convert::connection(&view)),
        }))
    }

    async fn limit(&self, request: Request<v1::LimitRequest>) -> Answer<v1::LimitResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let wish = convert::limits(&request).map_err(status)?;
        let app = self.0.clone();
        let change = async move { app.limit(by, &request.name, wish).await };
        let view = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::LimitResponse {
            connection: Some(convert::connection(&view)),
        }))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseConnectionRequest>,
    ) -> Answer<v1::PauseConnectionResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, name) = (self.0.clone(), request.into_inner().name);
        let change = async move { app.pause(by, &name).await };
        let view = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::PauseConnectionResponse {
            connection: Some(convert::connection(&view)),
        }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeConnectionRequest>,
    ) -> Answer<v1::ResumeConnectionResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let (app, name) = (self.0.clone(), request.into_inner().name);
        let change = async move { app.resume(by, &name).await };
        let view = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::ResumeConnectionResponse {
            connection: Some(convert::connection(&view)),
        }))
    }

    async fn replace_credentials(
        &self,
        request: Request<v1::ReplaceCredentialsRequest>,
    ) -> Answer<v1::ReplaceCredentialsResponse> {
        let by = asked(&request, &request.get_ref().reason)?;
        let request = request.into_inner();
        let credentials = convert::credentials(request.credentials)
            .and_then(|given| {
                given.ok_or_else(|| Error::new(Kind::Invalid, "no credentials were given"))
            })
            .map_err(status)?;
        let app = self.0.clone();
        let change = async move {
            app.replace_credentials(by, &request.name, credentials, request.allow_leaked)
                .await
        };
        let (view, probe) = self.0.to_its_end(change).await.map_err(status)?;
        Ok(Response::new(v1::ReplaceCredentialsResponse {
            connection: Some(convert::connection(&view)),
            probe: Some(convert::probe(&probe)),
        }))
    }

    type BrowseStream =
        Pin<Box<dyn Stream<Item = std::result::Result<v1::BrowseResponse, Status>> + Send>>;

    async fn browse(&self, request: Request<v1::BrowseRequest>) -> Answer<Self::BrowseStream> {
        let request = request.into_inner();
        let bucket: Option<BucketName> =
            convert::parse_given("bucket", &request.bucket).map_err(status)?;
        let level = self
            .0
            .ls(&request.name, bucket.as_ref(), &request.prefix)
            .map_err(status)?;
        let stream: Self::BrowseStream = match level {
            Level::Buckets(buckets) => {
                let entries = buckets
                    .iter()
                    .map(|bucket| entry(v1::browse_entry::Entry::Bucket(bucket.to_string())));
                let response = v1::BrowseResponse {
                    entries: entries.collect(),
                };
                Box::pin(tokio_stream::once(Ok(response)))
            }
            Level::Objects(browser) => Box::pin(futures_util::stream::unfold(
                Some(browser),
                |browser| async {
                    let mut browser = browser?;
                    match browser.next_page().await {
                        Ok(Some(page)) => {
                            let entries = page.into_iter().map(browse_item).collect();
                            Some((Ok(v1::BrowseResponse { entries }), Some(browser)))
                        }
                        Ok(None) => None,
                        Err(error) => {
                            let error = Error::new(Kind::Provider, error.to_string());
                            Some((Err(status(error)), None))
                        }
                    }
                },
            )),
        };
        Ok(Response::new(stream))
    }

    async fn reconnect_card(
        &self,
        request: Request<v1::ReconnectCardRequest>,
    ) -> Answer<v1::ReconnectCardResponse> {
        let by = asked(&request, "")?;
        let name = request.into_inner().name;
        let app = self.0.clone();
        let change = async move { app.reconnect_card(by, &name).await };
        let card = self.0.to_its_end(change).await.map_err(status)?;
        let card = serde_json::to_string_pretty(&card).map_err(|error| {
            status(Error::new(
                Kind::Invalid,
                format!("the card has no JSON form: {error}"),
            ))
        })?;
        Ok(Response::new(v1::ReconnectCardResponse { card }))
    }
}

fn entry(entry: v1::browse_entry::Entry) -> v1::BrowseEntry {
    v1::BrowseEntry { entry: Some(entry) }
}

fn browse_item(item: BrowseItem) -> v1::BrowseEntry {
    entry(match item {
        BrowseItem::Prefix(prefix) => v1::browse_entry::Entry::Prefix(prefix),
        BrowseItem::Object {
            entry: object,
            last_modified,
        } => v1::browse_entry::Entry::Object(v1::BrowseObject {
            key: object.key.to_string(),
            size: object.size,
            etag: object.etag,
            last_modified: last_modified
                .map(|time| time.to_string())
                .unwrap_or_default(),
        }),
    })
}

/// Parses where a connection is wanted.
pub(super) fn wish(request: v1::ConnectRequest) -> Result<Wish> {
    let name: ConnectionName = convert::parse("connection name", &request.name)?;
    let credentials = convert::credentials(request.credentials)?;
    let allow_leaked = request.allow_leaked;
    if !request.card.is_empty() {
        let said = request.provider != 0
            || !request.buckets.is_empty()
            || [
                &request.endpoint,
                &request.region,
                &request.account_id,
                &request.path,
            ]
            .iter()
            .any(|s| !s.is_empty());
        if said {
            return Err(Error::new(
                Kind::Invalid,
                "a card says provider, buckets and address; leave those options out",
            ));
        }
        let card: ReconnectCard = serde_json::from_str(&request.card).map_err(|error| {
            Error::invalid("the reconnect card", error)
                .next("bascule reconnect-card NAME writes one")
        })?;
        if card.bascule_card != CARD_VERSION {
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "the reconnect card has version {}, this release reads {CARD_VERSION}",
                    card.bascule_card
                ),
            ));
        }
        return Ok(Wish {
            name,
            credentials,
            allow_leaked,
            place: Place::Card(Box::new(card)),
        });
    }
    let provider = convert::provider(request.provider)?;
    let buckets = request
        .buckets
        .iter()
        .map(|bucket| convert::parse(&format!("bucket {bucket:?}"), bucket))
        .collect::<Result<Vec<BucketName>>>()?;
    let buckets = Buckets::try_from(buckets).map_err(|error| Error::invalid("--bucket", error))?;
    let given_path = |text: String| (!text.is_empty()).then(|| PathBuf::from(text));
    let options = Options {
        endpoint: convert::parse_given("endpoint", &request.endpoint)?,
        region: convert::parse_given("region", &request.region)?,
        account_id: (!request.account_id.is_empty()).then_some(request.account_id),
        path: given_path(request.path),
        addressing: match request.addressing.as_str() {
            "" => None,
            "path" => Some(Addressing::Path),
            "virtual-host" => Some(Addressing::VirtualHost),
            _ => {
                return Err(Error::new(
                    Kind::Invalid,
                    "addressing is path or virtual-host",
                ));
            }
        },
        extra_ca: given_path(request.extra_ca),
        allow_http: request.allow_http,
        allow_link_local: request.allow_link_local,
    };
    Ok(Wish {
        name,
        credentials,
        allow_leaked,
        place: Place::Said {
            provider,
            buckets,
            options: Box::new(options),
        },
    })
}
