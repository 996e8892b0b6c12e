//! A real MinIO in a temporary folder, on ports the system chose.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bascule_domain::{endpoint::Endpoint, secret::Credentials};
use tokio::net::TcpSocket;

use crate::subject::credentials;

pub(crate) const ROOT_USER: &str = "conformance-root";
pub(crate) const ROOT_SECRET: &str = "conformance-secret-0123456789";
pub(crate) const REGION: &str = "eu-test-1";

/// A running server; dropped, it is gone.
pub(crate) struct MinioServer {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) endpoint: Endpoint,
    pub(crate) console: Endpoint,
    _ports: [TcpSocket; 2],
}

impl MinioServer {
    /// Starts one, with TLS and a region of its own if wanted. `None` says why not.
    pub(crate) async fn start(tls: bool) -> Option<Self> {
        let Some(binary) = binary() else {
            println!(
                "skipped: no MinIO binary (BASCULE_TEST_MINIO names none, and none is in the cache)"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs");
        fs::create_dir(&certs).unwrap();
        if tls && !certificate(&certs) {
            println!("skipped: no openssl to make a certificate with");
            return None;
        }
        let (held, held_console) = (unused_port(), unused_port());
        let (port, console) = (number(&held), number(&held_console));
        let mut command = Command::new(binary);
        command
            .arg("server")
            .arg(folder.path().join("data"))
            .args([
                "--address",
                &format!("127.0.0.1:{port}"),
                "--console-address",
                &format!("127.0.0.1:{console}"),
            ])
            .arg("--certs-dir")
            .arg(&certs)
            .env_clear()
            .env("HOME", folder.path())
            .env("MINIO_ROOT_USER", ROOT_USER)
            .env("MINIO_ROOT_PASSWORD", ROOT_SECRET)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if tls {
            command.env("MINIO_SITE_REGION", REGION);
        }
        let scheme = if tls { "https" } else { "http" };
        let mut server = Self {
            child: command.spawn().unwrap(),
            endpoint: format!("{scheme}://127.0.0.1:{port}").parse().unwrap(),
            console: format!("{scheme}://127.0.0.1:{console}").parse().unwrap(),
            folder,
            _ports: [held, held_console],
        };
        server.until_listening(port).await;
        server.until_listening(console).await;
        Some(server)
    }

    pub(crate) fn credentials(&self) -> Credentials {
        credentials(ROOT_USER, ROOT_SECRET)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("certs/public.crt")
    }

    async fn until_listening(&mut self, port: u16) {
        let patience = async {
            while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_err()
            {
                assert!(
                    self.child.try_wait().unwrap().is_none(),
                    "MinIO ended by itself"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), patience)
            .await
            .expect("MinIO listens");
    }
}

impl Drop for MinioServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of loopback where nobody listens. It is given to nobody else while this lives, and whoever is
/// told of it may listen there.
pub(crate) fn unused_port() -> TcpSocket {
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    held
}

pub(crate) fn number(port: &TcpSocket) -> u16 {
    port.local_addr().unwrap().port()
}

fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("BASCULE_TEST_MINIO") {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let found = fs::read_dir(cache.join("bascule-tests")).ok()?.flatten();
    found
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("minio-"))
        .map(|entry| entry.path().join("minio"))
        .find(|path| path.is_file())
}

fn certificate(folder: &Path) -> bool {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=bascule-test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(folder.join("private.key"))
        .arg("-out")
        .arg(folder.join("public.crt"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}
