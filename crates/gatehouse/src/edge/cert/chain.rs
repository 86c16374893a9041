//! A certificate with the chain above it, and what it says of itself.
//!
//! Why here: one from a handshake and one from a file are compared and told in the same words.
//!
//! Never here: whether to believe it.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::edge::chain::{misplaced, without_mark};

/// More is no chain but an attempt to keep us busy.
const LENGTH_MAX: usize = 16;
/// Digits of a fingerprint that tell two certificates apart at a glance.
const SHORT: usize = 16;

/// From the leaf up, without the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub ders: Vec<CertificateDer<'static>>,
    pub leaf: Leaf,
}

/// What the first certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// SHA-256 of its bytes, in hex.
    pub fingerprint: String,
    pub issuer: String,
    /// Host names and addresses that it is for.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Chain {
    pub(crate) fn of(ders: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        if ders.len() > LENGTH_MAX {
            return Err(format!("holds {} certificates, which is no chain", ders.len()));
        }
        let leaf = Leaf::of(ders.first().ok_or("holds no certificate")?)?;
        Ok(Self { ders, leaf })
    }

    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let text = without_mark(text);
        let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).take(LENGTH_MAX + 1).collect();
        let ders = ders.map_err(|error| format!("is not PEM: {error}"))?;
        match misplaced(&ders) {
            Some(what) => Err(what),
            None => Self::of(ders),
        }
    }

    /// Who issued whom, for people: `ai.example.com < R12 < ISRG Root X1`.
    pub(crate) fn path(&self) -> String {
        let mut path = vec![self.leaf.names.first().cloned().unwrap_or_else(|| "(no name)".to_owned())];
        for der in &self.ders {
            path.push(X509Certificate::from_der(der).map_or_else(
                |_| "(unreadable)".to_owned(),
                |(_, certificate)| name_of(certificate.issuer()),
            ));
        }
        path.join(" < ")
    }
}

impl Leaf {
    fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| format!("holds no certificate: {error}"))?;
        let at = |time: i64| {
            Timestamp::from_second(time).map_err(|_| "has a lifetime outside of all calendars".to_owned())
        };
        Ok(Self {
            fingerprint: hex(&Sha256::digest(der)),
            issuer: name_of(certificate.issuer()),
            names: names(&certificate),
            not_before: at(certificate.validity().not_before.timestamp())?,
            not_after: at(certificate.validity().not_after.timestamp())?,
        })
    }

    /// The beginning of the fingerprint.
    pub(crate) fn short(&self) -> &str {
        short(&self.fingerprint)
    }

    /// In one line, for people.
    pub(crate) fn told(&self) -> String {
        format!("{}, issued by {}, valid until {}", self.short(), self.issuer, self.not_after)
    }
}

pub(crate) fn short(fingerprint: &str) -> &str {
    fingerprint.get(..SHORT).unwrap_or(fingerprint)
}

/// The common name, or all of it where there is none.
fn name_of(name: &x509_parser::x509::X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|part| part.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let all = alternatives.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    all.iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|four| std::net::IpAddr::from(four).to_string());
    let sixteen = || <[u8; 16]>::try_from(bytes).map(|many| std::net::IpAddr::from(many).to_string());
    four.or_else(|_| sixteen()).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    /// A certificate for these names, signed by itself, with its key as PEM.
    pub(in crate::edge::cert) fn certificate(names: &[&str]) -> (Chain, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (Chain::of(vec![made.der().clone()]).unwrap(), key.serialize_pem())
    }

    #[test]
    fn what_a_certificate_says_of_itself() {
        let (chain, _) = certificate(&["AI.example.com", "127.0.0.1"]);
        assert_eq!(chain.leaf.names, ["ai.example.com", "127.0.0.1"]);
        assert_eq!((chain.leaf.fingerprint.len(), chain.leaf.short().len()), (64, 16));
        assert!(chain.leaf.not_before < chain.leaf.not_after);
        assert!(chain.path().starts_with("ai.example.com < "), "{}", chain.path());
    }

    #[test]
    fn what_is_no_certificate_says_so() {
        for (text, part) in [
            (&b""[..], "no certificate"),
            (b"hello", "no certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
            (b"-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n", "not PEM"),
        ] {
            let error = Chain::from_pem(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let (chain, _) = certificate(&["a.example.com"]);
        let many = vec![chain.ders[0].clone(); LENGTH_MAX + 1];
        assert!(Chain::of(many).unwrap_err().contains("no chain"));
    }
}
