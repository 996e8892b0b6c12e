//! One contract, and every adapter against its real server. What can't run here says so and why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests: a panic is a failure, and what is skipped is said"
)]

mod folder;
mod server;
mod subject;
mod suite;

use bascule_domain::provider::ProviderKind;

use crate::{server::MinioServer, subject::Subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local() {
    let folder = tempfile::tempdir().unwrap();
    let subject = Subject::local(folder.path());
    suite::conforms(&subject).await;
    suite::local_refuses_what_a_folder_can_not_hold(&subject).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio() {
    let Some(server) = MinioServer::start(false).await else {
        return;
    };
    let subject = Subject::server(ProviderKind::Minio, &server);
    suite::conforms(&subject).await;
    suite::failures_are_told_apart(&subject, &server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_compatible() {
    let Some(server) = MinioServer::start(false).await else {
        return;
    };
    suite::conforms(&Subject::server(ProviderKind::S3Compatible, &server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_with_a_private_certificate_and_a_region() {
    let Some(server) = MinioServer::start(true).await else {
        return;
    };
    suite::tls_and_region_failures_are_told_apart(&server).await;
}

#[test]
fn r2() {
    println!("skipped: no R2 account; defaults and answers are tested without a server");
}

#[test]
fn s3() {
    println!("skipped: no AWS account; defaults and answers are tested without a server");
}
