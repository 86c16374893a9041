//! The packet filter (layer 1): one nftables table, made from the configuration, loaded with a way back.
//!
//! Why here: the kernel filters; what should pass follows from listeners and lists that this program knows.
//!
//! Never here: other tables, other filters.

mod apply;
mod guard;
mod nft;
mod text;

use crate::edge::ports::Ports;
use crate::edge::site::Site;

pub(crate) use self::apply::{Wish, apply};
pub(crate) use self::guard::guard;
pub(crate) use self::nft::Nft;

pub(crate) const FAMILY: &str = "inet";
pub(crate) const TABLE: &str = "gatehouse";

/// The file for this site.
pub(crate) fn rules(site: &Site, ports: &Ports) -> String {
    let names: Vec<_> = site.names.iter().map(ToString::to_string).collect();
    let about = if names.is_empty() { "this machine".to_owned() } else { names.join(", ") };
    text::render(&about, ports)
}
