//! The gRPC edge: parses requests into values once, calls the verbs, maps results and errors back.
//! No rule lives here, and nothing outside of this folder names tonic.

mod adoptions;
mod alerts;
mod audit;
mod connections;
mod convert;
mod deletions;
pub(crate) mod findings;
mod keys;
mod leaks;
mod manifests;
mod rotations;
pub(crate) mod socket;
mod status;
mod system;
mod usage;

pub(crate) use system::families;

use std::sync::Arc;

use bascule_domain::audit::{Asked, Caller};
use bascule_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    transport::{Server, server::UdsConnectInfo},
};

use crate::app::App;

/// Serves until stopped, then lets open calls end.
pub(crate) async fn serve(
    app: Arc<App>,
    peers: socket::Peers,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<v1::connections_server::ConnectionsServer<connections::Service>>()
        .await;
    reporter
        .set_serving::<v1::keys_server::KeysServer<keys::Service>>()
        .await;
    reporter
        .set_serving::<v1::rotations_server::RotationsServer<rotations::Service>>()
        .await;
    reporter
        .set_serving::<v1::leaks_server::LeaksServer<leaks::Service>>()
        .await;
    reporter
        .set_serving::<v1::adoptions_server::AdoptionsServer<adoptions::Service>>()
        .await;
    reporter
        .set_serving::<v1::deletions_server::DeletionsServer<deletions::Service>>()
        .await;
    reporter
        .set_serving::<v1::findings_server::FindingsServer<findings::Service>>()
        .await;
    reporter
        .set_serving::<v1::usage_server::UsageServer<usage::Service>>()
        .await;
    reporter
        .set_serving::<v1::system_server::SystemServer<system::Service>>()
        .await;
    reporter
        .set_serving::<v1::audit_server::AuditServer<audit::Service>>()
        .await;
    reporter
        .set_serving::<v1::alerts_server::AlertsServer<alerts::Service>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bascule_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Server::builder()
        .add_service(health)
        .add_service(reflection)
        .add_service(v1::connections_server::ConnectionsServer::new(
            connections::Service(app.clone()),
        ))
        .add_service(v1::keys_server::KeysServer::new(keys::Service(app.clone())))
        .add_service(v1::rotations_server::RotationsServer::new(
            rotations::Service(app.clone()),
        ))
        .add_service(v1::leaks_server::LeaksServer::new(leaks::Service(
            app.clone(),
        )))
        .add_service(
            v1::adoptions_server::AdoptionsServer::new(adoptions::Service(app.clone()))
                .max_decoding_message_size(bascule_proto::LARGEST_REQUEST),
        )
        .add_service(v1::deletions_server::DeletionsServer::new(
            deletions::Service {
                app: app.clone(),
                stop: stop.clone(),
            },
        ))
        .add_service(v1::findings_server::FindingsServer::new(findings::Service(
            app.clone(),
        )))
        .add_service(v1::alerts_server::AlertsServer::new(alerts::Service(
            app.clone(),
        )))
        .add_service(v1::audit_server::AuditServer::new(audit::Service(
            app.clone(),
        )))
        .add_service(v1::usage_server::UsageServer::new(usage::Service {
            app: app.clone(),
            stop: stop.clone(),
        }))
        .add_service(v1::system_server::SystemServer::new(system::Service(app)))
        .serve_with_incoming_shutdown(Box::pin(peers.admitted()), stop.cancelled_owned())
        .await?;
    Ok(())
}

/// Who calls, as the socket tells it, and why, in the caller's words; an empty reason is none.
fn asked<T>(request: &Request<T>, reason: &str) -> Result<Asked, Status> {
    let peer = request
        .extensions()
        .get::<UdsConnectInfo>()
        .and_then(|info| info.peer_cred)
        .ok_or_else(|| Status::permission_denied("the system does not tell who calls"))?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    let parent = pid.and_then(bascule_os::parent_of);
    Ok(Asked {
        by: Caller {
            uid: peer.uid(),
            pid,
            program: pid.and_then(bascule_os::command_of),
            parent: parent.and_then(bascule_os::command_of),
        },
        reason: convert::parse_given("reason", reason).map_err(status::status)?,
    })
}
