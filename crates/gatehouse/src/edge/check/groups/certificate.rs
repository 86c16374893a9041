//! The certificate as it is served.
//!
//! Why here: a browser would go no further; the check judges it and goes on.
//!
//! Never here: files on the disk, renewal; `gatehouse cert check` compares those.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::edge::check::facts::{Said, Verdict};
use crate::edge::check::probe::Sni;
use crate::edge::check::{Asking, Context};
use crate::edge::life::{Life, judge, span};
use crate::edge::site::Site;
use crate::edge::unbelieved::Unbelieved;

pub(super) async fn look(context: &Context<'_>) -> Said {
    const IDS: [&str; 3] = ["cert.chain", "cert.name", "cert.dates"];
    let skip = |why: &str| IDS.iter().map(|id| (*id, Verdict::skip(why))).collect::<Said>();
    if !context.door.tls {
        return skip("the site is not encrypted: see tls.on");
    }
    let served = match context.door.tls(Sni::Own, &[], rustls::ALL_VERSIONS, None).await {
        Ok(open) => open.wire.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default(),
        Err(trouble) => return skip(&trouble.to_string()),
    };
    let Some(leaf) = served.first() else { return skip("no certificate was sent") };
    let (Ok(parsed), Ok((_, read))) = (ParsedCertificate::try_from(leaf), X509Certificate::from_der(leaf))
    else {
        let wrong = Verdict::fail("the certificate cannot be read");
        return IDS.iter().map(|id| (*id, wrong.clone())).collect();
    };
    let validity = read.validity();
    let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    vec![
        ("cert.chain", chain(&parsed, &served, (begins, ends), context.asking, context.site)),
        ("cert.name", names(&parsed, context.site)),
        ("cert.dates", dates(begins, ends, now())),
    ]
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Judged at a moment when the leaf was valid: its dates are another fact.
fn chain(
    leaf: &ParsedCertificate<'_>,
    sent: &[CertificateDer<'_>],
    (begins, ends): (i64, i64),
    asking: &Asking,
    site: &Site,
) -> Verdict {
    let (roots, from) = match roots(asking, site) {
        Ok(roots) => roots,
        Err(why) => return Verdict::skip(why),
    };
    let moment = now().clamp(begins, ends.max(begins));
    let moment =
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(moment).unwrap_or(0)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms.all;
    let above = sent.get(1..).unwrap_or_default();
    match verify_server_cert_signed_by_trust_anchor(leaf, &roots, above, moment, algorithms) {
        Ok(()) => Verdict::ok(format!("{} certificates sent, root among {from}", sent.len())),
        Err(error) => {
            let Unbelieved { what, fix } = Unbelieved::of(&error, sent);
            Verdict::Mend { seen: format!("{what}; {} certificates sent, judged by {from}", sent.len()), fix }
        }
    }
}

fn roots(asking: &Asking, site: &Site) -> Result<(RootCertStore, String), String> {
    let mut store = RootCertStore::empty();
    let file = asking.ca_file.as_ref().or(site.acme.ca_file.as_ref());
    let Some(file) = file else {
        let system = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(system.certs);
        return match store.is_empty() {
            true => {
                Err("this system has no roots (Debian: install ca-certificates), and no --ca-file is given"
                    .to_owned())
            }
            false => Ok((store, "the system's".to_owned())),
        };
    };
    let shown = file.display();
    let read =
        CertificateDer::pem_file_iter(file).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    store.add_parsable_certificates(read.flatten());
    match store.is_empty() {
        true => Err(format!("{shown} holds no certificate")),
        false => Ok((store, shown.to_string())),
    }
}

fn names(leaf: &ParsedCertificate<'_>, site: &Site) -> Verdict {
    let missing: Vec<String> = site
        .names
        .iter()
        .filter(|name| {
            let wanted = ServerName::try_from(name.as_str().to_owned());
            !wanted.is_ok_and(|wanted| verify_server_name(leaf, &wanted).is_ok())
        })
        .map(|name| format!("not for {name}"))
        .collect();
    let all: Vec<_> = site.names.iter().map(|name| name.as_str()).collect();
    Verdict::of(&missing, all.join(", "))
}

/// By the same measure as `cert check`.
fn dates(begins: i64, ends: i64, now: i64) -> Verdict {
    let moment = |seconds: i64| Timestamp::from_second(seconds).unwrap_or_default();
    match judge(moment(begins), moment(ends), moment(now)) {
        Life::NotYet(rest) => Verdict::fail(format!(
            "not valid yet, but in {}: look at the clock of this machine, then at that of whoever made it",
            span(rest)
        )),
        Life::Over(since) => Verdict::fail(format!("expired {} ago", span(since))),
        Life::Short(left) => Verdict::fail(left.to_string()),
        Life::Late(left) => Verdict::warn(left.to_string()),
        Life::Plenty(left) => Verdict::ok(left.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_life_has_to_be_left() {
        let day = |n: i64| n * 24 * 3600;
        assert!(matches!(dates(0, day(90), day(10)), Verdict::Ok(_)));
        assert!(matches!(dates(0, day(90), day(61)), Verdict::Warn(_)));
        assert!(matches!(dates(0, day(90), day(90) - 3600), Verdict::Fail(_)));
        assert!(matches!(dates(0, day(90), day(91)), Verdict::Fail(_)));
        assert!(matches!(dates(day(2), day(90), day(1)), Verdict::Fail(_)));
    }
}
