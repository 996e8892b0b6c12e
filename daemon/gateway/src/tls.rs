//! The certificate that TLS listeners show: read from files, and read again when those have
//! changed, at the next connection. It must never serve without the key's file being closed to
//! others, nor give a certificate up for one that does not work.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bascule_os::{FileIdentity, ForeignError, file_identity, read_foreign, read_foreign_secret};
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// No chain of certificates is longer.
const LONGEST_FILE: u64 = 256 * 1024;

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the files can't be read, or the key's can be read by others.
    #[error(transparent)]
    File(#[from] ForeignError),
    /// One of the files is not PEM.
    #[error("{} is not PEM", .path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and the key can't be used together")]
    Unusable(#[source] rustls::Error),
}

/// A certificate and its key, kept up to date with their files.
pub struct Certificate {
    files: Files,
    current: Mutex<Current>,
}

struct Files {
    chain: PathBuf,
    key: PathBuf,
}

type Identity = [Option<FileIdentity>; 2];

struct Current {
    /// What the files were when they were last tried, whether they worked or not.
    tried: Identity,
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// Reads a chain of certificates and its key, both PEM. Blocks.
    pub fn load(chain: PathBuf, key: PathBuf) -> Result<Self, CertificateError> {
        let files = Files { chain, key };
        // Before reading: a change meanwhile is then noticed at the next connection.
        let tried = files.identity();
        let config = files.read()?;
        Ok(Self {
            files,
            current: Mutex::new(Current { tried, config }),
        })
    }

    /// The configuration for the next connection. Blocks for as long as the files take.
    fn current(&self) -> Arc<ServerConfig> {
        let identity = self.files.identity();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.tried != identity {
            current.tried = identity;
            match self.files.read() {
                Ok(config) => {
                    current.config = config;
                    tracing::info!(file = %self.files.chain.display(), "the TLS certificate was replaced");
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the new TLS certificate can't be used, the former one stays; it is tried again when its files change"
                ),
            }
        }
        Arc::clone(&current.config)
    }

    /// Greets a client. The caller bounds how long that may take.
    pub(crate) async fn accept(
        self: Arc<Self>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = tokio::task::spawn_blocking(move || self.current())
            .await
            .map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Files {
    fn identity(&self) -> Identity {
        [file_identity(&self.chain), file_identity(&self.key)]
    }

    fn read(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let chain = read_foreign(&self.chain, LONGEST_FILE)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(not_pem(&self.chain))?;
        if chain.is_empty() {
            return Err(CertificateError::Empty(self.chain.clone()));
        }
        let mut text = read_foreign_secret(&self.key, LONGEST_FILE)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(not_pem(&self.key));
        text.fill(0);
        let key = key?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(CertificateError::Unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn not_pem(path: &Path) -> impl FnOnce(pem::Error) -> CertificateError {
    |source| CertificateError::Pem {
        path: path.to_owned(),
        source,
    }
}
