//! Certificates from one to a root, as they come out of a file or a handshake: whether they lead there, and where they do not.
//!
//! Why here: `cert check` turns a line red by it and `gatehouse up` warns, in the same words.
//!
//! Never here: names, the rest of a certificate's life.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::unbelieved::Unbelieved;

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

/// Whether it leads to one of the roots. Asked for a moment of its leaf's own life: how much is left of that is another question.
pub(crate) fn leads_to_root(
    ders: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: Timestamp,
) -> Result<(), Unbelieved> {
    let unbelieved = |error: &Error| Unbelieved::of(error, ders);
    let nothing = Error::NoCertificatesPresented;
    let (leaf, above) = ders.split_first().ok_or_else(|| unbelieved(&nothing))?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| unbelieved(&error))?;
    let (begins, ends) = life(leaf).ok_or_else(|| unbelieved(&nothing))?;
    let second = now.as_second().clamp(begins, ends.max(begins));
    let at = UnixTime::since_unix_epoch(Duration::from_secs(second.try_into().unwrap_or(0)));
    let algorithms = provider().signature_verification_algorithms.all;
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, roots, above, at, algorithms);
    verified.map_err(|error| match &error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            above.iter().find_map(|der| ended(der, second)).unwrap_or_else(|| unbelieved(&error))
        }
        error => unbelieved(error),
    })
}

fn ended(der: &CertificateDer<'_>, second: i64) -> Option<Unbelieved> {
    let (_, ends) = life(der)?;
    let on = Timestamp::from_second(ends).ok().filter(|_| ends < second)?;
    let what = format!(
        "a certificate of the chain, above the first, has ended: {}, on {}",
        name(der),
        on.strftime("%Y-%m-%d")
    );
    let fix =
        "get the CA's intermediate certificate of today, and put it into the place of the one that has ended";
    Some(Unbelieved { what, fix })
}

/// From which second to which.
fn life(der: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, read) = X509Certificate::from_der(der).ok()?;
    Some((read.validity().not_before.timestamp(), read.validity().not_after.timestamp()))
}

/// For a terminal, so without what a certificate may hide in it.
fn name(der: &CertificateDer<'_>) -> String {
    let Ok((_, read)) = X509Certificate::from_der(der) else { return "one that cannot be read".to_owned() };
    let common = read.subject().iter_common_name().next().and_then(|part| part.as_str().ok());
    let name = common.map_or_else(|| read.subject().to_string(), str::to_owned);
    name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect()
}

/// What is wrong with the order, where an authority's certificate stands before the one that it vouches for.
pub(crate) fn misplaced(ders: &[CertificateDer<'_>]) -> Option<String> {
    let is_authority =
        |der: &CertificateDer<'_>| X509Certificate::from_der(der).is_ok_and(|(_, read)| read.is_ca());
    let first = ders.first().filter(|first| is_authority(first))?;
    let own = ders.iter().skip(1).find(|der| !is_authority(der))?;
    Some(format!(
        "begins with the certificate of an authority ({}), and the one that is to be served ({}) stands below it: put that first",
        name(first),
        name(own)
    ))
}

/// Without the mark that editors of another system put before a text; nginx passes it over as well.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    pub(in crate::edge) fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    /// A root's store, and a leaf below an authority below it, which lives until the end of a year.
    fn three(middle_ends: i32) -> (RootCertStore, Vec<CertificateDer<'static>>) {
        let key = || KeyPair::generate().unwrap();
        let root_key = key();
        let root = authority("root").self_signed(&root_key).unwrap();
        let mut middle = authority("middle");
        middle.not_after = date_time_ymd(middle_ends, 12, 31);
        let middle_key = key();
        let signed = middle.signed_by(&middle_key, &Issuer::new(authority("root"), root_key)).unwrap();
        let leaf = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key(), &Issuer::new(middle, middle_key)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        (roots, vec![leaf.der().clone(), signed.der().clone()])
    }

    #[test]
    fn one_that_has_ended_above_is_named() {
        let (roots, ders) = three(2020);
        let why = leads_to_root(&ders, &roots, Timestamp::now()).unwrap_err();
        assert!(why.what.ends_with("has ended: middle, on 2020-12-31"), "{why:?}");
        assert!(why.fix.contains("of today"));
        let (roots, ders) = three(4000);
        assert_eq!(leads_to_root(&ders, &roots, Timestamp::now()), Ok(()));
        let why = leads_to_root(&ders[..1], &roots, Timestamp::now()).unwrap_err();
        assert!(why.what.starts_with("the chain ends with the certificate itself"), "{why:?}");
    }

    #[test]
    fn an_authority_before_its_certificate_is_misplaced() {
        let (_, mut ders) = three(4000);
        assert_eq!(misplaced(&ders), None);
        assert_eq!(misplaced(&ders[1..]), None, "a root of its own may be served");
        ders.reverse();
        assert!(misplaced(&ders).unwrap().contains("authority (middle)"));
        assert_eq!(without_mark(b"\xef\xbb\xbf-----"), b"-----");
    }
}
