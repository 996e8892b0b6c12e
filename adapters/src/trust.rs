//! Which servers are trusted: those of the platform's authorities and of an extra file. A server
//! may also present a certificate that stands in that file itself, which is how people set up a
//! server of their own. Names and dates are always checked; there is no way to switch this off.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

/// Why a transport can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The file with the extra certificate authority can't be read.
    #[error("the CA file {} can't be read", path.display())]
    ExtraCaUnreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no certificate, or a broken one.
    #[error("the CA file {} holds no usable PEM certificate", path.display())]
    ExtraCaInvalid {
        /// Which file.
        path: PathBuf,
    },
    /// This machine has no certificate authorities, and no extra one was given.
    #[error(
        "this machine has no certificate authorities to trust: install the ca-certificates package or give a CA file"
    )]
    NoRoots,
    /// The TLS library refuses to start.
    #[error("TLS can't be set up")]
    Library(#[source] rustls::Error),
    /// The certificate verifier refuses to start.
    #[error("certificates can't be verified")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
}

/// The configuration for one endpoint. Nothing is read for an endpoint without TLS.
pub(crate) fn tls_config(
    needed: bool,
    extra_ca: Option<&Path>,
) -> Result<rustls::ClientConfig, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsSetupError::Library)?;
    if !needed {
        return Ok(builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let named = extra_ca
        .map(|path| add_extra_ca(&mut roots, path))
        .transpose()?
        .unwrap_or_default();
    if roots.is_empty() {
        return Err(TlsSetupError::NoRoots);
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(TlsSetupError::Verifier)?;
    let verifier: Arc<dyn ServerCertVerifier> = if named.is_empty() {
        verifier
    } else {
        Arc::new(NamedOrIssued {
            named,
            issued: verifier,
        })
    };
    // "Dangerous" because of what a verifier could leave out; this one only adds a way to fail
    // less for certificates that the user named.
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn add_extra_ca(
    roots: &mut RootCertStore,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let pem = fs::read(path).map_err(|source| TlsSetupError::ExtraCaUnreadable {
        path: path.into(),
        source,
    })?;
    let invalid = || TlsSetupError::ExtraCaInvalid { path: path.into() };
    let mut named = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| invalid())?;
        roots.add(certificate.clone()).map_err(|_| invalid())?;
        named.push(certificate);
    }
    if named.is_empty() {
        Err(invalid())
    } else {
        Ok(named)
    }
}

/// Accepts what the authorities issued, and a certificate authority's own certificate if it is
/// one of the named ones. `openssl req -x509` makes such certificates.
#[derive(Debug)]
struct NamedOrIssued {
    named: Vec<CertificateDer<'static>>,
    issued: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for NamedOrIssued {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let outcome = self.issued.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match outcome {
            // By the time this is found, the dates were found to be right; the name was not
            // looked at yet.
            Err(error) if is_authority(&error) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued.supported_verify_schemes()
    }
}

/// Whether the only thing wrong is that the certificate is an authority's.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
    else {
        return false;
    };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}
