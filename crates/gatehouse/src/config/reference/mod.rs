//! Every configuration key there is, and the page that explains them.
//!
//! Why here: one row per key serves the reader (bounds, defaults, known names) and `docs/config.md`; `gatehouse reference`
//! prints the page, and a test fails when the file in the repository is not that page.
//!
//! Never here: reading a file.

mod answers;
mod callers;
mod chat;
mod edge;
mod gateway;
mod manual;
mod page;

use super::setting::{Setting, table};

pub(crate) use manual::manual;
pub(crate) use page::markdown;

/// Sections that exist in the language but not yet in the program.
pub(super) const RESERVED_SECTIONS: [&str; 1] = ["ops"];

/// The sections themselves.
const SECTIONS: &[Setting] = &[
    table("gateway", "The API gateway: who may call which model, how often, and what comes back."),
    table("chat", "The chat site: a client of the gateway with a page of its own."),
    table(
        "edge",
        "What stands in front: nginx, HTTPS and certificates, the firewall. See [edge.md](edge.md).",
    ),
    table("ops", "Reserved for watching and alerting. Refused until it exists."),
];

/// Every row.
pub(crate) fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    let gateway = gateway::ROWS.iter().chain(callers::ROWS).chain(answers::ROWS);
    SECTIONS.iter().chain(gateway).chain(chat::ROWS).chain(edge::ROWS)
}
