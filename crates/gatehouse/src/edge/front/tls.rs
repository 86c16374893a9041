//! TLS as browsers of the last years speak it: which versions, which ciphers, which names.
//!
//! Why here: Mozilla's intermediate profile, as one place to check. The library's own suites are exactly the six of it for
//! TLS 1.2 and the three of TLS 1.3; they are named nevertheless, so that a new one of its does not change what is served.
//!
//! Never here: files, certificates' checks.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, NamedGroup, ServerConfig};

use super::bounds;
use crate::config::edge::Name;

const SUITES: [CipherSuite; 9] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

const GROUPS: [NamedGroup; 3] = [NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];

pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// A TLS record: fatal alert, `unrecognized_name`.
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The certificate in force; connections that have begun keep theirs.
#[derive(Default)]
pub(crate) struct Certificate(RwLock<Option<Arc<CertifiedKey>>>);

impl Certificate {
    pub(super) fn put(&self, key: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is one yet.
    pub(super) fn is_there(&self) -> bool {
        self.current().is_some()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Certificate")
    }
}

/// Which certificate a client gets: the one, for our names.
#[derive(Debug)]
struct ByName {
    names: Vec<Name>,
    certificate: Arc<Certificate>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        is_ours(hello.server_name(), &self.names).then(|| self.certificate.current()).flatten()
    }
}

/// A client that names nobody wants nobody here.
pub(super) fn is_ours(stated: Option<&str>, names: &[Name]) -> bool {
    stated.is_some_and(|stated| names.iter().any(|name| name.as_str().eq_ignore_ascii_case(stated)))
}

/// The suites and groups of the profile.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| SUITES.contains(&suite.suite()));
    provider.kx_groups.retain(|group| GROUPS.contains(&group.name()));
    provider
}

pub(super) fn config(
    names: &[Name],
    certificate: &Arc<Certificate>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let by_name = ByName { names: names.to_vec(), certificate: Arc::clone(certificate) };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    // Sessions are kept here and not in tickets, whose one key would open all of them.
    config.session_storage = ServerSessionMemoryCache::new(bounds::SESSIONS);
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_served_whole_and_nothing_else() {
        let provider = provider();
        let mut suites: Vec<_> = provider.cipher_suites.iter().map(|suite| suite.suite()).collect();
        suites.sort_unstable_by_key(|suite| u16::from(*suite));
        let mut wanted = SUITES.to_vec();
        wanted.sort_unstable_by_key(|suite| u16::from(*suite));
        assert_eq!(suites, wanted);
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, GROUPS);
    }

    #[test]
    fn names_are_ours_or_nobody_s() {
        let names = [Name::parse("ai.example.com").unwrap()];
        assert!(is_ours(Some("ai.example.com"), &names) && is_ours(Some("AI.example.com"), &names));
        for stated in
            [None, Some("example.com"), Some("x.ai.example.com"), Some("ai.example.com.evil.example")]
        {
            assert!(!is_ours(stated, &names), "{stated:?}");
        }
    }

    #[test]
    fn without_a_certificate_there_is_a_configuration_already() {
        let certificate = Arc::new(Certificate::default());
        assert!(!certificate.is_there());
        let config = config(&[Name::parse("ai.example.com").unwrap()], &certificate).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.ticketer.enabled());
    }
}
