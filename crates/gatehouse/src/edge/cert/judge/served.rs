//! Lines about what visitors get.
//!
//! Why here: see [`super`].

use super::View;
use crate::edge::findings::Finding;

/// `explained`: another line says why the certificate on the disk is not served.
pub(super) fn lines(view: &View<'_>, explained: bool) -> Vec<Finding> {
    vec![answered(view), current(view, explained)]
}

fn answered(view: &View<'_>) -> Finding {
    let (id, fact) = ("cert.served", "each name is served with a certificate");
    let mut seen = Vec::new();
    let mut silent = Vec::new();
    for one in &view.served {
        match &one.chain {
            Ok(chain) => seen.push(format!("{} at {}: {}", one.name, one.at, chain.leaf.told())),
            Err(what) => silent.push(format!("{} at {}: {what}", one.name, one.at)),
        }
    }
    if let Some(chain) = view.in_use() {
        seen.push(format!("sha256 {}", chain.leaf.fingerprint));
    }
    match silent.is_empty() {
        true => Finding::ok(id, fact, seen.join("\n")),
        false => Finding::fail(
            id,
            fact,
            silent.into_iter().chain(seen).collect::<Vec<_>>().join("\n"),
            "see that nginx runs, and that the site is applied with these names: `gatehouse edge apply`",
        ),
    }
}

fn current(view: &View<'_>, explained: bool) -> Finding {
    let (id, fact) = ("cert.current", "the certificate that is served is the one on the disk");
    let Some(disk) = view.on_disk() else {
        return Finding::skip(id, fact, "the one on the disk cannot be read");
    };
    let Some(in_use) = view.in_use() else {
        return Finding::skip(id, fact, "none is served");
    };
    if !view.differs() {
        return Finding::ok(id, fact, disk.leaf.short());
    }
    let mut seen = format!("served: {}\non the disk: {}", in_use.leaf.told(), disk.leaf.told());
    if explained {
        return Finding::warn(id, fact, seen, "put right what `cert.hook` says");
    }
    if let Some(reason) = view.deploy_failed().and_then(|outcome| outcome.reason.as_ref()) {
        seen = format!("{seen}\nthe last deploy: {reason}");
    }
    let fix = "nginx was not told of it: `gatehouse cert deploy`, which tests, reloads and looks again";
    Finding::fail(id, fact, seen, fix)
}
