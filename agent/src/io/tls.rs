//! TLS: whom we believe, and who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What the configuration says about TLS to one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// PEM certificates of the authorities that are believed; without, those of the system.
    pub ca: Option<PathBuf>,
    /// PEM certificate chain and private key that say who we are.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Files {
    /// A client configuration from what the files hold at this moment.
    ///
    /// # Errors
    /// [`TlsError`] names the file that is not what it should be.
    pub fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match &self.ca {
            Some(path) => believed(path)?,
            None => system()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?
            .with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                builder.with_client_auth_cert(certificates(chain)?, private(key)?).map_err(TlsError::Refused)?
            }
        };
        Ok(Arc::new(config))
    }
}

/// What the configuration says about TLS to those who call us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// PEM certificate chain, the leaf first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// PEM certificates of the authorities a caller's own certificate must come from; without, none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl ServerFiles {
    /// A server configuration from what the files hold at this moment.
    ///
    /// # Errors
    /// [`TlsError`] names the file that is not what it should be.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(believed(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|_| TlsError::Empty(path.clone()))?)
            }
        };
        builder
            .with_single_cert(certificates(&self.cert)?, private(&self.key)?)
            .map(Arc::new)
            .map_err(TlsError::Refused)
    }
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{path} does not hold {wanted} in PEM")]
    File {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// Why it does not.
        source: rustls::pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    /// The system believes nobody.
    #[error("this system has no certificate authorities; set ca_file")]
    NoRoots,
    /// What the files hold does not fit together.
    #[error("certificate and key do not fit")]
    Refused(#[source] rustls::Error),
}

impl TlsError {
    /// The whole story in one line.
    pub fn told(&self) -> String {
        let why = std::error::Error::source(self);
        why.map_or_else(|| self.to_string(), |why| format!("{self}: {why}"))
    }
}

fn believed(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path)?);
    if roots.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(roots) }
}

fn system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

fn private(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let broken = |source| TlsError::File { path: path.to_owned(), wanted: "a private key", source };
    PrivateKeyDer::from_pem_file(path).map_err(broken)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::File { path: path.to_owned(), wanted: "certificates", source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(broken)?.collect::<Result<_, _>>().map_err(broken)?;
    if chain.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(chain) }
}
