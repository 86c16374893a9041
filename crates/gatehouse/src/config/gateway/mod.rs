//! The `gateway` section: from keys in a file to a [`gateway::config::Config`] that cannot hold nonsense.
//!
//! Why here: the gateway crate knows only the checked form. What an operator may write, and what must be refused because
//! it would look safe without being so, is decided in the modules below.
//!
//! Never here: sockets. What can only be known by binding or connecting is found at start.

mod access;
mod bounds;
mod credentials;
mod filter;
mod limits;
mod listen;
pub(crate) mod models;
mod rights;
mod upstreams;

use gateway::config::{Auth, Config};

use super::report::Report;
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
    let report = section.report();
    let listen = listen::api(section);
    let upstreams = upstreams::read(section, context);
    let (models, models_are_right) = watched(report, || models::read(section, &upstreams));
    let (auth, keys_are_right) =
        watched(report, || credentials::read(&section.section("auth"), context, &models));
    let addresses = access::read(section, &listen);
    access::check_open(section, &listen, matches!(auth, Auth::Open), &addresses);
    let answer = bounds::answer(&section.section("response"));
    let around = limits::Surroundings {
        auth: keys_are_right.then_some(&auth),
        models: models_are_right.then_some(&models),
        upstreams: &upstreams,
        output_tokens_max: answer.output_tokens_max,
    };
    let limits = limits::read(section, &around);
    let input = bounds::input(&section.section("input"));
    let memory = bounds::memory(&section.section("memory"), &input);
    let config = Config {
        admin_listen: listen::admin(section, &listen),
        rate: bounds::rate(section, "rate_limit"),
        limits,
        admission: bounds::admission(&section.section("admission"), &upstreams),
        input,
        answer,
        clocks: bounds::clocks(&section.section("timeouts")),
        liveness: bounds::liveness(&section.section("liveness")),
        audit: bounds::audit(&section.section("audit"), context),
        filter: filter::read(section),
        memory,
        error_format: None,
        listen: listen.into_iter().map(|at| at.value).collect(),
        upstreams,
        models,
        auth,
        addresses,
    };
    GatewaySettings { config, log: LogSettings::read(section) }
}

/// What a reader found, and whether it found it without an error.
fn watched<T>(report: &Report, read: impl FnOnce() -> T) -> (T, bool) {
    let before = report.errors();
    let found = read();
    (found, report.errors() == before)
}
