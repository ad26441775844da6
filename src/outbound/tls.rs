//! TLS towards others: TLS 1.2 and 1.3 with the system's root certificates, so that a private authority only has to be
//! known to the system (or to `SSL_CERT_FILE`, `SSL_CERT_DIR`).

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// What is made once, because reading the certificates takes a while.
pub(super) struct Tls {
    /// For the connector.
    pub(super) config: ClientConfig,
    /// Why no certificate can be trusted, where none can. Plain http goes on without.
    pub(super) broken: Option<String>,
}

impl Tls {
    pub(super) fn new() -> Result<Tls, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let (builder, broken) = match Verifier::new(provider) {
            Ok(verifier) => (builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)), None),
            // An image without certificates may still call http.
            Err(e) => (builder.with_root_certificates(RootCertStore::empty()), Some(e.to_string())),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { config, broken })
    }
}
