//! The `gateway` section: from keys in a file to a [`gateway::config::Config`] that cannot hold nonsense.
//!
//! Why here: the gateway crate knows only the checked form. What an operator may write, and what must be refused because
//! it would look safe without being so, is decided in the modules below.
//!
//! Never here: sockets. What can only be known by binding or connecting is found at start.

mod access;
mod bounds;
mod credentials;
mod listen;
mod models;
mod upstreams;

use gateway::config::{Auth, Config};

use super::section::Section;
use super::{Context, LogSettings};

/// What the `gateway` role runs on.
#[derive(Clone, Debug)]
pub(crate) struct GatewaySettings {
    pub config: Config,
    pub log: LogSettings,
}

/// Reads the section. The result is only to be used when the report holds no error.
pub(crate) fn read(section: &Section<'_>, context: &Context<'_>) -> GatewaySettings {
    let listen = listen::api(section);
    let upstreams = upstreams::read(section, context);
    let models = models::read(section, &upstreams);
    let auth = credentials::read(&section.section("auth"), context, &models);
    let addresses = access::read(section, &listen);
    access::check_open(section, &listen, matches!(auth, Auth::Open), &addresses);
    let config = Config {
        admin_listen: listen::admin(section, &listen),
        rate: bounds::rate(section, "rate_limit"),
        limits: Vec::new(),
        admission: gateway::config::Admission::default(),
        input: bounds::input(&section.section("limits")),
        answer: bounds::answer(&section.section("response")),
        clocks: bounds::clocks(&section.section("timeouts")),
        liveness: bounds::liveness(&section.section("liveness")),
        audit: bounds::audit(&section.section("audit"), context),
        filter: None,
        memory: gateway::config::Memory::default(),
        error_format: None,
        listen: listen.into_iter().map(|at| at.value).collect(),
        upstreams,
        models,
        auth,
        addresses,
    };
    GatewaySettings { config, log: LogSettings::read(section) }
}
