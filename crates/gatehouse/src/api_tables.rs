//! The tables of `docs/api.md`: which routes there are, and how a request of each dialect reaches each kind of upstream.
//!
//! Why here: both follow from tables that the program runs by; written by hand they would sooner or later promise more. The
//! rest of the page is prose, and stays when the tables are written anew.
//!
//! Never here: the tables themselves (`gateway::routes`, `wire::lanes`).

use std::fmt::Write as _;

use gateway::openapi;
use gateway::routes::{Access, ROUTES, Route};
use wire::lanes::{Entry, UPSTREAMS, entry};
use wire::{Format, Manage, Operation, upstream_path};

/// Operations that upstreams work on.
const WORKED: [Operation; 4] = [Operation::Chat, Operation::Complete, Operation::Embed, Operation::EmbedOne];

/// Every route, in the order of the table.
pub(crate) fn routes() -> String {
    let mut page = "| method | path | dialect | what | for whom |\n|---|---|---|---|---|\n".to_owned();
    for route in ROUTES {
        let method = route.method.as_str();
        let path = match route.header {
            Some(header) => format!("`{}` with `{header}`", route.path),
            None => format!("`{}`", route.path),
        };
        let (dialect, what, whom) = (dialect(route), openapi::summary(route), whom(route));
        // Writing into a String cannot fail.
        let _ = writeln!(page, "| {method} | {path} | {dialect} | {what} | {whom} |");
    }
    page
}

/// Two routes are of this house, whatever dialect their refusals speak.
fn dialect(route: &Route) -> &'static str {
    match route.operation {
        Operation::Usage | Operation::Describe => "Gatehouse",
        _ => route.format.as_str(),
    }
}

fn whom(route: &Route) -> String {
    match (route.access, route.operation) {
        (_, Operation::Manage(Manage::Other)) => "nobody".into(),
        (Access::Granted, Operation::Manage(which)) => format!("keys with `manage: [{}]`", which.as_str()),
        (Access::Open, _) => "everybody".into(),
        (Access::Key | Access::Granted, _) => "keys".into(),
    }
}

/// Client dialect and operation by upstream.
pub(crate) fn lanes() -> String {
    let mut page = "| client | operation |".to_owned();
    for upstream in UPSTREAMS {
        let _ = write!(page, " {} upstream |", upstream.as_str());
    }
    page.push_str("\n|---|---|");
    page.push_str(&"---|".repeat(UPSTREAMS.len()));
    page.push('\n');
    for client in Format::ALL {
        for operation in WORKED {
            let _ = write!(page, "| {} | {} |", client.as_str(), operation.as_str());
            for upstream in UPSTREAMS {
                let _ = write!(page, " {} |", lane(client, upstream, operation));
            }
            page.push('\n');
        }
    }
    page
}

fn lane(client: Format, upstream: Format, operation: Operation) -> String {
    match entry(client, upstream, operation) {
        Entry::Relay => format!("relay, `{}`", upstream_path(upstream, operation)),
        Entry::Translate(asked) => format!("translate, `{}`", upstream_path(upstream, asked)),
        Entry::Refused(why) => format!("refused: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_page_in_the_repository_has_these_tables() {
        for (name, table) in [("routes", routes()), ("lanes", lanes())] {
            let (open, close) = (format!("<!-- {name}: "), format!("<!-- /{name} -->"));
            let page = page();
            let (_, inside) = page.split_once(&open).unwrap_or_else(|| panic!("no mark of {name}"));
            let (inside, _) = inside.split_once(&close).unwrap_or_else(|| panic!("no end of {name}"));
            let (_, written) = inside.split_once(" -->\n").unwrap();
            assert!(written == table, "the {name} in docs/api.md are stale: run `cargo xtask docs`");
        }
    }

    #[test]
    fn every_cell_has_a_place() {
        for cell in wire::lanes::cells() {
            assert!(WORKED.contains(&cell.operation()), "{:?}", cell.operation());
            assert!(UPSTREAMS.contains(&cell.upstream()), "{:?}", cell.upstream());
        }
    }

    #[test]
    fn who_may_call_is_said() {
        let page = routes();
        for row in [
            "| POST | `/api/pull` | Ollama | Fetch a model into the runtime | keys with `manage: [pull]` |",
            "| GET | `/openapi.json` | Gatehouse | This description | everybody |",
        ] {
            assert!(page.contains(row), "{row}");
        }
        assert!(
            page.contains(
                "| `/api/me` | Ollama | The runtime's own affairs: refused to everybody | nobody |"
            )
        );
    }
}
