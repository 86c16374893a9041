//! The edge: what stands between the network and the gateway, made from the same configuration and proved by requests.
//!
//! Why here: nginx, certbot, the packet filter and systemd do the work; this part writes their files from the one
//! configuration and the parts' own tables, and then asks the running thing whether it keeps its word.
//!
//! Never here: a proxy of our own beside `front` (for teams without nginx), the gateway's rules.

pub(crate) mod apply;
pub(crate) mod assets;
pub(crate) mod cert;
mod chain;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod findings;
pub(crate) mod firewall;
pub(crate) mod front;
pub(crate) mod host;
mod life;
mod machine;
pub(crate) mod nginx;
mod onlooker;
pub(crate) mod password;
pub(crate) mod ports;
mod program;
pub(crate) mod refusals;
pub(crate) mod report;
pub(crate) mod site;
mod unbelieved;
mod workers;
