//! Lines about the certificate's files: there, belonging together, closed to others, trusted, for all names.
//!
//! Why here: see [`super`].

use super::View;
use crate::config::edge::Tls;
use crate::edge::cert::chain::Chain;
use crate::edge::cert::disk::{Key, Trouble};
use crate::edge::cert::trust::{belongs, is_for, leads_to_root, roots};
use crate::edge::findings::Finding;

pub(super) fn lines(view: &View<'_>) -> Vec<Finding> {
    vec![there(view), key(view), mode(view), chain(view), names(view)]
}

fn there(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.files", "certificate and key are on the disk, and can be read");
    let (chain, key) = (&view.disk.files.chain, &view.disk.files.key);
    let troubles = [(chain, view.disk.chain.as_ref().err()), (key, view.disk.key.as_ref().err())].map(
        |(file, trouble)| trouble.map(|trouble| (trouble.clone(), format!("{}: {trouble}", file.display()))),
    );
    let troubles: Vec<_> = troubles.into_iter().flatten().collect();
    let seen = troubles.iter().map(|(_, said)| said.as_str()).collect::<Vec<_>>().join("\n");
    if troubles.is_empty() {
        return Finding::ok(id, fact, format!("{}\n{}", chain.display(), key.display()));
    }
    if troubles.iter().all(|(trouble, _)| *trouble == Trouble::Closed) {
        return Finding::skip(id, fact, format!("{seen}\nrun this as root"));
    }
    let fix = match view.site.tls {
        Tls::Certbot { .. } => "`gatehouse edge cert` asks for a certificate",
        _ => "put both files there as PEM: the chain with the certificate first, and its key",
    };
    Finding::fail(id, fact, seen, fix)
}

fn key(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.key", "the key is the certificate's");
    let (Ok(chain), Ok(key)) = (&view.disk.chain, &view.disk.key) else {
        return Finding::skip(id, fact, "not both files can be read");
    };
    match belongs(chain, key) {
        Ok(()) => Finding::ok(id, fact, chain.leaf.short()),
        Err(what) => {
            let fix = match view.site.tls {
                Tls::Certbot { .. } => "`gatehouse edge cert` asks for a certificate with a new key",
                _ => {
                    "put the key there that the certificate was asked for with; nginx keeps the old pair until it is reloaded, and would not start with this one"
                }
            };
            Finding::fail(id, fact, format!("{}: {what}", view.disk.files.key.display()), fix)
        }
    }
}

fn mode(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.key-mode", "nobody but its owner and group reads the key");
    match &view.disk.key {
        Ok(Key { at, mode, .. }) if mode & 0o007 != 0 => Finding::fail(
            id,
            fact,
            format!("{}: mode {mode:04o}", at.display()),
            format!(
                "chmod 600 {0}; whoever could read it has it: ask for a new one, and have this one revoked",
                at.display()
            ),
        ),
        Ok(Key { at, mode, .. }) => Finding::ok(id, fact, format!("{}: mode {mode:04o}", at.display())),
        Err(trouble) => Finding::skip(id, fact, format!("the key {trouble}")),
    }
}

fn chain(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.chain", "the chain is whole and leads to a trusted root");
    let Some(chain) = view.at_hand() else { return Finding::skip(id, fact, "no certificate was seen") };
    let roots = match roots(view.site.acme.ca_file.as_deref()) {
        Ok(roots) => roots,
        Err(what) => return Finding::skip(id, fact, what),
    };
    // The same certificate may be served with another chain than the file has now.
    let served = view.served.iter().filter_map(|seen| seen.chain.as_ref().ok());
    let mut all: Vec<&Chain> = vec![chain];
    all.extend(served.filter(|served| served.leaf == chain.leaf && served.ders != chain.ders).take(1));
    let wrong = all.iter().find_map(|chain| Some((chain, leads_to_root(chain, &roots, view.now).err()?)));
    match wrong {
        None => Finding::ok(id, fact, chain.path()),
        Some((chain, why)) => Finding::fail(id, fact, format!("{}: {}", chain.path(), why.what), why.fix),
    }
}

fn names(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.names", "the certificate is for every name of `edge.domain`");
    let Some(chain) = view.at_hand() else { return Finding::skip(id, fact, "no certificate was seen") };
    let (site, leaf) = (view.site, &chain.leaf);
    let missing = site.names.iter().filter(|name| !is_for(chain, name.as_str())).map(|name| name.as_str());
    let missing: Vec<&str> = missing.collect();
    let held = leaf.names.join(", ");
    if !missing.is_empty() {
        let fix = match site.tls {
            Tls::Certbot { .. } => "`gatehouse edge cert` asks for one with all names",
            _ => "ask your CA for a certificate with all names",
        };
        return Finding::fail(id, fact, format!("not for {}; it is for {held}", missing.join(", ")), fix);
    }
    let mut strange = leaf.names.iter().filter(|held| !site.names.iter().any(|name| name.as_str() == *held));
    match (&site.tls, strange.next()) {
        (Tls::Certbot { .. }, Some(strange)) => Finding::warn(
            id,
            fact,
            format!(
                "it is also for {strange}, which is not in `edge.domain`: a renewal fails once that name leads elsewhere"
            ),
            "`gatehouse edge cert` asks for one with the configured names",
        ),
        _ => Finding::ok(id, fact, held),
    }
}
