//! Why a certificate's chain is not believed, in an operator's words, and what mends it.
//!
//! Why here: the certificate's check and the site's judge the same chains, and a library's own words (`CaUsedAsEndEntity`)
//! send nobody to the right place.
//!
//! Never here: judging chains, names, the leaf's own dates: those are lines of their own.

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What mends a chain that misses something, or of which a part is not good.
const CHAIN: &str = "put the CA's intermediate certificates below the certificate in the chain's file (certbot's `fullchain.pem` has them); name the root of a private CA in `edge.acme.ca_file`, or `--ca-file` of the check";
const OWN_CA: &str = "make one that is no CA (`openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 365 -subj /CN=NAME -addext subjectAltName=DNS:NAME -addext basicConstraints=critical,CA:FALSE`), or have a CA of your own sign one; `gatehouse edge cert` gets a public one";

/// Why a chain is not believed, in an operator's words, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unbelieved {
    pub what: String,
    pub fix: &'static str,
}

impl Unbelieved {
    /// `sent`: from the leaf up. The moment it was judged at is one of the leaf's own life.
    pub(crate) fn of(error: &Error, sent: &[CertificateDer<'_>]) -> Self {
        let says = |what: &str, fix| Self { what: what.to_owned(), fix };
        // Asked first: such a one is refused whoever has signed it.
        if sent.first().is_some_and(is_ca) {
            return says(
                "the certificate is a CA's own (basicConstraints CA:TRUE, as `openssl req -x509` makes it by itself), and clients take none of those for a server's",
                OWN_CA,
            );
        }
        let Error::InvalidCertificate(reason) = error else { return says(&error.to_string(), CHAIN) };
        match reason {
            CertificateError::UnknownIssuer if sent.len() < 2 => says(
                "the chain ends with the certificate itself: what its issuer says about itself is missing, or that is a root that is not known here",
                CHAIN,
            ),
            CertificateError::UnknownIssuer => {
                says("the chain ends at a root that this machine does not know", CHAIN)
            }
            CertificateError::BadSignature => {
                says("a certificate of the chain was not signed by the one above it", CHAIN)
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                says("a certificate of the chain, above the first, has expired", CHAIN)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                says("a certificate of the chain, above the first, is not valid yet", CHAIN)
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => says(
                "the certificate is not for servers (its extendedKeyUsage lacks serverAuth)",
                "ask the CA for a server's certificate",
            ),
            _ => says(&error.to_string(), CHAIN),
        }
    }
}

fn is_ca(leaf: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| leaf.is_ca())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_reason_is_in_words() {
        use CertificateError as Why;
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["ai.example.com".to_owned()]).unwrap();
        let leaf = leaf.self_signed(&key).unwrap().der().clone();
        for (why, word) in [
            (Why::UnknownIssuer, "does not know"),
            (Why::Expired, "has expired"),
            (Why::NotValidYet, "not valid yet"),
            (Why::BadSignature, "not signed"),
            (Why::InvalidPurpose, "not for servers"),
        ] {
            let sent = [leaf.clone(), leaf.clone()];
            let said = Unbelieved::of(&Error::InvalidCertificate(why), &sent).what;
            assert!(said.contains(word) && !said.contains("Error"), "{said}");
        }
    }
}
