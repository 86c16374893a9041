//! Whether a chain leads to a root that is trusted here, whom it is for, and whose key it holds.
//!
//! Why here: these are judged apart from each other and from the calendar, so that one fault turns one line red.
//!
//! Never here: connections.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::chain::Chain;
use super::disk::Key;
use crate::edge::unbelieved::Unbelieved;

/// Every use of TLS here has this one.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The system's roots, and those of a private CA's file.
pub(crate) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Single unusable roots are no reason to have none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let shown = file.display();
        let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let all = all.map_err(|error| format!("`edge.acme.ca_file` {shown} cannot be read: {error}"))?;
        if roots.add_parsable_certificates(all).0 == 0 {
            return Err(format!("`edge.acme.ca_file` {shown} holds no root"));
        }
    }
    match roots.is_empty() {
        true => Err("this system has no roots: install ca-certificates".to_owned()),
        false => Ok(roots),
    }
}

/// Whether a file's roots are all known to the system, to which other programs listen.
pub(crate) fn system_trusts(file: &Path) -> Result<bool, String> {
    let known = rustls_native_certs::load_native_certs().certs;
    let own = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let own = own.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(!own.is_empty() && own.iter().all(|root| known.contains(root)))
}

/// Whether it leads to one of the roots. Asked for a moment of its leaf's own life: how much is left of that is another question.
pub(crate) fn leads_to_root(chain: &Chain, roots: &RootCertStore, now: Timestamp) -> Result<(), Unbelieved> {
    let at = now.clamp(chain.leaf.not_before, chain.leaf.not_after);
    let at =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().try_into().unwrap_or(0)));
    let above = chain.ders.get(1..).unwrap_or_default();
    let algorithms = provider().signature_verification_algorithms.all;
    let verified = parsed(chain)
        .and_then(|leaf| verify_server_cert_signed_by_trust_anchor(&leaf, roots, above, at, algorithms));
    verified.map_err(|error| Unbelieved::of(&error, &chain.ders))
}

/// Whether a browser that asks for the name takes it.
pub(crate) fn is_for(chain: &Chain, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name.to_owned()) else { return false };
    parsed(chain).and_then(|leaf| verify_server_name(&leaf, &name)).is_ok()
}

/// Whether the key is the one that the certificate speaks of.
pub(crate) fn belongs(chain: &Chain, key: &Key) -> Result<(), String> {
    match CertifiedKey::from_der(chain.ders.clone(), key.der.clone_key(), &provider()) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err("the key is another one's".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn parsed(chain: &Chain) -> Result<ParsedCertificate<'_>, Error> {
    let leaf = chain.ders.first().ok_or(Error::NoCertificatesPresented)?;
    ParsedCertificate::try_from(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::edge::CertificateFiles;
    use crate::edge::cert::chain::tests::certificate;
    use crate::edge::cert::disk::Disk;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    fn key(pem: &str) -> Key {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        std::fs::write(&file, pem).unwrap();
        Disk::read(&CertificateFiles { chain: file.clone(), key: file }).key.unwrap()
    }

    #[test]
    fn a_key_belongs_to_one_certificate() {
        let ((one, mine), (_, other)) = (certificate(&["a.example.com"]), certificate(&["a.example.com"]));
        assert_eq!(belongs(&one, &key(&mine)), Ok(()));
        assert!(belongs(&one, &key(&other)).unwrap_err().contains("another"));
    }

    #[test]
    fn names_are_compared_as_browsers_do() {
        let (chain, _) = certificate(&["*.example.com", "localhost"]);
        for (name, good) in [
            ("ai.example.com", true),
            ("AI.example.com", true),
            ("example.com", false),
            ("a.b.example.com", false),
            ("localhost", true),
            ("other.example.org", false),
        ] {
            assert_eq!(is_for(&chain, name), good, "{name}");
        }
    }

    /// A root, an authority below it, and a leaf below that.
    fn three(name: &str) -> (RootCertStore, Vec<CertificateDer<'static>>) {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let (root_key, middle_key, leaf_key) =
            (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority(name).self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority(name), root_key);
        let middle = authority("middle").signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::new(authority("middle"), middle_key);
        let leaf = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &middle_issuer).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        (roots, vec![leaf.der().clone(), middle.der().clone()])
    }

    #[test]
    fn a_chain_leads_to_a_root_or_says_where_it_ends() {
        let (roots, ders) = three("root");
        let now = Timestamp::now();
        let whole = Chain::of(ders.clone()).unwrap();
        assert_eq!(leads_to_root(&whole, &roots, now), Ok(()));
        let alone = Chain::of(ders[..1].to_vec()).unwrap();
        assert!(leads_to_root(&alone, &roots, now).unwrap_err().what.contains("itself"));
        for (other, part) in [("another", "does not know"), ("root", "not signed")] {
            let (others, _) = three(other);
            let said = leads_to_root(&whole, &others, now).unwrap_err().what;
            assert!(said.contains(part), "{said}");
        }
        assert!(leads_to_root(&alone, &roots, now).unwrap_err().fix.contains("intermediate"));
        // The calendar is another line's.
        let later = whole.leaf.not_after + jiff::SignedDuration::from_hours(24);
        assert_eq!(leads_to_root(&whole, &roots, later), Ok(()));
    }

    /// `openssl req -x509` makes a CA unless told otherwise, and that is what people have.
    #[test]
    fn a_ca_of_its_own_is_told_apart_from_a_chain_that_misses_something() {
        for (kind, good) in [(IsCa::Ca(BasicConstraints::Unconstrained), false), (IsCa::ExplicitNoCa, true)] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec!["ai.example.com".to_owned()]).unwrap();
            params.is_ca = kind;
            let der = params.self_signed(&key).unwrap().der().clone();
            let mut roots = RootCertStore::empty();
            roots.add(der.clone()).unwrap();
            let said = leads_to_root(&Chain::of(vec![der]).unwrap(), &roots, Timestamp::now());
            match said {
                Ok(()) => assert!(good),
                Err(why) => {
                    assert!(!good && why.what.contains("CA:TRUE") && why.fix.contains("CA:FALSE"), "{why:?}");
                }
            }
        }
    }
}
