//! Where the gateway listens.
//!
//! Why here: `:18789` and `localhost:18789` are what people write; the gateway binds plain addresses.
//!
//! Never here: binding.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::addresses::address;
use crate::config::section::{At, Section};

const API_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18_789);
const FIX: &str = "write `:18789` for every interface, or an address and a port such as `127.0.0.1:18789`";

/// The API's listeners, at least one.
pub(super) fn api(section: &Section<'_>) -> Vec<At<SocketAddr>> {
    let Some(texts) = section.texts("listen") else {
        return vec![At { value: API_DEFAULT, place: section.place_of("listen"), given: false }];
    };
    if texts.value.is_empty() {
        section.report().error(&texts.place, "names no address", FIX);
    }
    let mut all: Vec<At<SocketAddr>> = Vec::new();
    for text in texts.value {
        match address(&text.value) {
            Ok(found) if all.iter().any(|at| at.value == found) => {
                section.report().error(
                    &text.place,
                    format!("{found} is listed twice"),
                    "keep one of the two",
                );
            }
            Ok(found) => all.push(At { value: found, place: text.place, given: true }),
            Err(what) => section.report().error(&text.place, what, FIX),
        }
    }
    all
}

/// The listener for health and metrics; loopback, because it asks nobody for a key.
pub(super) fn admin(section: &Section<'_>, api: &[At<SocketAddr>]) -> Option<SocketAddr> {
    let text = section.text("admin_listen").filter(|t| t.value != "off")?;
    let found = match address(&text.value) {
        Ok(found) => found,
        Err(what) => {
            section.report().error(&text.place, what, "write `127.0.0.1:18790`, or `off`");
            return None;
        }
    };
    if !found.ip().is_loopback() {
        let fix = "use 127.0.0.1 and let your collector reach it through a proxy or a tunnel";
        section.report().error(
            &text.place,
            "health and metrics ask for no key, so only loopback is accepted",
            fix,
        );
    }
    if found.port() != 0 && api.iter().any(|at| at.value.port() == found.port()) {
        let what = format!("port {} is already used by `listen`", found.port());
        section.report().error(&text.place, what, "choose another port");
    }
    Some(found)
}
