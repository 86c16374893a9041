//! Who may use the models through the chat page, which spends its own key for everybody who opens it.
//!
//! Why here: keys guard the API, and a stranger who chats through the page needs none. So the page is part of layer 3, with
//! a guard of its own: a password, or a list that keeps somebody out.
//!
//! Never here: whether the page is reached beside HTTPS (`l2.page-direct`), asking for passwords.

use super::facts::{Exposure, Facts, Reach};
use super::line::Line;
use crate::config::edge::{Outer, Tls};
use crate::edge::findings::Finding;
use crate::edge::ports::Part;
use crate::edge::site::{Page, Site};

const FIX: &str = "set `edge.page.password_file` (`gatehouse init` and `openssl passwd -6` make it), or networks in `edge.page.allow`; then `gatehouse edge apply`, or start `gatehouse up` anew";

/// The line, and how it counts for the layer.
pub(super) struct Door {
    pub line: Finding,
    /// Ways around keys, for strangers.
    pub ways: Vec<String>,
    pub doubts: Vec<String>,
}

pub(super) fn door(facts: &Facts, site: &Site) -> Door {
    let mut line =
        Line::new("l3.page", "the page, which asks for no key, opens to some and not to everybody");
    let (mut ways, doubts) = match &site.page {
        None => {
            line.ok("no page is configured");
            (Vec::new(), Vec::new())
        }
        Some(page) if page.guarded => {
            line.ok(guard(page));
            (Vec::new(), Vec::new())
        }
        Some(page) => through_the_site(facts, site, page, &mut line),
    };
    // The site's guard does not stand before the page's own port.
    ways.extend(direct(facts));
    Door { line: line.finding(), ways, doubts }
}

fn guard(page: &Page) -> String {
    let nets: Vec<_> = page.allow.iter().map(ToString::to_string).collect();
    let list = (!nets.is_empty()).then(|| format!("`edge.page.allow`: {}", nets.join(", ")));
    let file = page.password_file.as_ref();
    let password = file.map(|file| format!("`edge.page.password_file`: {}", file.display()));
    list.into_iter().chain(password).collect::<Vec<_>>().join("; ")
}

fn through_the_site(facts: &Facts, site: &Site, page: &Page, line: &mut Line) -> (Vec<String>, Vec<String>) {
    let (mut ways, mut doubts) = (Vec::new(), Vec::new());
    let what = match page.allow.is_empty() {
        true => "neither a password nor a list",
        false => "no password, and a list that holds everybody",
    };
    let listen = if site.tls == Tls::Off { &site.http_listen } else { &site.https_listen };
    for port in listen.iter().map(std::net::SocketAddr::port) {
        let Exposure { reach, seen } = facts.exposure(port);
        match reach {
            Reach::Everybody | Reach::Listed => {
                line.fail(format!("{what}, and the site is open: {seen}"), FIX);
                ways.push(format!("FROM OUTSIDE, through the page at {port}: it asks nobody who they are"));
            }
            Reach::Unknown => {
                line.warn(format!("{what}: {seen}"), FIX);
                doubts.push(format!("who reaches the page at {port} from outside, which asks nobody"));
            }
            _ if site.outer != Outer::Nobody => {
                line.warn(format!("{what} here; what the proxy in front asks is not known"), FIX);
                doubts.push("whether the proxy in front asks who opens the page".to_owned());
            }
            Reach::Nobody | Reach::Local | Reach::Filtered => line.ok(format!("{what}, but {seen}")),
        }
    }
    (ways, doubts)
}

fn direct(facts: &Facts) -> Vec<String> {
    let pages = facts.ports.guarded.iter().filter(|guarded| guarded.part == Part::Page);
    let open = pages.filter(|page| facts.exposure(page.port).reach == Reach::Everybody);
    open.map(|page| format!("FROM OUTSIDE, through the page's own port {}", page.port)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{facts, listener, ours, site};
    use super::super::ruleset::{Filter, Ruleset};
    use super::*;
    use crate::edge::findings::Mark;

    #[test]
    fn an_open_page_is_a_way_around_keys() {
        let unread = || Filter::Unreadable("no root".to_owned());
        let none = || Filter::Read(Ruleset::default());
        for (guarded, at, filter, mark, ways, doubts) in [
            (false, "[::]:443", ours(), Mark::Fail, 1, 0),
            (true, "[::]:443", ours(), Mark::Ok, 0, 0),
            (false, "127.0.0.1:443", ours(), Mark::Ok, 0, 0),
            (false, "[::]:443", unread(), Mark::Warn, 0, 1),
            (false, "[::]:9", ours(), Mark::Ok, 0, 0),
            (true, "0.0.0.0:8080", none(), Mark::Ok, 1, 0),
        ] {
            let mut site = site();
            site.page.as_mut().unwrap().guarded = guarded;
            let door = door(&facts(filter, vec![listener(at, "nginx")]), &site);
            let counted = (door.line.mark, door.ways.len(), door.doubts.len());
            assert_eq!(counted, (mark, ways, doubts), "{guarded} {at}: {}", door.line.seen);
        }
        let mut off = site();
        off.page = None;
        assert_eq!(door(&facts(ours(), vec![listener("[::]:443", "nginx")]), &off).line.mark, Mark::Ok);
    }

    #[test]
    fn behind_a_proxy_it_is_the_proxy_s_affair() {
        let mut site = site();
        site.outer = Outer::Header(vec!["192.0.2.7/32".parse().unwrap()]);
        let door = door(&facts(ours(), vec![listener("127.0.0.1:443", "nginx")]), &site);
        assert_eq!((door.line.mark, door.doubts.len()), (Mark::Warn, 1));
    }
}
